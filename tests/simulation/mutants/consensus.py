"""Defects of the core and the pump, most of them of kinds that were found in real systems."""

from collections.abc import Sequence
from typing import Any

from etcdpy.consensus import core, election, membership, proposals, reads, replication
from etcdpy.consensus import state as state_module
from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.core import HANDLERS, Raft
from etcdpy.consensus.log import RaftLog
from etcdpy.consensus.messages import (
    KINDS_AFTER_PERSIST,
    Entry,
    HardState,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
)
from etcdpy.consensus.progress import Progress
from etcdpy.consensus.pump import Pump
from etcdpy.consensus.quorum import committed_index, majority
from etcdpy.consensus.state import State
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


@mutant("append acknowledged before the fsync")
def append_acknowledged_before_fsync(patches: Patches) -> None:
    kinds = KINDS_AFTER_PERSIST - {MessageKind.APPEND_RESPONSE}
    patches.replace(state_module, "KINDS_AFTER_PERSIST", kinds)


@mutant("own match counted before the fsync")
def own_match_before_fsync(patches: Patches) -> None:
    before = replication.append_own

    def append_own(state: State, kind: int, datas: Sequence[bytes]) -> None:
        before(state, kind, datas)
        own = state.progress.get(state.id)
        if own is not None and own.maybe_update(state.log.last_index):
            replication.maybe_commit(state)

    patches.replace(replication, "append_own", append_own)


@mutant("entry of an old term committed by counting")
def old_term_committed(patches: Patches) -> None:
    def maybe_commit(state: State) -> bool:
        index = committed_index([state.progress[voter].match for voter in state.voters])
        if index <= state.log.commit:
            return False
        state.log.commit_to(index)
        state.is_append_due = True
        return True

    patches.replace(replication, "maybe_commit", maybe_commit)


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


@mutant("entry applied twice")
def applied_twice(patches: Patches) -> None:
    before = RaftLog.take_committed

    def take_committed(self: RaftLog, count_max: int, bytes_max: int) -> list[Entry]:
        entries = before(self, count_max, bytes_max)
        if len(entries) > 3:
            self.applying -= 1  # handed out again with the next ones
        return entries

    patches.replace(RaftLog, "take_committed", take_committed)


@mutant("entry applied before it is committed")
def applied_before_commit(patches: Patches) -> None:
    def take_committed(self: RaftLog, count_max: int, bytes_max: int) -> list[Entry]:
        low, high = self.applying + 1, min(self.offset, self.applying + 1 + count_max)
        if self.pending_snapshot is not None or low >= high:
            return []
        entries = self.entries(low, high, bytes_max)
        self.applying = entries[-1].index
        self.commit = max(self.commit, self.applying)
        return entries

    patches.replace(RaftLog, "take_committed", take_committed)


@mutant("read without a quorum")
def read_without_quorum(patches: Patches) -> None:
    def flush(state: State) -> bool:
        if not reads.is_flush_due(state):
            return False
        waiting, state.reads_waiting = state.reads_waiting, []
        if state.is_leader:
            reads._release(state, waiting, state.log.commit)
        else:
            reads._forward(state, waiting)
        return False

    patches.replace(reads, "flush", flush)


@mutant("read index given out before an own-term commit")
def read_before_own_commit(patches: Patches) -> None:
    patches.replace(reads, "is_commit_known", lambda state: True)


@mutant("read round ended by answers to an earlier one")
def read_round_mixed_up(patches: Patches) -> None:
    before = reads.acknowledge

    def acknowledge(state: State, sender: int, context: int) -> None:
        if state.read_round is not None:
            context = state.read_round.context
        before(state, sender, context)

    patches.replace(reads, "acknowledge", acknowledge)


