"""A cluster of processes can be changed and harmed from a test, whichever program it runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.process import Kind

pytest_plugins = ("tests.harness.plugin",)

FAST = ("--heartbeat-interval", "50", "--election-timeout", "500")
HOUR_S = 3600


@pytest.fixture
def cluster(kind: Kind, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(kind, tmp_path, 3, *FAST, "--strict-reconfig-check=false") as one:
        yield one.start()


def test_a_killed_leader_is_followed_by_another_and_comes_back(cluster: Cluster) -> None:
    former = cluster.leader()
    former.kill()
    assert cluster.leader() is not former
    cluster.restart()
    assert former.request("PUT", "/v2/keys/a", {"value": "1"}).status == 201


def test_a_member_joins_and_the_leader_leaves(cluster: Cluster) -> None:
    joining = cluster.add()
    joining.launch()
    joining.wait_ready()
    leader = cluster.leader()
    cluster.remove(leader)
    assert leader.wait_exit() == 0
    assert len(cluster.ask("GET", "/v2/members").json()["members"]) == 3
    assert cluster.leader() in cluster.members


def test_a_lost_disk_is_replaced(cluster: Cluster) -> None:
    cluster.members[0].request("PUT", "/v2/keys/a", {"value": "1"})
    new = cluster.replace(cluster.members[0])
    assert new.request("GET", "/v2/keys/a").json()["node"]["value"] == "1"


def test_a_clock_can_be_moved_while_the_member_runs(tmp_path: Path) -> None:
    with Cluster(Kind.ETCDPY, tmp_path, 1, clocks=True) as cluster:
        (member,) = cluster.start().members
        years = []
        for offset_s in (0, HOUR_S, -HOUR_S):
            member.move_clock(offset_s)
            node = member.request("PUT", "/v2/keys/a", {"value": "1", "ttl": "100000"}).json()
            years.append(node["node"]["expiration"])
        zero, later, earlier = (
            time.mktime(time.strptime(y[:19], "%Y-%m-%dT%H:%M:%S")) for y in years
        )
        assert later - zero == pytest.approx(HOUR_S, abs=60)
        assert zero - earlier == pytest.approx(HOUR_S, abs=60)
