"""The recordings and the random requests, asked of a leader and of a follower of three members."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import differences, later, transcript
from tests.conformance.cluster_side_by_side import (
    ClusterPair,
    Side,
    running_clusters,
    start_fresh,
    wait_for_index,
)
from tests.conformance.differential import run
from tests.conformance.replay import Player
from tests.conformance.test_golden import compare
from tests.harness.cluster import Cluster
from tests.harness.process import Kind

SCENARIOS = transcript.load()
del SCENARIOS["auth_guest_denied"]  # it leaves users and roles, which no other recording has
del SCENARIOS["response_framing"]  # whether there are chunks depends on how long indexes are
#: What mostly waits is asked of one of them, which is the one that does not do the expiring.
SLOW = {name for name, steps in SCENARIOS.items() if transcript.has_sleep(steps)}
CASES = [(name, "a") for name in SCENARIOS] + [(n, "leader") for n in SCENARIOS if n not in SLOW]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Three members of etcdpy that all recordings share."""
    with Cluster(Kind.ETCDPY, tmp_path_factory.mktemp("three"), 3) as cluster:
        side = Side(start_fresh(cluster))
        side.cast_all()
        yield side


@pytest.mark.parametrize(("scenario", "part"), CASES)
def test_scenario(scenario: str, part: str, three: Side) -> None:
    member = three[part]
    steps = SCENARIOS[scenario]
    distance = later.begin(member, member.id)
    try:
        expected = [later.moved(step, distance) for step in differences.expected(steps)]
        found = Player(member.client_port).play(expected)
        compare(*([later.comparable(step) for step in each] for each in (expected, found)))
    finally:
        later.clear(member, steps)
        for other in three.running.values():
            wait_for_index(other, member.request("GET", "/v2/keys/").index)


@pytest.mark.live
@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH")
@pytest.mark.parametrize(("seed", "part"), [(3, "leader"), (4, "a")])
def test_random_requests_are_answered_alike(seed: int, part: str, tmp_path: Path) -> None:
    with running_clusters(tmp_path) as sides:
        pair = ClusterPair(sides.ours[part], sides.theirs[part], sides)
        run(pair, seed, step_count=150)
