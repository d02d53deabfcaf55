"""A member that moves while another is away: each must find the other again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.process import Kind, wait_until

OPTIONS = ("--heartbeat-interval", "50", "--election-timeout", "500")
DEADLINE_S = 60.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3, *OPTIONS, links=True) as three:
        yield three.start()


def test_a_follower_that_was_away_while_the_leader_moved_comes_back(cluster: Cluster) -> None:
    leader = cluster.leader()
    follower = cluster.followers()[0]
    follower.kill()
    for number in range(40):  # more than one append holds: the move is in a later one
        leader.request("PUT", f"/v2/keys/big/{number}", {"value": "x" * 50_000})
    cluster.move(leader)
    last = leader.request("PUT", "/v2/keys/last", {"value": "1"}).index
    cluster.restart([follower])
    wait_until(
        lambda: follower.request("GET", "/v2/keys/last").index >= last, DEADLINE_S, "catching up"
    )
    listed = [member.request("GET", "/v2/members").body for member in cluster.members]
    assert listed[0] == listed[1] == listed[2]
    assert leader.advertised_peer_url in listed[0].decode()
