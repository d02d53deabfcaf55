"""Replication: appends, their answers, conflict hints, the commit rule, heartbeats, snapshots.

A file of its own because one idea holds it together: what a member's log is known to hold, from
the leader's side (Progress) and from the follower's.  Appends are not sent when an entry comes
in but once a batch (`flush`), to every member that may get one; answers send at once what they
have made room for.
"""

from collections.abc import Sequence
from itertools import count, repeat

from etcdpy.consensus import reads, retention
from etcdpy.consensus.messages import (
    HINT_COMMIT_ONLY,
    Entry,
    Message,
    MessageKind,
    SnapshotMeta,
    SnapshotRequest,
    make_entries,
    size_of,
)
from etcdpy.consensus.progress import Progress, ProgressState
from etcdpy.consensus.quorum import committed_index
from etcdpy.consensus.state import State
from etcdpy.errors import FatalError

# ---- the leader's side


def append_own(state: State, kind: int, datas: Sequence[bytes]) -> None:
    """Append entries of this leader's term; they count as its own once they are durable."""
    log = state.log
    indexes = count(log.last_index + 1)
    log.append(make_entries(zip(repeat(state.term), indexes, repeat(kind), datas)))
    size_bytes = sum(map(len, datas))
    state.uncommitted_bytes += size_bytes
    state.appended_bytes += size_bytes + retention.ENTRY_MEMORY_BYTES * len(datas)
    state.is_append_due = True


def flush(state: State) -> None:
    """Send once what this batch has added: entries, or a commit index that moved."""
    if not state.is_append_due:
        return
    state.is_append_due = False
    for member_id, progress in state.progress.items():
        if member_id != state.id:
            is_probe_worth = progress.state is ProgressState.PROBE and (
                progress.commit_sent < state.log.commit
            )
            _send_what_fits(state, member_id, progress, is_empty_worth=is_probe_worth)
            _tell_commit(state, member_id, progress)


def _tell_commit(state: State, to: int, progress: Progress) -> None:
    """Tell a member what is committed, unless something that will tell it is to follow soon.

    While an append is on its way its answer is awaited, with which comes the next chance: under
    load the commit index travels with the entries after it, and not by itself.
    """
    log = state.log
    is_due = progress.state is ProgressState.REPLICATE and progress.commit_sent < log.commit
    if not is_due or len(progress.inflights) or progress.next <= log.last_index:
        return
    progress.commit_sent = log.commit
    state.post(
        Message(
            MessageKind.APPEND,
            to,
            state.id,
            state.term,
            log.last_index,
            log.last_term,
            log.commit,
            hint=HINT_COMMIT_ONLY,
        )
    )


def _send_what_fits(
    state: State, to: int, progress: Progress, *, is_empty_worth: bool = False
) -> None:
    """Send appends until the member is up to date or must be waited for."""
    while not progress.is_paused:
        if progress.next > state.log.last_index and not is_empty_worth:
            return
        if not _send_append(state, to, progress):
            return
        is_empty_worth = False


def _send_append(state: State, to: int, progress: Progress) -> bool:
    """Send one append, or ask for a snapshot where its entries are compacted."""
    log = state.log
    previous = progress.next - 1
    previous_term = log.find_term(previous)
    if previous_term is None:
        _send_snapshot(state, to, progress)
        return False
    entries: list[Entry] = []
    if progress.next <= log.last_index:
        entries = log.entries(progress.next, log.last_index + 1, state.config.append_bytes_max)
    state.post(
        Message(
            MessageKind.APPEND,
            to,
            state.id,
            state.term,
            previous,
            previous_term,
            log.commit,
            entries,
        )
    )
    progress.commit_sent = log.commit
    progress.sent(previous + len(entries), len(entries), size_of(entries))
    return True


def _send_snapshot(state: State, to: int, progress: Progress) -> None:
    """Ask for the newest snapshot to be sent, unless the member can't be there to take it."""
    if not progress.is_recent_active:
        return
    meta = state.log.snapshot_meta()
    if meta.index < state.log.first_index - 1:
        raise FatalError(f"log begins at {state.log.first_index}, snapshot is at {meta.index}")
    progress.become_snapshot(meta.index)
    retention.claim(state, progress, meta.index)
    message = Message(MessageKind.SNAPSHOT, to, state.id, state.term, snapshot=meta)
    state.snapshot_requests.append(SnapshotRequest(to, message))


