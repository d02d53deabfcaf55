"""A member that the others cannot dial, for its address is wrong or behind NAT: it takes full part.

It dials them, and they answer on its connections, as etcd's do.  Only what needs a connection of
their own does not reach it: a snapshot, as with etcd.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, ClusterMember, request_json
from tests.harness.process import Kind, wait_until

FAST = ("--heartbeat-interval", "50", "--election-timeout", "500")
DEADLINE_S = 30.0


@contextmanager
def three(kind: Kind, directory: Path) -> Iterator[Cluster]:
    with Cluster(kind, directory, 3, *FAST) as cluster:
        cluster.members[-1].hide()
        yield cluster.start()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with three(Kind.ETCDPY, tmp_path_factory.mktemp("undialled")) as founded:
        yield founded


def hidden_in(cluster: Cluster) -> ClusterMember:
    return cluster.member("m3")


def write_through_all(cluster: Cluster, key: str) -> None:
    """Write through each member, and read it back through every other one."""
    for writer in cluster.running:
        path = f"/v2/keys/{key}/{writer.name}"
        answer = writer.request("PUT", path, {"value": writer.name})
        assert answer.status == 201, answer
        for reader in cluster.running:
            read = reader.request("GET", f"{path}?quorum=true")
            assert read.json()["node"]["value"] == writer.name


def test_it_serves_and_is_served(cluster: Cluster) -> None:
    write_through_all(cluster, "first")
    for member in cluster.members:
        assert json.loads(member.request("GET", "/health").body) == {"health": "true"}


@pytest.mark.live
def test_the_reference_does_the_same(tmp_path: Path) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    with three(Kind.ETCD, tmp_path) as cluster:
        write_through_all(cluster, "first")


def test_it_makes_a_majority(cluster: Cluster) -> None:
    """Another one is down: without it nothing would be acknowledged."""
    other = next(m for m in cluster.followers() if m is not hidden_in(cluster))
    other.kill()
    write_through_all(cluster, "majority")
    cluster.restart()
    write_through_all(cluster, "all")


def test_it_leads(cluster: Cluster) -> None:
    hidden = hidden_in(cluster)

    def does_lead() -> bool:
        leader = cluster.leader()
        if leader is not hidden:
            leader.stop()
            cluster.restart()
        return cluster.leader() is hidden

    wait_until(does_lead, DEADLINE_S, "the hidden one leads")
    write_through_all(cluster, "led")


def test_it_comes_back(cluster: Cluster) -> None:
    hidden = hidden_in(cluster)
    hidden.kill()
    last = cluster.leader().request("PUT", "/v2/keys/meanwhile", {"value": "1"}).index
    cluster.restart()
    wait_until(
        lambda: hidden.request("GET", "/v2/keys/meanwhile").index >= last, DEADLINE_S, "catching up"
    )
    write_through_all(cluster, "again")


def test_its_address_is_mended_while_it_serves(cluster: Cluster) -> None:
    hidden = hidden_in(cluster)
    body = {"peerURLs": [hidden.peer_url]}
    answer = request_json(hidden.client_url, "PUT", f"/v2/members/{hidden.id}", body)
    assert answer.status == 204
    write_through_all(cluster, "mended")


def test_it_joins(tmp_path: Path) -> None:
    with Cluster(Kind.ETCDPY, tmp_path, 1, *FAST) as cluster:
        cluster.start()
        write_through_all(cluster, "before")
        joining = cluster.add(is_hidden=True)
        joining.launch()
        joining.wait_ready()
        assert joining.request("GET", "/v2/keys/before/m1").status == 200
        write_through_all(cluster, "after")
