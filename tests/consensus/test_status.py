"""Status: what a member's core shows to others is what it holds."""

from etcdpy.consensus.messages import Role
from etcdpy.consensus.pump import Batch
from etcdpy.consensus.status import Status
from tests.consensus.harness import Cluster


def test_a_leader_shows_its_term_its_log_and_its_followers() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster[1].run(Batch(proposals=[b"a"]))
    cluster.settle()
    status = Status(cluster[1].core)
    assert (status.role, status.leader_id, status.term, status.vote) == (Role.LEADER, 1, 2, 1)
    assert status.last_index == status.commit == status.applied == 5
    assert status.conf.voters == (1, 2, 3)
    assert {member: progress.match for member, progress in status.progress.items()} == {
        1: 5,
        2: 5,
        3: 5,
    }
    assert (status.held_count, status.held_bytes, status.transfer_to) == (0, 0, 0)


def test_a_member_without_a_leader_shows_what_it_holds() -> None:
    cluster = Cluster.of(3)
    cluster[2].run(Batch(proposals=[b"abc", b"de"]))
    status = Status(cluster[2].core)
    assert (status.leader_id, status.held_count, status.held_bytes) == (0, 2, 5)


def test_a_transfer_shows_until_it_is_done() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    status = Status(cluster[1].core)
    cluster.isolate(2)
    cluster[1].run(Batch(transfer_to=2))
    assert status.transfer_to == 2
