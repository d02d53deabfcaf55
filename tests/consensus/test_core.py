"""core: the tables, and what Ready hands out."""

import random

import pytest

from etcdpy.consensus import proposals, replication
from etcdpy.consensus.core import HANDLERS, Raft
from etcdpy.consensus.messages import (
    KINDS_AFTER_PERSIST,
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
)
from etcdpy.consensus.pump import Batch, Pump
from etcdpy.consensus.state import RaftConfig
from etcdpy.errors import FatalError
from tests.consensus.harness import Cluster, Member, MemoryStorage, with_log


def test_every_role_has_a_row_for_every_message() -> None:
    for role in Role:
        assert set(HANDLERS[role]) == set(MessageKind)


def test_every_response_and_vote_request_waits_for_the_disk() -> None:
    waiting = {kind for kind in MessageKind if kind.name.endswith("_RESPONSE")}
    assert waiting | {MessageKind.VOTE, MessageKind.PRE_VOTE} == KINDS_AFTER_PERSIST


@pytest.mark.parametrize("to", [1, 9])
def test_a_message_for_another_is_counted_and_dropped(to: int) -> None:
    member = Member(RaftConfig(1), with_log([2]))
    member.step(Message(MessageKind.HEARTBEAT, to, 1, 9))
    assert (member.state.term, member.state.counters.messages_misdirected) == (2, 1)


def test_a_hard_state_older_than_the_log_is_fatal() -> None:
    with pytest.raises(FatalError, match="hard state of term 1 with a log of term 2"):
        Raft(RaftConfig(1), with_log([2], term=1), random.Random(1))


def test_the_same_calls_give_the_same_trace() -> None:
    def trace() -> str:
        cluster = Cluster.of(3)
        for turn in range(60):
            for member_id, member in cluster.members.items():
                member.run(Batch(tick_count=1, proposals=[b"%d" % (turn * member_id)]))
            cluster.deliver()
        return repr([member.trace for member in cluster.members.values()])

    assert trace() == trace()


def test_a_removed_member_does_not_campaign_even_with_a_vote() -> None:
    member = Member(RaftConfig(1, removed=(1,)), with_log([2]))
    member.tick(50)
    assert member.state.role is Role.FOLLOWER
    assert member.soft_states[-1].is_removed


def test_a_member_removed_before_this_start_is_told() -> None:
    member = Member(RaftConfig(1, removed=(9,)), with_log([2]))
    sent = member.step(Message(MessageKind.PRE_VOTE, 1, 9, 9, index=9, log_term=9))
    assert [(m.kind, m.to) for m in sent] == [(MessageKind.REMOVED, 9)]


def test_a_refused_change_has_no_effect() -> None:
    cluster = Cluster.of(1)
    member = cluster[1]
    index = member.state.log.last_index + 1
    member.refused = (index,)
    stage = Batch(changes=[ConfChange(ConfChangeKind.ADD_VOTER, 7)])
    member.run(stage)
    assert (member.state.log.applied, member.state.conf) == (index, ConfState((1,), ()))
    member.refused = ()
    member.run(stage)
    assert member.state.conf == ConfState((1, 7), ())


def test_a_pending_snapshot_is_no_time_to_campaign() -> None:
    core = Raft(RaftConfig(1), with_log([2]), random.Random(1))
    pump = Pump(core)
    meta = SnapshotMeta(9, 3, ConfState((1, 2, 3), ()))
    pump.begin(Batch(messages=[Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=meta)]))
    core.campaign()
    assert core.state.role is Role.FOLLOWER


def test_reads_are_bounded() -> None:
    member = Member(RaftConfig(1, reads_count_max=2), with_log([2]))
    member.run(Batch(reads=[1, 2, 3]))
    assert member.state.counters.reads_dropped == 1
    cluster = Cluster.of(3, RaftConfig(1, reads_count_max=2))
    cluster[1].core.campaign()
    cluster[1].run()
    cluster.settle()
    asked = [Message(MessageKind.READ_INDEX, 1, 2, 2, context=n) for n in (5, 6, 7)]
    cluster[1].run(Batch(messages=asked))
    assert cluster[1].state.counters.reads_dropped == 1


