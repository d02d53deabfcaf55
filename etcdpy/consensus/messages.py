"""The values that Raft exchanges: entries, hard and soft state, messages, configuration.

Names are those of the Raft paper and of etcd-io/raft.  Entries are tuples because a batch of
thousands is made, packed and unpacked on the hot path.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from operator import itemgetter
from typing import NamedTuple


class EntryKind(IntEnum):
    """What an entry's data is; the numbers are a disk format."""

    NORMAL = 0  # the application's bytes; empty data is a new leader's first entry
    CONF_CHANGE = 1  # an encoded ConfChange


class Entry(NamedTuple):
    """One place of the log.  Packs as the msgpack array [term, index, kind, data]."""

    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    kind: int
    data: bytes


EntryFields = tuple[int, int, int, bytes]  # term, index, kind, data

# What is done to each entry of a batch is done in loops of C: `Entry(...)` and a comprehension are
# frames of Python, and take three times as long (`tests.consensus.measure`).
_make_entry: Callable[[EntryFields], Entry] = partial(tuple.__new__, Entry)
_kind_of = itemgetter(2)
_data_of = itemgetter(3)


def make_entries(rows: Iterable[EntryFields]) -> list[Entry]:
    """Return the entries that have these fields, which are known to be right."""
    return list(map(_make_entry, rows))


def size_of(entries: Iterable[Entry]) -> int:
    """Return how many bytes of data the entries hold."""
    return sum(map(len, map(_data_of, entries)))


def has_change(entries: Iterable[Entry]) -> bool:
    """Return whether a configuration change is among the entries."""
    return any(map(_kind_of, entries))


class HardState(NamedTuple):
    """What must be on disk before any message that depends on it leaves.

    Invariant: `commit` never exceeds the last durable index of the frame it is written with.
    """

    term: int = 0
    vote: int = 0  # member id voted for in `term`, 0 for none
    commit: int = 0


class ConfState(NamedTuple):
    """Who takes part; ids ascending, no id in both."""

    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()


class SnapshotMeta(NamedTuple):
    """The place in the log that a snapshot stands for, and the configuration there.

    `index` 0 is the empty snapshot, the state before the first entry.
    """

    index: int = 0  # type: ignore[assignment]  # as in Entry
    term: int = 0
    conf: ConfState = ConfState()


class ConfChangeKind(IntEnum):
    """What a configuration change does; the numbers are a disk format."""

    ADD_VOTER = 0
    REMOVE = 1
    UPDATE = 2  # no effect on Raft; the application changes what it knows of the member
    ADD_LEARNER = 3


class ConfChange(NamedTuple):
    """One change of the configuration; `context` is the application's."""

    kind: int
    member_id: int
    context: bytes = b""


class Role(IntEnum):
    """What a member does in the current term.  A learner is a follower that has no vote."""

    FOLLOWER = 0
    PRE_CANDIDATE = 1  # asks whether it could win, without a new term
    CANDIDATE = 2
    LEADER = 3


class SoftState(NamedTuple):
    """What is worth telling the application and needs no disk."""

    leader_id: int = 0  # 0 when none is known
    role: Role = Role.FOLLOWER
    # This member left the configuration for good.  It should stop, but not before it is no leader
    # and an election timeout has passed: the others may not know yet, and need its answers.
    is_removed: bool = False


class ReadState(NamedTuple):
    """A read that may be served once `index` has been applied here."""

    token: int  # the caller's name for the read
    index: int  # type: ignore[assignment]  # as in Entry


class MessageKind(IntEnum):
    """What peers say to each other; the numbers are a wire format.

    Which fields of Message a kind uses stands with each; the rest are 0.
    """

    PROPOSE = 1  # entries (term and index 0), context: to the leader of `term`
    APPEND = 2  # index, log_term: the entry before `entries`; commit; hint 1: wants no answer
    APPEND_RESPONSE = 3  # index: the last that matches; rejected: index refused, hint, log_term
    HEARTBEAT = 4  # commit, context: the read round
    HEARTBEAT_RESPONSE = 5  # context
    PRE_VOTE = 6  # term: the one it would campaign in; index, log_term: its last entry
    PRE_VOTE_RESPONSE = 7  # is_rejected; commit, log_term: the term there
    VOTE = 8  # index, log_term: its last entry; hint 1: the leader asked for it
    VOTE_RESPONSE = 9  # as PRE_VOTE_RESPONSE
    SNAPSHOT = 10  # snapshot; its bytes came before it, by a way of their own
    TIMEOUT_NOW = 11  # campaign at once
    TRANSFER = 12  # index: the member that shall lead
    READ_INDEX = 13  # context: the asker's name for the read
    READ_INDEX_RESPONSE = 14  # index, context
    REMOVED = 15  # you are no member any more


# Message.hint of an append without entries that tells what is committed and wants no answer: it
# would say what an earlier answer has said.  One that does not fit is refused as ever.
HINT_COMMIT_ONLY = 1


class Message(NamedTuple):
    """One message between two members; see MessageKind for the use of each field."""

    kind: MessageKind
    to: int
    sender: int
    term: int = 0
    index: int = 0  # type: ignore[assignment]  # as in Entry
    log_term: int = 0
    commit: int = 0
    entries: Sequence[Entry] = ()  # ascending, no gaps
    is_rejected: bool = False
    hint: int = 0
    context: int = 0
    snapshot: SnapshotMeta | None = None


# By type and never by the sender's role: a batch may begin as candidate and end as leader.
KINDS_AFTER_PERSIST = frozenset(
    {
        MessageKind.VOTE,
        MessageKind.PRE_VOTE,
        MessageKind.VOTE_RESPONSE,
        MessageKind.PRE_VOTE_RESPONSE,
        MessageKind.APPEND_RESPONSE,
        MessageKind.HEARTBEAT_RESPONSE,
        MessageKind.READ_INDEX_RESPONSE,
    }
)


class SnapshotRequest(NamedTuple):
    """Somebody needs a snapshot: stream its bytes, then deliver `message`, then report."""

    to: int
    message: Message
