"""A member that moves: nobody notices, and who was away meanwhile finds it again."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.client import Connection
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


def test_writes_in_flight_survive_every_move(cluster: Cluster) -> None:
    """They are forwarded to the leader, on a stream to the address that it or they leave."""
    follower = cluster.followers()[0]
    ending, statuses = threading.Event(), [201]

    def write() -> None:
        with Connection(follower.client_url) as connection:
            while not ending.is_set():
                path = f"/v2/keys/moving/{len(statuses)}"
                statuses.append(connection.request("PUT", path, {"value": "1"}).status)

    def is_past(count: int) -> bool:
        return len(statuses) > count

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(3):
            for member in cluster.members:
                cluster.move(member, is_former_kept=True)
                wait_until(partial(is_past, len(statuses) + 20), DEADLINE_S, "writes after a move")
    finally:
        ending.set()
        writing.join(DEADLINE_S)
    assert set(statuses) == {201}