def on_append_response(state: State, message: Message) -> None:
    """Learn from an answer how far a member is; commit, and send what it may have next."""
    progress = state.progress.get(message.sender)
    if progress is None:
        return  # removed since, and its answer was on its way
    progress.is_recent_active = True
    if message.is_rejected:
        _step_back(state, message, progress)
        return
    if not _acknowledge(state, progress, message.index):
        return
    maybe_commit(state)
    _send_what_fits(state, message.sender, progress)
    if progress.commit_sent < state.log.commit:
        state.is_append_due = True
    if message.sender == state.transfer_to and progress.match == state.log.last_index:
        state.post(Message(MessageKind.TIMEOUT_NOW, message.sender, state.id, state.term))


def _step_back(state: State, message: Message, progress: Progress) -> None:
    """Probe where the two logs may agree, skipping a term at a time on either side."""
    candidate = message.hint
    if message.log_term > 0:
        candidate = state.log.find_conflict_by_term(message.hint, message.log_term).index
    if progress.maybe_decrease(message.index, candidate):
        if progress.state is ProgressState.REPLICATE:
            progress.become_probe()
        _send_what_fits(state, message.sender, progress, is_empty_worth=True)


def _acknowledge(state: State, progress: Progress, index: int) -> bool:
    """Note that a member's log agrees up to `index`; return whether that changes anything."""
    was_paused = progress.is_paused
    is_news = progress.maybe_update(index)
    if progress.state is ProgressState.PROBE:
        if not is_news and progress.match != index:
            return False
        progress.become_replicate()
        return True
    if progress.state is ProgressState.SNAPSHOT:
        if not is_news or progress.match + 1 < state.log.first_index:
            return False
        progress.become_replicate()
        return True
    progress.inflights.free_to(index)
    return is_news or was_paused


def maybe_commit(state: State) -> None:
    """Commit what a quorum of voters holds, if it is of this term.

    Source: Raft (extended), section 5.4.2.
    """
    matches = [state.progress[voter].match for voter in state.voters]
    index = committed_index(matches)
    if index <= state.log.commit or state.log.find_term(index) != state.term:
        return
    state.log.commit_to(index)
    state.is_append_due = True


def own_persisted(state: State) -> None:
    """Count this leader's own log, as far as it is durable, towards the commit."""
    own = state.progress.get(state.id)
    if own is not None and own.maybe_update(state.log.durable):
        maybe_commit(state)


def send_heartbeats(state: State) -> None:
    """Tell every member that the leader lives, with the read round that is going on."""
    context = 0 if state.read_round is None else state.read_round.context
    for member_id, progress in state.progress.items():
        if member_id != state.id:
            # No more than the member is known to hold: it can't check the rest.
            commit = min(progress.match, state.log.commit)
            state.post(
                Message(
                    MessageKind.HEARTBEAT,
                    member_id,
                    state.id,
                    state.term,
                    commit=commit,
                    context=context,
                )
            )


def on_heartbeat_response(state: State, message: Message) -> None:
    """Note that a member lives; send again what may have been lost; count it for the reads."""
    progress = state.progress.get(message.sender)
    if progress is None:
        return
    progress.is_recent_active = True
    progress.is_probe_sent = False
    if progress.state is ProgressState.REPLICATE and progress.inflights.is_full:
        progress.inflights.free_first()
    if progress.match < state.log.last_index:
        # Where an append was lost, even an empty one brings the rejection that shows it.
        _send_what_fits(state, message.sender, progress, is_empty_worth=True)
    reads.acknowledge(state, message.sender, message.context)


def report_unreachable(state: State, member_id: int) -> None:
    """Take note that what was sent to a member may be lost."""
    progress = state.progress.get(member_id)
    if state.is_leader and progress is not None and progress.state is ProgressState.REPLICATE:
        progress.become_probe()


