"""Membership: one change at a time, in effect when applied; learners; the removed are told.

A file of its own because of its guards, without which changes that take effect when applied
lose committed entries:

1. a new leader proposes no change before all that its log held, and the first entry of its own
   term, is applied, and no second one before the first is applied;
2. a member with a committed change that it has not applied does not campaign;
3. the configuration is part of the snapshot, and a member's durable log never holds a change
   without a durable commit index that covers the change before it: the commit index travels
   with each append and is written in the frame that holds the entries;
4. no change takes effect before a commit index that covers it is durable, be it for that alone
   that something is written: what a member goes by is what it goes by after a restart.

So the configurations that two members go by differ by one voter at most, and every two quorums
meet.  The fourth is for going on: if all who remain restarted and forgot that a removal is
committed, they would need a quorum of the old configuration again, while who was removed has left
with good reason, and the next who fails is one too many.  For safety it changes nothing: a change
waits somewhat longer to be applied, and until then the second holds.
Source: Raft (thesis), chapter 4; etcd's reasons for changing when applied.
"""

from etcdpy.consensus import reads, replication
from etcdpy.consensus.codec import decode_conf_change, encode_conf_change
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    Message,
    MessageKind,
    has_change,
)
from etcdpy.consensus.state import AppliedChange, State

# Changes that wait for the one before them.  An operator makes one at a time; more than this
# at once is a mistake, and each of them times out at its proposer.
HELD_CHANGES_MAX = 16


def bootstrap_entries(changes: list[ConfChange]) -> list[Entry]:
    """Return the first entries of a new cluster's log: its members, added in term 1.

    Every member of the cluster must give the same changes in the same order, and write them
    with `bootstrap_hard_state` before its first start.
    """
    return [
        Entry(1, index, EntryKind.CONF_CHANGE, encode_conf_change(change))
        for index, change in enumerate(changes, 1)
    ]


def bootstrap_hard_state(entries: list[Entry]) -> HardState:
    """Return the hard state that belongs to `bootstrap_entries`: all of them are committed."""
    return HardState(term=1, vote=0, commit=len(entries))


def may_propose(state: State) -> bool:
    """Whether this leader may append a change now: guard 1."""
    return state.pending_change_index <= state.log.applied


def append_change(state: State, data: bytes) -> None:
    """As leader, append the encoded change, unless it can never take effect."""
    assert may_propose(state)
    if not changed(state.conf, decode_conf_change(data)).voters:
        state.counters.changes_refused += 1
        return
    replication.append_own(state, EntryKind.CONF_CHANGE, [data])
    state.pending_change_index = state.log.last_index


def has_unapplied_change(state: State) -> bool:
    """Whether a committed change, or a snapshot, is not applied yet: guard 2."""
    log = state.log
    if log.pending_snapshot is not None:
        return True
    # Committed entries do not change, so each is looked at once.
    low = max(state.changes_scanned_to, log.applied) + 1
    while low <= log.commit:
        entries = log.entries(low, log.commit + 1, state.config.apply_bytes_max)
        for entry in entries:
            if entry.kind == EntryKind.CONF_CHANGE:
                state.last_change_index = entry.index
        low += len(entries)
    state.changes_scanned_to = low - 1
    return state.last_change_index > log.applied


def hold_back(state: State, entries: list[Entry]) -> list[Entry]:
    """Return those of `entries`, taken to be applied, that may be; remember their changes.

    From a change on that is not known on disk to be committed the rest is given back: guard 4.
    """
    if not has_change(entries):
        return entries
    for position, entry in enumerate(entries):
        if entry.kind == EntryKind.CONF_CHANGE:
            if entry.index > state.persisted_hard_state.commit:
                state.commit_due = entry.index
                state.log.give_back(entry.index)
                return entries[:position]
            change = decode_conf_change(entry.data)
            state.applying_changes.append(AppliedChange(entry.index, change))
    return entries


def apply_change(state: State, change: ConfChange) -> None:
    """Put an applied change into effect."""
    before = state.conf
    after = changed(before, change)
    if after == before or not after.voters:
        return  # known already; or the last voter, without whom nothing could be decided again
    state.voters, state.learners = after
    _follow_progress(state)
    if change.kind == ConfChangeKind.REMOVE:
        state.removed.add(change.member_id)
        _tell_removed(state, change.member_id)
    elif change.member_id in state.removed:
        state.removed.discard(change.member_id)
    if state.is_leader:
        _settle_leader(state)


def changed(conf: ConfState, change: ConfChange) -> ConfState:
    """Return what `change` makes of `conf`."""
    if change.kind == ConfChangeKind.UPDATE:
        return conf
    voters, learners = set(conf.voters), set(conf.learners)
    voters.discard(change.member_id)
    learners.discard(change.member_id)
    if change.kind == ConfChangeKind.ADD_VOTER:
        voters.add(change.member_id)
    elif change.kind == ConfChangeKind.ADD_LEARNER:
        learners.add(change.member_id)
    return ConfState(tuple(sorted(voters)), tuple(sorted(learners)))


def _follow_progress(state: State) -> None:
    """Begin to track who is new, and forget who is gone."""
    members = {*state.voters, *state.learners}
    for member_id in members - state.progress.keys():
        progress = state.new_progress(state.log.last_index + 1)
        # It counts as alive until the next check: it had no time to show that it is.
        progress.is_recent_active = True
        state.progress[member_id] = progress
    for member_id in state.progress.keys() - members:
        del state.progress[member_id]


def _tell_removed(state: State, member_id: int) -> None:
    if member_id == state.id:
        state.is_removed = True
    elif state.is_leader:
        state.post(Message(MessageKind.REMOVED, member_id, state.id, state.term))


def _settle_leader(state: State) -> None:
    """Draw the consequences of another quorum."""
    if state.transfer_to not in state.voters:
        state.transfer_to = 0
    if not state.is_voter:
        state.election_elapsed = 0  # a whole election timeout is left to tell the others
    replication.maybe_commit(state)
    reads.maybe_finish_round(state)
    state.is_append_due = True


def on_removed(state: State, message: Message) -> None:
    """Believe a member of the same cluster that this one was removed: ids do not come back."""
    del message
    state.is_removed = True
