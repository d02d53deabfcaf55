"""Proposals: appended by a leader, forwarded by a follower, held while nobody can take them.

A file of its own because it makes two promises.  A proposal gets into the log at most once by
our doing: a forward is addressed to the leader of one term, carries a name, and is taken by
nobody else and never twice; what is lost stays lost, and the proposer gives up by time-out.  And
what is held is forgotten when its proposer has given up: nobody who was told that a change failed
finds it done when, an hour later, there is a leader again.
Configuration changes travel the same way; whether one may be appended is membership's business.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence

from etcdpy.consensus import membership, replication
from etcdpy.consensus.messages import Entry, EntryKind, Message, MessageKind, size_of
from etcdpy.consensus.state import Held, State

# Forwards remembered for each sender in a term.  One carries a whole batch, so this many are
# seconds of traffic at least; a second delivery later than that is not guarded against.
FORWARDS_TAKEN_MAX = 1_024


def propose(state: State, datas: Sequence[bytes]) -> None:
    """Have each of `datas` appended to the log, here or by the leader."""
    if not state.held and _is_open(state):
        replication.append_own(state, EntryKind.NORMAL, datas)
        return
    for data in datas:
        _hold(state, state.held, state.config.held_count_max, data)


def propose_change(state: State, data: bytes) -> None:
    """Have the encoded configuration change appended to the log, here or by the leader."""
    _hold(state, state.held_changes, membership.HELD_CHANGES_MAX, data)


def _is_open(state: State) -> bool:
    """Whether this member may append to the log now."""
    return (
        state.is_leader
        and state.transfer_to == 0
        and state.is_voter  # one that removed itself leads on only to tell the others
        and state.uncommitted_bytes < state.config.uncommitted_bytes_max
    )


def tick(state: State) -> None:
    """Forget what has been held for too long."""
    state.ticks += 1
    for queue in (state.held, state.held_changes):
        while queue and queue[0].until_tick <= state.ticks:
            state.held_bytes -= len(queue.popleft().data)
            state.counters.proposals_dropped += 1


def _hold(state: State, queue: deque[Held], count_max: int, data: bytes) -> None:
    if len(queue) >= count_max or state.held_bytes + len(data) > state.config.held_bytes_max:
        state.counters.proposals_dropped += 1
        return
    queue.append(Held(data, state.ticks + state.config.held_ticks_max))
    state.held_bytes += len(data)


def is_flush_due(state: State) -> bool:
    """Whether `flush` would move something."""
    if not state.held and not state.held_changes:
        return False
    if state.is_leader:
        return _is_open(state) and (bool(state.held) or membership.may_propose(state))
    return state.leader_id != 0


def flush(state: State) -> None:
    """Move what is held on, once a batch: into the log, or to the leader."""
    if not is_flush_due(state):
        return
    if not state.is_leader:
        _forward(state, EntryKind.CONF_CHANGE, state.held_changes)
        _forward(state, EntryKind.NORMAL, state.held)
        return
    if state.held_changes and membership.may_propose(state):
        membership.append_change(state, _take(state, state.held_changes, bytes_max=0)[0])
    while state.held and _is_open(state):
        datas = _take(state, state.held, state.config.append_bytes_max)
        replication.append_own(state, EntryKind.NORMAL, datas)


def _take(state: State, queue: deque[Held], bytes_max: int) -> list[bytes]:
    """Take the first of `queue`, then as many as fit `bytes_max`."""
    taken = [queue.popleft().data]
    size_bytes = len(taken[0])
    while queue and size_bytes + len(queue[0].data) <= bytes_max:
        taken.append(queue.popleft().data)
        size_bytes += len(taken[-1])
    state.held_bytes -= size_bytes
    return taken


def _forward(state: State, kind: EntryKind, queue: deque[Held]) -> None:
    while queue:
        datas = _take(state, queue, state.config.append_bytes_max)
        state.post(
            Message(
                MessageKind.PROPOSE,
                state.leader_id,
                state.id,
                state.term,
                entries=[Entry(0, 0, kind, data) for data in datas],
                context=state.draw_context(),
            )
        )


def on_propose(state: State, message: Message) -> None:
    """As the leader that it is addressed to, take another member's proposals, once."""
    taken = state.forwards_taken.setdefault(message.sender, OrderedDict())
    if message.context in taken:
        state.counters.forwards_refused += 1
        return
    taken[message.context] = None
    if len(taken) > FORWARDS_TAKEN_MAX:
        taken.popitem(last=False)
    for entry in message.entries:
        if entry.kind == EntryKind.CONF_CHANGE:
            propose_change(state, entry.data)
    datas = [entry.data for entry in message.entries if entry.kind == EntryKind.NORMAL]
    if datas:
        propose(state, datas)


def refuse_forward(state: State, message: Message) -> None:
    """Drop proposals that are addressed to the leader of this term, which this member is not."""
    del message  # what it holds is lost: its proposer must not have it twice
    state.counters.forwards_refused += 1


def note_applying(state: State, entries: Sequence[Entry]) -> None:
    """Make room in the uncommitted tail for what is being handed out to be applied."""
    if state.is_leader:
        term = state.term
        own = entries if entries[0].term == term else [e for e in entries if e.term == term]
        size_bytes = size_of(own)
        state.uncommitted_bytes = max(0, state.uncommitted_bytes - size_bytes)
