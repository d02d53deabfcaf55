"""Defects of elections and membership, most of them of kinds that were found in real systems."""

from collections.abc import Sequence

from etcdpy.consensus import election, membership, reads, replication
from etcdpy.consensus import state as state_module
from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.core import HANDLERS, Raft
from etcdpy.consensus.log import RaftLog
from etcdpy.consensus.messages import (
    KINDS_AFTER_PERSIST,
    Entry,
    EntryKind,
    HardState,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
)
from etcdpy.consensus.state import AppliedChange, State
from tests.simulation.mutants.harness import Patches, mutant


@mutant("vote without persisting it")
def vote_without_persisting(patches: Patches) -> None:
    def must_persist(self: Raft) -> bool:
        log = self.state.log
        return bool(log.unstable) or log.pending_snapshot is not None

    patches.replace(Raft, "_must_persist", must_persist)


@mutant("vote request sent before the fsync")
def vote_request_before_fsync(patches: Patches) -> None:
    kinds = KINDS_AFTER_PERSIST - {MessageKind.VOTE, MessageKind.PRE_VOTE}
    patches.replace(state_module, "KINDS_AFTER_PERSIST", kinds)


@mutant("vote granted before the fsync")
def vote_response_before_fsync(patches: Patches) -> None:
    kinds = KINDS_AFTER_PERSIST - {MessageKind.VOTE_RESPONSE}
    patches.replace(state_module, "KINDS_AFTER_PERSIST", kinds)


@mutant("log check skipped in a vote")
def log_check_skipped(patches: Patches) -> None:
    def is_up_to_date(self: RaftLog, index: int, term: int) -> bool:
        del self, index, term
        return True

    patches.replace(RaftLog, "is_up_to_date", is_up_to_date)


@mutant("log check of a vote compares indexes before terms")
def log_check_by_index(patches: Patches) -> None:
    def is_up_to_date(self: RaftLog, index: int, term: int) -> bool:
        return (index, term) >= (self.last_index, self.last_term)

    patches.replace(RaftLog, "is_up_to_date", is_up_to_date)


@mutant("two votes in one term")
def two_votes(patches: Patches) -> None:
    before = election.on_vote_request

    def on_vote_request(state: State, message: Message) -> None:
        if message.kind is MessageKind.VOTE and not state.leader_id:
            state.vote = 0
        before(state, message)

    patches.replace_handler(HANDLERS, on_vote_request, before)


@mutant("a vote that is delivered twice counts twice")
def vote_counted_twice(patches: Patches) -> None:
    before = election.on_vote_response

    def on_vote_response(state: State, message: Message) -> None:
        if not message.is_rejected and message.sender in state.votes:
            silent = [voter for voter in state.voters if voter not in state.votes]
            if silent:
                message = message._replace(sender=silent[0])
        before(state, message)

    patches.replace_handler(HANDLERS, on_vote_response, before)


@mutant("configuration forgotten at a restart")
def configuration_forgotten(patches: Patches) -> None:
    before = State._init_member

    def init_member(self: State, meta: SnapshotMeta) -> None:
        before(self, meta)
        if self.voters:
            self.voters = (self.id,)

    patches.replace(State, "_init_member", init_member)


@mutant("configuration forgotten in a snapshot")
def configuration_not_in_snapshot(patches: Patches) -> None:
    before = replication._maybe_restore

    def maybe_restore(state: State, meta: SnapshotMeta) -> None:
        voters, learners = state.voters, state.learners
        before(state, meta)
        state.voters, state.learners = voters, learners

    patches.replace(replication, "_maybe_restore", maybe_restore)


@mutant("second change proposed before the first is applied")
def second_change(patches: Patches) -> None:
    patches.replace(membership, "may_propose", lambda state: True)


@mutant("change in effect when appended, by the leader alone")
def change_in_effect_early(patches: Patches) -> None:
    before = membership.append_change

    def append_change(state: State, data: bytes) -> None:
        before(state, data)
        entry = state.log.unstable[-1]
        membership.apply_change(state, decode_conf_change(entry.data))

    patches.replace(membership, "append_change", append_change)


