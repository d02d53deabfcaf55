"""When the leader goes, told to end or killed, clients do not wait for an election time-out.

It is so long here that what comes in time came by the hand-over, or by the early pre-vote.
"""

import re
from collections.abc import Iterator

import pytest

from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind, wait_until

ELECTION_S = 25
#: A small part of the time-out, and much more than the two ways take.
DEADLINE_S = 8.0
#: For one of the writes, which the next one can overtake.
WRITE_DEADLINE_S = 1.0
OPTIONS = (f"--election-timeout={ELECTION_S * 1000}", "--strict-reconfig-check=false")
EARLY = re.compile(r"lost the stream of leader (\w+): campaigning at once")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three members.  Who founds alone leads at once; three founders would wait for an election."""
    with Cluster(Kind.ETCDPY, tmp_path_factory.mktemp("failover"), 1, *OPTIONS) as growing:
        growing.start()
        for _ in range(2):
            growing.add().launch()
            growing.wait_ready()
        yield growing


@pytest.fixture
def leader(cluster: Cluster) -> ClusterMember:
    """Who leads, to be ended; all are there, also who was ended before."""
    cluster.restart()
    return cluster.leader()


def early_elections(cluster: Cluster, of: ClusterMember) -> int:
    """Return how often members have campaigned because the stream of this leader broke."""
    texts = [member.log_path.read_text() for member in cluster.members]
    return sum(found == of.id for text in texts for found in EARLY.findall(text))


def write_in_time(members: list[ClusterMember]) -> None:
    """Write through any of the members, well within the election time-out."""

    def is_written() -> bool:
        answers = [
            member.try_request("PUT", "/v2/keys/a", {"value": "1"}, WRITE_DEADLINE_S)
            for member in members
        ]
        return any(answer is not None and answer.status < 300 for answer in answers)

    wait_until(is_written, DEADLINE_S, "a write after the leader's end")


def test_a_leader_that_is_told_to_end_hands_over(cluster: Cluster, leader: ClusterMember) -> None:
    others = cluster.followers()
    before = early_elections(cluster, leader)
    leader.stop()
    write_in_time(others)
    said = re.search(
        rf"{leader.id} finished leadership transfer from {leader.id} to (\w+) \(took [\d.]+ms\)",
        leader.log_text(),
    )
    assert said, leader.log_tail()
    assert cluster.leader().id == said[1]
    assert early_elections(cluster, leader) == before  # nobody had to find out


def test_a_leader_that_is_killed_is_replaced_at_once(
    cluster: Cluster, leader: ClusterMember
) -> None:
    others = cluster.followers()
    before = early_elections(cluster, leader)
    leader.kill()
    write_in_time(others)
    assert early_elections(cluster, leader) > before