def report_snapshot(state: State, member_id: int, *, is_ok: bool) -> None:
    """Take note of how the sending of a snapshot ended."""
    progress = state.progress.get(member_id)
    if not state.is_leader or progress is None or progress.state is not ProgressState.SNAPSHOT:
        return
    if is_ok:
        progress.become_probe()
    else:
        progress.fail_snapshot()
    # The next try waits for a sign of life: the answer to the snapshot, or to a heartbeat.
    progress.is_probe_sent = True


# ---- the follower's side


def hear_leader(state: State, leader_id: int) -> bool:
    """Follow the leader that has just been heard of in the current term; return whether it is one.

    Two of them in one term are the end, unless one is in no configuration here.  It may be a
    member, added by what this log does not hold yet, and is followed for that; but against a
    member its word counts for nothing.

    Raises: FatalError for two members that lead.
    """
    if state.leader_id not in (0, leader_id) and not _is_believed(state, leader_id):
        state.counters.strangers_refused += 1
        return False
    state.election_elapsed = 0
    if state.leader_id != leader_id:
        state.become_follower(state.term, leader_id)
    return True


def _is_believed(state: State, leader_id: int) -> bool:
    """Whether to follow `leader_id` instead of who leads already, as far as is known here."""
    if not state.is_member(leader_id):
        return False
    if state.is_leader or state.is_member(state.leader_id):
        raise FatalError(f"two leaders in term {state.term}: {leader_id:x} and {state.leader_id:x}")
    return True


def on_append(state: State, message: Message) -> None:
    """Take the leader's entries if they fit on this log, or say where the logs may agree.

    Source: Raft (extended), section 5.3.
    """
    if not hear_leader(state, message.sender):
        return
    log = state.log
    if message.index < log.commit:
        _respond(state, message, log.commit)
        return
    last = log.maybe_append(message.index, message.log_term, message.entries)
    if last is not None:
        log.commit_to(min(message.commit, last))
        if message.hint != HINT_COMMIT_ONLY:
            _respond(state, message, last)
        return
    hint = log.find_conflict_by_term(message.index, message.log_term)
    state.post(
        Message(
            MessageKind.APPEND_RESPONSE,
            message.sender,
            state.id,
            state.term,
            message.index,
            log_term=hint.term,
            is_rejected=True,
            hint=hint.index,
        )
    )


def on_heartbeat(state: State, message: Message) -> None:
    """Learn that the leader lives and what is committed."""
    if not hear_leader(state, message.sender):
        return
    if message.commit > state.log.last_index and not state.is_member(message.sender):
        state.counters.strangers_refused += 1
        return  # of a member it would mean that what it was told is lost
    state.log.commit_to(message.commit)
    state.post(
        Message(
            MessageKind.HEARTBEAT_RESPONSE,
            message.sender,
            state.id,
            state.term,
            context=message.context,
        )
    )


def on_snapshot(state: State, message: Message) -> None:
    """Put a snapshot in the place of the log, unless the log already holds what it stands for."""
    if not hear_leader(state, message.sender):
        return
    meta = message.snapshot
    assert meta is not None
    _maybe_restore(state, meta)
    _respond(state, message, state.log.commit)


def _maybe_restore(state: State, meta: SnapshotMeta) -> None:
    log = state.log
    if meta.index <= log.commit:
        return
    if log.find_term(meta.index) == meta.term:
        # The log goes on past the snapshot: throwing it away could lose what we acknowledged.
        log.commit_to(meta.index)
        return
    # This member may be in no configuration of it: then the log after it adds this member.
    log.restore(meta)
    # Who was a member and is none any more was removed by an entry that is skipped here.
    gone = {*state.voters, *state.learners}.difference(*meta.conf, {state.id})
    state.removed |= gone
    state.voters, state.learners = meta.conf
    state.applying_changes.clear()
    state.reset_progress()


def _respond(state: State, message: Message, index: int) -> None:
    state.post(Message(MessageKind.APPEND_RESPONSE, message.sender, state.id, state.term, index))