@mutant("change in effect before its commit is on disk")
def change_in_effect_undurable(patches: Patches) -> None:
    def hold_back(state: State, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            if entry.kind == EntryKind.CONF_CHANGE:
                change = decode_conf_change(entry.data)
                state.applying_changes.append(AppliedChange(entry.index, change))
        return entries

    patches.replace(membership, "hold_back", hold_back)


@mutant("campaign with an unapplied change")
def campaign_with_change(patches: Patches) -> None:
    patches.replace(membership, "has_unapplied_change", lambda state: False)


@mutant("a quorum is half of an even number")
def half_is_a_quorum(patches: Patches) -> None:
    def committed(matches: Sequence[int]) -> int:
        count = len(matches)
        return sorted(matches)[count - (count + 1) // 2] if count else 0

    patches.replace(replication, "committed_index", committed)
    patches.replace(reads, "majority", lambda count: (count + 1) // 2)


@mutant("transfer that leaves two leaders")
def transfer_two_leaders(patches: Patches) -> None:
    before = election.on_timeout_now

    def on_timeout_now(state: State, message: Message) -> None:
        del message
        # The old leader said so: what need is there of votes?
        state.reset(state.term + 1)
        state.role = Role.CANDIDATE
        election._become_leader(state)

    patches.replace_handler(HANDLERS, on_timeout_now, before)


@mutant("transfer to a member that lags, votes granted unseen")
def transfer_to_lagging(patches: Patches) -> None:
    before = election.on_vote_request

    def on_vote_request(state: State, message: Message) -> None:
        if message.hint == election.HINT_TRANSFER:
            message = message._replace(index=1 << 40, log_term=1 << 40)
        before(state, message)

    def transfer_leadership(state: State, to: int) -> None:
        if state.is_leader and to != state.id and to in state.voters:
            state.post(Message(MessageKind.TIMEOUT_NOW, to, state.id, state.term))

    patches.replace_handler(HANDLERS, on_vote_request, before)
    patches.replace(election, "transfer_leadership", transfer_leadership)


@mutant("removed member disrupts: no pre-vote, leaders not stuck to, removal not minded")
def removed_member_disrupts(patches: Patches) -> None:
    before = Raft.step

    def step(self: Raft, message: Message) -> None:
        state = self.state
        if message.kind is MessageKind.REMOVED:
            return
        removed, state.removed = state.removed, set()
        if message.kind is MessageKind.VOTE:
            message = message._replace(hint=election.HINT_TRANSFER)
        before(self, message)
        state.removed |= removed

    def may_campaign(state: State) -> bool:
        return state.is_voter and not state.is_leader

    patches.replace(Raft, "step", step)
    patches.replace(election, "may_campaign", may_campaign)
    patches.replace(election, "_become_pre_candidate", election._become_candidate)


@mutant("leader begins its term without an entry")
def no_first_entry(patches: Patches) -> None:
    def become_leader(state: State) -> None:
        state.reset(state.term)
        state.role = Role.LEADER
        state.leader_id = state.id
        state.pending_change_index = state.log.last_index

    patches.replace(election, "_become_leader", become_leader)


@mutant("leader without a quorum leads on")
def no_check_quorum(patches: Patches) -> None:
    patches.replace(election, "_check_quorum", lambda state: None)


@mutant("own vote counted before the fsync")
def own_vote_early(patches: Patches) -> None:
    before = election._become_candidate

    def become_candidate(state: State, *, is_transfer: bool = False) -> None:
        before(state, is_transfer=is_transfer)
        election.own_vote_persisted(state)

    patches.replace(election, "_become_candidate", become_candidate)


@mutant("hard state of an earlier batch written")
def old_hard_state(patches: Patches) -> None:
    def hard_state(self: State) -> HardState:
        vote = 0 if self.role is Role.FOLLOWER else self.vote
        return HardState(self.term, vote, self.log.commit)

    patches.replace(State, "hard_state", property(hard_state))