def test_forwards_are_remembered_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "FORWARDS_TAKEN_MAX", 2)
    cluster = Cluster.of(3)
    cluster.elect(1)
    entries = (Entry(0, 0, 0, b"x"),)
    for context in (1, 2, 3):
        message = Message(MessageKind.PROPOSE, 1, 2, 2, entries=entries, context=context)
        cluster[1].step(message)
    assert list(cluster[1].state.forwards_taken[2]) == [2, 3]


def test_a_leader_whose_snapshot_does_not_reach_its_log_is_broken() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    state, storage = cluster[1].state, cluster[1].storage
    storage.snapshot(SnapshotMeta(4, 2, state.conf))
    cluster[1].core.compact(4)
    storage.meta = SnapshotMeta(2, 1, state.conf)
    state.progress[3].is_recent_active = True
    state.progress[3].next = 2
    with pytest.raises(FatalError, match="snapshot is at 2"):
        cluster[1].run(Batch(proposals=[b"x"]))


def test_a_restart_finds_the_hard_state_and_applies_again() -> None:
    storage = MemoryStorage(HardState(3, 2, 1), SnapshotMeta(1, 1, ConfState((1, 2), ())))
    member = Member(RaftConfig(1), storage)
    member.run()
    assert member.state.hard_state == HardState(3, 2, 1)
    assert member.applied == []


def test_an_id_that_comes_back_is_a_member_again() -> None:
    cluster = Cluster.of(2)
    cluster.elect(1)
    for kind in (ConfChangeKind.REMOVE, ConfChangeKind.ADD_LEARNER):
        cluster[1].run(Batch(changes=[ConfChange(kind, 2)]))
        cluster.settle()
    assert cluster[1].state.conf == ConfState((1,), (2,))
    assert cluster[1].state.removed == set()


def test_a_learned_commit_leaves_a_followers_leader_alone() -> None:
    member = Member(RaftConfig(1), with_log([2, 2]))
    member.step(Message(MessageKind.HEARTBEAT, 1, 2, 2))
    member.step(Message(MessageKind.VOTE_RESPONSE, 1, 3, 2, 0, 2, 3, is_rejected=True))
    assert (member.state.log.commit, member.state.leader_id) == (3, 2)


def test_a_learned_commit_must_be_of_the_very_entry() -> None:
    member = Member(RaftConfig(1), with_log([2, 2]))
    member.step(Message(MessageKind.VOTE_RESPONSE, 1, 3, 2, 0, 1, 3, is_rejected=True))
    member.step(Message(MessageKind.VOTE_RESPONSE, 1, 3, 2, 0, 2, 9, is_rejected=True))
    assert member.state.log.commit == 1


def test_a_candidate_that_learns_a_commit_without_a_change_goes_on() -> None:
    member = Member(RaftConfig(1), with_log([2, 2], (1, 2, 3, 4, 5)))
    member.core.campaign()
    member.run()
    member.step(Message(MessageKind.PRE_VOTE_RESPONSE, 1, 3, 2, 0, 2, 3, is_rejected=True))
    assert (member.state.log.commit, member.state.role) == (3, Role.PRE_CANDIDATE)


def test_a_leader_that_has_just_removed_itself_counts_its_own_log_no_more() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    member = cluster[1]
    member.run(Batch(changes=[ConfChange(ConfChangeKind.REMOVE, 1)]))
    cluster.deliver()
    cluster.collect()
    answers = [message for message in cluster.wire if message.to == 1]
    # The removal is applied while this batch's own entry is still to be persisted.
    member.run(Batch(messages=answers, proposals=[b"x"]))
    assert member.state.is_removed
    assert (member.state.log.durable, member.state.log.commit) == (6, 5)


def test_a_transfer_goes_on_while_another_member_is_added() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster[1].run(Batch(changes=[ConfChange(ConfChangeKind.ADD_LEARNER, 9)]))
    cluster.isolate(3)
    cluster[1].run(Batch(transfer_to=3))
    cluster.settle()
    assert cluster[1].state.conf.learners == (9,)
    assert cluster[1].state.transfer_to == 3


def test_what_is_durable_counts_once() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    state = cluster[1].state
    before = (state.log.commit, state.progress[1].match)
    replication.own_persisted(state)
    assert (state.log.commit, state.progress[1].match) == before
