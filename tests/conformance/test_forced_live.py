"""`--force-new-cluster` beside etcd's: of three members one goes on alone, and is joined again.

The steps are those of docs/clustering.md.  The one that goes on is told to end, not killed: etcd
would drop the last write of one that was killed, and we keep it (docs/differences.md).
Source: spec/cluster.md section 7.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cluster_side_by_side import (
    FRESH_INDEX,
    Ask,
    Side,
    Sides,
    running_clusters,
    wait_for_index,
)
from tests.conformance.test_cluster_live import MEMBERS, assert_farewell
from tests.harness.process import Kind

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

WRITES = (
    ("PUT", "/v2/keys/a", {"value": "old"}),
    ("PUT", "/v2/keys/d/e", {"value": "deep"}),
    ("POST", "/v2/keys/q", {"value": "in order"}),
    ("DELETE", "/v2/keys/d/e", None),
    ("PUT", "/v2/keys/a", {"value": "new", "prevValue": "old"}),
)
WRITTEN = FRESH_INDEX + len(WRITES)
#: Each removal counts twice, and who starts publishes itself.
ALONE = WRITTEN + 2 * 2 + 1
#: What the members answer of their data, at any time: the keys, and what happened.
READS = (
    "/v2/keys/?recursive=true&sorted=true",
    "/v2/keys/?recursive=true&sorted=true&quorum=true",
    *(
        f"/v2/keys/?recursive=true&wait=true&waitIndex={i}"
        for i in range(FRESH_INDEX + 1, WRITTEN + 1)
    ),
)


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    """Clusters that hold some data."""
    with running_clusters(tmp_path) as both:
        for method, path, form in WRITES:
            both.ask("leader", method, path, form)
        yield both


def lose_majority(side: Side) -> None:
    """Kill the leader and another; the third ends by itself, and gets the leader's part."""
    left = side["a"]
    wait_for_index(left, WRITTEN)
    for part in ("leader", "b"):
        side[part].kill()
    left.stop()
    side.cast = {"leader": left, "former": side["leader"], "b": side["b"]}
    side.cluster.removed += [side["former"], side["b"]]
    side.cluster.members = [left]


def start(sides: Sides, *options: str) -> None:
    """Start the members that are left, with these flags beside their usual ones."""
    for side in sides:
        side["leader"].options = (*side.cluster.options, *options)
        side["leader"].launch()
    sides.both(lambda side: side.cluster.wait_ready())


def assert_all_is_there(sides: Sides, *parts: str) -> None:
    """Assert that members have kept every key and every event, alike on both."""
    answers = sides.ask_all(*(Ask(part, "GET", path) for part in parts for path in READS))
    assert [answer[:3] for answer in answers] == ["200"] * len(answers)
    assert all('"value":"new"' in answers[at] for at in range(0, len(answers), len(READS)))


def assert_alone(sides: Sides, ids: tuple[str, str]) -> None:
    """Assert that the member lists only itself, with the id that it had."""
    for side, member_id in zip(sides, ids, strict=True):
        (listed,) = side["leader"].request("GET", MEMBERS).json()["members"]
        assert listed["id"] == member_id
    sides.assert_faces_alike()


def join(sides: Sides) -> None:
    """Have new members join."""
    sides.both(lambda side: side.cast.update(new=side.cluster.add()))
    sides.each(lambda side: side["new"].launch())
    sides.both(lambda side: side.cluster.wait_ready())


def test_one_of_three_goes_on_alone_and_is_joined_again(sides: Sides) -> None:
    ids, cluster_ids = sides.each(lambda side: side["a"].id), sides.each(cluster_id)
    sides.each(lose_majority)
    start(sides, "--force-new-cluster")
    for side, its_id, its_cluster in zip(sides, ids, cluster_ids, strict=True):
        line = f"forcing restart of member {its_id} in cluster {its_cluster} at commit index"
        assert line in side["leader"].log_text()
        assert cluster_id(side) == its_cluster
    assert_alone(sides, ids)
    assert_all_is_there(sides, "leader")
    answer = sides.ask("leader", "PUT", "/v2/keys/alone", {"value": "1"})
    assert answer.startswith(f"201 application/json index={ALONE + 1} ")

    sides.each(lambda side: side["leader"].stop())
    start(sides)  # without the flag
    assert_alone(sides, ids)
    assert_all_is_there(sides, "leader")

    join(sides)
    sides.ask("new", "PUT", "/v2/keys/both", {"value": "1"})
    sides.assert_faces_alike()
    assert_all_is_there(sides, "leader", "new")

    # Who was lost is so for good.
    sides.each(lambda side: side["b"].launch())
    sides.each(lambda side: assert_farewell(side, "b"))


def cluster_id(side: Side) -> str:
    """Return the cluster's id, as any member that runs shows it."""
    return side.cluster.ask("GET", MEMBERS).headers["x-etcd-cluster-id"]
