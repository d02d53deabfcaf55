"""Retention: what the log keeps while a snapshot brings a member up to date, and for how long."""

from dataclasses import dataclass

from etcdpy.consensus.messages import ConfChange, ConfChangeKind, Message, MessageKind, SnapshotMeta
from etcdpy.consensus.progress import ProgressState
from etcdpy.consensus.pump import Batch, SnapshotReport
from etcdpy.consensus.retention import ENTRY_MEMORY_BYTES, SILENT_CHECKS_MAX
from etcdpy.consensus.state import RaftConfig
from tests.consensus.harness import Cluster, Member

ROOMY = RaftConfig(1)
FOLLOWER = 3  # who lags


@dataclass(frozen=True)
class Sending:
    """A leader, 1, that is sending the snapshot at `index` to 3, which hears nothing else."""

    cluster: Cluster
    message: Message
    index: int

    @property
    def leader(self) -> Member:
        return self.cluster[1]

    def write(self, count: int) -> None:
        write(self.cluster, count)

    def compact(self) -> int:
        """Take a snapshot of all that is applied and compact up to it; return where to."""
        return take_snapshot(self.leader)

    def arrive(self) -> None:
        """Have the snapshot arrive, and nothing after it."""
        self.leader.run(Batch(snapshot_reports=[SnapshotReport(FOLLOWER, True)]))
        self.cluster[FOLLOWER].step(self.message)

    def pass_check(self) -> None:
        """Let the leader check its quorum once."""
        for _ in range(self.leader.config.election_ticks):
            self.cluster.tick(1)
            self.cluster.settle()
        assert self.leader.state.is_leader


def sending(config: RaftConfig = ROOMY) -> Sending:
    cluster = Cluster.of(3, config)
    cluster.elect(1)
    cluster.isolate(FOLLOWER)
    return send(cluster, FOLLOWER)


def send(cluster: Cluster, to: int) -> Sending:
    """Have a snapshot sent to a member that is cut off, and then is again."""
    leader = cluster[1]
    write(cluster, 5)
    take_snapshot(leader)
    cut = set(cluster.cut)
    cluster.cut -= {(1, to), (to, 1)}
    cluster.tick(1)
    while not leader.snapshots:
        assert cluster.deliver()
    request = leader.snapshots.pop()
    assert request.to == to
    cluster.cut = cut
    cluster.settle()
    meta = request.message.snapshot
    assert meta is not None
    return Sending(cluster, request.message, meta.index)


def write(cluster: Cluster, count: int) -> None:
    cluster[1].run(Batch(proposals=[b"x" * 100] * count))
    cluster.settle()


def take_snapshot(leader: Member) -> int:
    log = leader.state.log
    leader.storage.snapshot(SnapshotMeta(log.applied, log.term(log.applied), leader.state.conf))
    return leader.core.compact(log.applied)


def test_what_follows_a_snapshot_is_kept_while_it_is_on_its_way() -> None:
    it = sending()
    for _ in range(3):
        it.write(10)
        assert it.compact() == it.index
    it.arrive()
    it.write(10)
    assert it.compact() == it.index
    it.cluster.heal()
    it.cluster.tick(1)
    it.cluster.settle()
    assert it.leader.state.progress[FOLLOWER].state is ProgressState.REPLICATE
    assert it.cluster[FOLLOWER].applied == it.leader.applied[-40:]  # all by the log
    assert it.compact() == it.leader.state.log.applied


def test_what_a_member_has_by_now_is_kept_no_longer() -> None:
    it = sending(RaftConfig(1, append_bytes_max=250, inflight_count_max=1, inflight_bytes_max=250))
    it.write(10)
    it.arrive()
    it.cluster.heal()
    it.cluster.tick(1)
    match = it.leader.state.progress[FOLLOWER].match
    while match < it.leader.state.log.last_index:
        assert it.compact() == max(match, it.index)
        assert it.cluster.deliver()
        match = it.leader.state.progress[FOLLOWER].match
    assert it.compact() == match


def test_a_member_that_has_what_is_compacted_has_no_claim_any_more() -> None:
    it = sending()
    it.arrive()
    it.cluster.heal()
    it.cluster.tick(1)
    it.cluster.settle()
    assert it.compact() == it.index  # all that there is
    it.cluster.isolate(FOLLOWER)
    it.write(10)
    assert it.compact() == it.index + 10


def test_the_log_is_kept_for_whoever_needs_most_of_it() -> None:
    cluster = Cluster.of(5)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.isolate(4)
    first = send(cluster, 3)
    second = send(cluster, 4)
    assert first.index < second.index
    second.write(10)
    assert second.compact() == first.index
    second.leader.run(Batch(snapshot_reports=[SnapshotReport(3, False)]))
    assert second.compact() == second.index


def test_a_snapshot_that_did_not_arrive_keeps_nothing() -> None:
    it = sending()
    it.write(10)
    it.leader.run(Batch(snapshot_reports=[SnapshotReport(FOLLOWER, False)]))
    assert it.compact() == it.index + 10


def test_a_silent_member_keeps_the_log_for_a_while_only() -> None:
    it = sending()
    it.arrive()
    it.write(10)
    it.pass_check()  # it was heard of before that
    for _ in range(SILENT_CHECKS_MAX - 1):
        it.pass_check()
    assert it.compact() == it.index
    it.pass_check()
    assert it.compact() == it.index + 10


def test_one_that_is_heard_of_again_has_all_the_time_again() -> None:
    it = sending()
    it.write(10)
    for _ in range(SILENT_CHECKS_MAX):
        it.pass_check()
    answer = Message(MessageKind.HEARTBEAT_RESPONSE, 1, FOLLOWER, it.leader.state.term)
    it.leader.step(answer)
    for _ in range(SILENT_CHECKS_MAX):
        it.pass_check()
    assert it.compact() == it.index
    it.pass_check()
    assert it.compact() == it.index + 10


def test_what_is_kept_has_a_bound() -> None:
    count = 20
    it = sending(RaftConfig(1, kept_bytes_max=count * (100 + ENTRY_MEMORY_BYTES)))
    it.write(count)
    assert it.compact() == it.index
    it.write(1)
    assert it.compact() == it.index + count + 1


def test_the_bound_is_for_what_is_kept_and_not_for_what_came_by() -> None:
    count = 20
    it = sending(RaftConfig(1, kept_bytes_max=count * (100 + ENTRY_MEMORY_BYTES)))
    it.write(count)
    it.arrive()
    match = it.index + count // 2
    term = it.leader.state.term
    it.leader.step(Message(MessageKind.APPEND_RESPONSE, 1, FOLLOWER, term, match))
    it.write(count // 2)
    assert it.compact() == match
    it.write(1)
    assert it.compact() == it.index + count + count // 2 + 1


def test_nothing_is_kept_for_one_that_is_a_member_no_more() -> None:
    it = sending()
    it.leader.run(Batch(changes=[ConfChange(ConfChangeKind.REMOVE, FOLLOWER)]))
    it.cluster.settle()
    assert it.compact() == it.leader.state.log.applied > it.index


def test_who_does_not_lead_any_more_keeps_nothing() -> None:
    it = sending()
    it.write(10)
    term = it.leader.state.term + 1
    it.leader.step(Message(MessageKind.HEARTBEAT, 1, 2, term))
    assert it.compact() == it.index + 10
