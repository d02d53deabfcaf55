"""A member that gets a snapshot while clients write: the log goes on where the snapshot ends.

The snapshot is held up until more was written, and snapshotted, than the leader keeps for a member
that lags: without what it keeps for this one, the next snapshot would be due.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.test_watches import (
    DEADLINE_S,
    INSTALLED,
    PAST_THE_TAIL,
    RECEIVING,
    cut_off,
    put,
    write_many,
)
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.link_proxy import Rule
from tests.harness.process import Kind, wait_until

# Nobody is to take the leader for dead because the machine is busy.
OPTIONS = ("--election-timeout", "2000", "--snapshot-count", "500")
BIG_COUNT = 80
BIG_BYTES = 40_000
SLOW = Rule(bytes_s=300_000)  # ten seconds for the big ones, of which a third waits in the link
SENT = "] sent out"
SENDING = re.compile(r"start to send database snapshot \[index: (\d+)")
COMPACTED = re.compile(r"compacted raft log at (\d+)")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3, *OPTIONS, links=True) as three:
        yield three.start()


def test_one_snapshot_is_enough_however_much_is_written_meanwhile(cluster: Cluster) -> None:
    assert cluster.links is not None
    leader, follower = cut_off(cluster)
    for number in range(BIG_COUNT):
        put(leader, f"/big/{number}", "x" * BIG_BYTES)
    write_many(leader, "/v2/keys/before", PAST_THE_TAIL, 200, 201)
    cluster.links.heal()
    cluster.links.set_rules({(leader.name, follower.name): SLOW})
    wait_until(lambda: RECEIVING in follower.log_text(), DEADLINE_S, "a snapshot on its way")
    write_many(leader, "/v2/keys/meanwhile", PAST_THE_TAIL, 200, 201)
    cluster.links.heal()
    last = put(leader, "/last", "written")
    wait_until(
        lambda: follower.request("GET", "/v2/keys/last").index >= last, DEADLINE_S, "catching up"
    )
    assert (leader.log_text().count(SENT), follower.log_text().count(INSTALLED)) == (1, 1)
    write_many(leader, "/v2/keys/after", 600, 200, 201)  # one more snapshot
    wait_until(lambda: found(leader, COMPACTED) > found(leader, SENDING), DEADLINE_S, "compaction")


def found(member: ClusterMember, pattern: re.Pattern[str]) -> int:
    """Return the last index that the member's log tells so."""
    return int(pattern.findall(member.log_text())[-1])
