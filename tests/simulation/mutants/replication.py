"""Defects of replication and of the log, most of them of kinds that were found in real systems."""

from collections.abc import Sequence

from etcdpy.consensus import reads, replication, retention
from etcdpy.consensus import state as state_module
from etcdpy.consensus.core import HANDLERS
from etcdpy.consensus.log import RaftLog
from etcdpy.consensus.messages import (
    KINDS_AFTER_PERSIST,
    Entry,
    Message,
    MessageKind,
    SnapshotMeta,
)
from etcdpy.consensus.progress import Progress
from etcdpy.consensus.quorum import committed_index
from etcdpy.consensus.state import State
from tests.simulation.mutants.harness import Patches, mutant


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


@mutant("log compacted behind a snapshot on its way")
def compacted_behind_a_snapshot(patches: Patches) -> None:
    patches.replace(retention, "compactable_to", lambda state, index: index)


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


@mutant("lost append is never sent again")
def lost_append(patches: Patches) -> None:
    def on_heartbeat_response(state: State, message: Message) -> None:
        progress = state.progress.get(message.sender)
        if progress is not None:
            progress.is_recent_active = True
            reads.acknowledge(state, message.sender, message.context)

    patches.replace_handler(HANDLERS, on_heartbeat_response, replication.on_heartbeat_response)
