"""`ETCDCTL_API=2 etcdctl`, unchanged, in front of a follower of three, and managing the three.

What the tests of `test_etcdctl` hold of a member that is alone holds of a follower: they run here
again.  What etcdctl prints of members is compared with what it prints in front of etcd.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cluster_side_by_side import (
    Side,
    Sides,
    running_clusters,
    start_fresh,
    wait_until_long_connected,
)
from tests.conformance.test_etcdctl import (
    ETCDCTL,
    Ctl,
    Outcome,
    TestDirectories,
    TestKeys,
    TestOutput,
    TestWatch,
    transcript,
)
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind

__all__ = ["TestDirectories", "TestKeys", "TestOutput", "TestWatch"]

pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not on PATH")
#: Between what may come in any order: lines, errors of several members, members to start with.
_PART = re.compile(r'\n|error: |,|(?<=ETCD_INITIAL_CLUSTER=)"|"\n')
ALONE = "--no-sync"  # asks nobody but the member that it was given


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterMember]:
    """A follower of three members of etcdpy, which the tests share."""
    with Cluster(Kind.ETCDPY, tmp_path_factory.mktemp("three"), 3) as cluster:
        yield start_fresh(cluster).followers()[0]


@pytest.fixture
def ctl(follower: ClusterMember) -> Ctl:
    return Ctl(follower, ALONE)


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    with running_clusters(tmp_path) as both:
        yield both


@pytest.mark.live
def test_a_session_with_a_follower_prints_the_same_on_both(sides: Sides) -> None:
    ours, theirs = sides.both(lambda side: transcript(Ctl(side["a"], ALONE), side.named))
    for printed, wanted in zip(ours, theirs, strict=True):
        assert printed == wanted


@pytest.mark.live
def test_members_are_managed_alike(sides: Sides) -> None:
    sides.both(wait_until_long_connected)
    assert manage(sides, "member", "list").code == 0
    assert "cluster is healthy" in manage(sides, "cluster-health").out
    ours, theirs = sides.each(_add)
    assert ours == theirs
    assert manage(sides, "cluster-health").code == 5
    assert "[unstarted]" in manage(sides, "member", "list").out
    assert manage(sides, "member", "add", "x", "http://127.0.0.1:1").code == 1
    for peer_url in ("http://127.0.0.1:1", "@new"):
        assert manage(sides, "member", "update", "@new", peer_url).code == 0
    assert manage(sides, "member", "update", "@new", "bogus").code == 1
    assert manage(sides, "member", "update", "abc", "http://127.0.0.1:1").code == 1
    sides.each(lambda side: side["new"].launch())
    sides.each(lambda side: side["new"].wait_ready())
    assert "cluster is healthy" in manage(sides, "cluster-health").out
    for code, member_id in ((0, "@new"), (1, "@new"), (1, "abc"), (1, "zz")):
        assert manage(sides, "member", "remove", member_id).code == code
    assert sides.each(lambda side: side["new"].wait_exit()) == (0, 0)
    sides.each(lambda side: side["b"].kill())
    assert manage(sides, "cluster-health").code == 5
    for code, part in ((1, "@a"), (0, "@b")):
        assert manage(sides, "member", "remove", part).code == code
    assert manage(sides, "member", "list").out.count("name=") == 2


def manage(sides: Sides, *words: str) -> Outcome:
    """Run etcdctl in front of a follower of both; assert that it prints the same, return that.

    `@b` stands for the id of b, as the last of several words for its URL.
    """
    ours, theirs = sides.both(lambda side: _shown(side, _run(side, *words)))
    assert ours == theirs
    return ours


def _run(side: Side, *words: str) -> Outcome:
    *others, last = (_known(side, word) for word in words)
    if words[:2] == ("member", "update") and words[3].startswith("@"):
        last = side[words[3][1:]].peer_url
    return Ctl(side["a"]).run(*others, last)


def _known(side: Side, word: str) -> str:
    return side[word[1:]].id if word.startswith("@") else word


def _shown(side: Side, outcome: Outcome) -> Outcome:
    """Return what was printed with its lines sorted: they are in the order of ids or of chance."""
    texts = []
    for text in (outcome.out, outcome.err):
        named = re.sub(r"error #\d+", "error", side.named(text))
        named = re.sub(r"\bm\d=|(?<=with ID )[0-9a-f]+", "", named)
        texts.append("\n".join(sorted(_PART.split(named))))
    return Outcome(outcome.code, *texts)


def _add(side: Side) -> Outcome:
    """Announce a member, and make it with what etcdctl says it is to be started with."""
    cluster = side.cluster
    new = ClusterMember(cluster.kind, cluster.directory / "new", *cluster.options, name="new")
    cluster.members.append(new)
    outcome = _run(side, "member", "add", "new", new.peer_url)
    settings = dict(re.findall(r'^ETCD_(\w+)="(.*)"$', outcome.out, re.MULTILINE))
    new.peers = settings["INITIAL_CLUSTER"].split(",")
    new.state = settings["INITIAL_CLUSTER_STATE"]
    cluster.identify()
    side.cast["new"] = new
    return _shown(side, outcome)