@mutant("read served before its index is applied")
def read_before_applied(patches: Patches) -> None:
    before = Pump._apply

    def apply(self: Pump, actions: list[Any]) -> None:
        waiting = self.core.state.read_states
        self.core.state.read_states = [state._replace(index=0) for state in waiting]
        before(self, actions)

    patches.replace(Pump, "_apply", apply)


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


@mutant("campaign with an unapplied change")
def campaign_with_change(patches: Patches) -> None:
    patches.replace(membership, "has_unapplied_change", lambda state: False)


@mutant("learner counted for the commit")
def learner_counted(patches: Patches) -> None:
    def maybe_commit(state: State) -> bool:
        index = committed_index([progress.match for progress in state.progress.values()])
        if index <= state.log.commit or state.log.find_term(index) != state.term:
            return False
        state.log.commit_to(index)
        state.is_append_due = True
        return True

    patches.replace(replication, "maybe_commit", maybe_commit)


@mutant("a quorum is half of an even number")
def half_is_a_quorum(patches: Patches) -> None:
    def committed(matches: Sequence[int]) -> int:
        count = len(matches)
        return sorted(matches)[count - (count + 1) // 2] if count else 0

    patches.replace(replication, "committed_index", committed)
    patches.replace(reads, "majority", lambda count: (count + 1) // 2)


@mutant("stale append response moves match back")
def match_moves_back(patches: Patches) -> None:
    def maybe_update(self: Progress, index: int) -> bool:
        is_news = self.match < index
        self.match = index
        self.is_probe_sent = False
        self.next = max(self.next, index + 1)
        return is_news

    patches.replace(Progress, "maybe_update", maybe_update)


@mutant("rejected append counts as a match")
def rejection_counts(patches: Patches) -> None:
    before = replication.on_append_response

    def on_append_response(state: State, message: Message) -> None:
        if message.is_rejected and message.hint:
            message = message._replace(is_rejected=False, index=message.hint)
        before(state, message)

    patches.replace_handler(HANDLERS, on_append_response, before)


@mutant("snapshot installed over newer entries")
def snapshot_over_newer(patches: Patches) -> None:
    def maybe_restore(state: State, meta: SnapshotMeta) -> None:
        if meta.index > state.log.commit:
            state.log.restore(meta)
            state.voters, state.learners = meta.conf
            state.applying_changes.clear()
            state.reset_progress()

    patches.replace(replication, "_maybe_restore", maybe_restore)


@mutant("append cuts off what follows, conflict or not")
def append_truncates(patches: Patches) -> None:
    def maybe_append(self: RaftLog, index: int, term: int, entries: Sequence[Entry]) -> int | None:
        if self.find_term(index) != term:
            return None
        rest = [entry for entry in entries if entry.index > self.commit]
        if rest:
            self.append(rest)
        return index + len(entries)

    patches.replace(RaftLog, "maybe_append", maybe_append)


@mutant("committed entry truncated")
def committed_truncated(patches: Patches) -> None:
    def maybe_append(self: RaftLog, index: int, term: int, entries: Sequence[Entry]) -> int | None:
        if self.find_term(index) != term:
            return None
        if entries:
            first = entries[0].index
            if first < self.offset:
                self.offset, self.unstable = first, list(entries)
            else:
                self.unstable[first - self.offset :] = entries
        return index + len(entries)

    patches.replace(RaftLog, "maybe_append", maybe_append)
    patches.replace(replication, "on_append", _on_append_below_commit)
    patches.replace_handler(HANDLERS, _on_append_below_commit, _ON_APPEND)


_ON_APPEND = replication.on_append


def _on_append_below_commit(state: State, message: Message) -> None:
    """Take an append that begins below the commit index instead of answering with that."""
    log = state.log
    replication.hear_leader(state, message.sender)
    last = log.maybe_append(message.index, message.log_term, message.entries)
    if last is None:
        _ON_APPEND(state, message)
        return
    log.commit = max(log.commit, min(message.commit, last))
    replication._respond(state, message, last)


@mutant("entry before the new ones not compared")
def previous_not_compared(patches: Patches) -> None:
    before = RaftLog.maybe_append

    def maybe_append(self: RaftLog, index: int, term: int, entries: Sequence[Entry]) -> int | None:
        known = self.find_term(index)
        return before(self, index, term if known is None else known, entries)

    patches.replace(RaftLog, "maybe_append", maybe_append)


@mutant("commit index believed beyond what was compared")
def commit_believed(patches: Patches) -> None:
    before = replication.on_append

    def on_append(state: State, message: Message) -> None:
        before(state, message)
        if message.index >= state.log.commit:
            state.log.commit_to(min(message.commit, state.log.last_index))

    patches.replace_handler(HANDLERS, on_append, before)


@mutant("heartbeat commits what the member may not hold")
def heartbeat_commit_unbounded(patches: Patches) -> None:
    before = replication.on_heartbeat
    sending = replication.send_heartbeats

    def send_heartbeats(state: State) -> None:
        count = len(state.messages)
        sending(state)
        state.messages[count:] = [
            message._replace(commit=state.log.commit) for message in state.messages[count:]
        ]

    def on_heartbeat(state: State, message: Message) -> None:
        before(state, message._replace(commit=min(message.commit, state.log.last_index)))

    patches.replace(replication, "send_heartbeats", send_heartbeats)
    patches.replace_handler(HANDLERS, on_heartbeat, before)


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


@mutant("proposal sent twice: a forward is kept and sent again")
def forward_kept(patches: Patches) -> None:
    before = proposals._forward

    def forward(state: State, kind: Any, queue: Any) -> None:
        kept = list(queue)
        before(state, kind, queue)
        if state.random.randrange(8) == 0:
            queue.extend(kept)
            state.held_bytes += sum(map(len, kept))

    patches.replace(proposals, "_forward", forward)


@mutant("proposal taken twice: a second delivery is not recognised")
def forward_taken_twice(patches: Patches) -> None:
    before = proposals.on_propose

    def on_propose(state: State, message: Message) -> None:
        state.forwards_taken.clear()
        before(state, message)

    patches.replace_handler(HANDLERS, on_propose, before)


@mutant("proposal taken by the leader of another term")
def forward_to_later_leader(patches: Patches) -> None:
    before = core._answer_old_term

    def answer_old_term(state: State, message: Message) -> None:
        if message.kind is MessageKind.PROPOSE and state.is_leader:
            proposals.on_propose(state, message)
        else:
            before(state, message)

    def refuse_forward(state: State, message: Message) -> None:
        state.held.extend(entry.data for entry in message.entries)

    patches.replace(core, "_answer_old_term", answer_old_term)
    patches.replace_handler(HANDLERS, refuse_forward, proposals.refuse_forward)


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


@mutant("lost append is never sent again")
def lost_append(patches: Patches) -> None:
    def on_heartbeat_response(state: State, message: Message) -> None:
        progress = state.progress.get(message.sender)
        if progress is not None:
            progress.is_recent_active = True
            reads.acknowledge(state, message.sender, message.context)

    patches.replace_handler(HANDLERS, on_heartbeat_response, replication.on_heartbeat_response)


@mutant("hard state of an earlier batch written")
def old_hard_state(patches: Patches) -> None:
    def hard_state(self: State) -> HardState:
        vote = 0 if self.role is Role.FOLLOWER else self.vote
        return HardState(self.term, vote, self.log.commit)

    patches.replace(State, "hard_state", property(hard_state))


@mutant("quorum of the read round counts whoever answers")
def read_counts_learners(patches: Patches) -> None:
    def maybe_finish_round(state: State) -> None:
        current = state.read_round
        if current is not None and len(current.acknowledged) >= majority(len(state.voters)):
            state.read_round = None
            reads._release(state, current.requests, current.index)

    patches.replace(reads, "maybe_finish_round", maybe_finish_round)
