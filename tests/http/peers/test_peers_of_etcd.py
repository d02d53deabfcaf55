"""A real etcd among the peers: both sides say clearly why nothing comes of it."""

from pathlib import Path

import pytest

from etcdpy.clustering.identity import derive_cluster_id, derive_member_id
from etcdpy.http.peers.protocol import Cause, Identity
from tests.harness.process import Kind, Member
from tests.http.peering import Node, logged, run, until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="no etcd on PATH"),
]

TOKEN = "mixed"


@pytest.mark.parametrize("is_same_cluster", [True, False])
def test_a_real_etcd_and_a_member_refuse_each_other(
    is_same_cluster: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        node = Node(1)
        etcd = Member(Kind.ETCD, tmp_path)
        founders = f"m1={etcd.peer_url},m2={node.url}"
        etcd.options = ("--initial-cluster", founders, "--initial-cluster-token", TOKEN)
        etcd_id = derive_member_id([etcd.peer_url], TOKEN)
        node_id = derive_member_id([node.url], TOKEN)
        cluster_id = derive_cluster_id([etcd_id, node_id]) if is_same_cluster else 0xC1
        node.transport.identity = Identity(cluster_id, node_id, "3.4.23", (node.url,))
        node.transport.add_peer(etcd_id, [etcd.peer_url])
        await node.start()
        etcd.launch()
        try:
            counters = node.transport.counters
            await until(lambda: counters.rejected[Cause.REAL_ETCD] >= 4, "it has dialled us")
            await until(lambda: counters.failed[Cause.REAL_ETCD] >= 2, "we have dialled it")
            words = (
                "server version incompatible" if is_same_cluster else "cluster ID mismatch: peer"
            )
            await until(lambda: words in etcd.log_text(), "it says why")
            assert "panic" not in etcd.log_text()
            assert node.driver.messages == []
            assert node.removed_by == []
        finally:
            etcd.kill()
            await node.stop()

    run(test)
    assert logged(caplog, "request of a real etcd") == 1
    assert logged(caplog, "a real etcd 3.4.23 is there, which can't be in a cluster") == 1
