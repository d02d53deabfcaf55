"""Admission: which messages of a peer the core may see.  Nothing else decides that.

A file of its own because the codec knows only what a message looks like, and the core asserts what
correct peers hold to; between them stands what can be known of a message from where this member is
and from who has sent it.  One PeerError ends the stream, is counted and said once, and the core has
seen nothing of the batch.

A guest, of whom this member has not heard as a member, may be one: it was added by what is not
applied here yet.  As leader or candidate it has to be heard, and is; it has no business with what
members ask of their leader or answer to it, nor with their removal.  What it has to say is read to
the last byte.  A member's appends are not: it has read them itself when they were proposed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from etcdpy.consensus.messages import Entry, EntryKind, Message, MessageKind
from etcdpy.errors import PeerError
from etcdpy.http.peers.protocol import Cause, RefusedError

#: How far a guest's term may be ahead of ours: with an election each second this member would have
#: been away for a hundred years.  Each step is on disk before the next: the end of what the codec
#: takes is far.  A member's may be there: it may have been told so, and has to be caught up with.
TERM_AHEAD_MAX = 2**32
#: How far a guest's indexes may be ahead: of 100,000 entries a second, what comes in ninety years.
INDEX_AHEAD_MAX = 2**48

_BY_LEADERS = frozenset(
    {MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.SNAPSHOT, MessageKind.TIMEOUT_NOW}
)
_BY_GUESTS = _BY_LEADERS | {MessageKind.PRE_VOTE, MessageKind.VOTE}

#: By kind of entry: what raises ValueError or PeerError for data that could not be applied.
DataChecks = Mapping[EntryKind, Callable[[bytes], None]]


class Standing(Protocol):
    """Where this member is; consensus' Status, by shape."""

    @property
    def term(self) -> int:
        """The current term."""

    @property
    def leader_id(self) -> int:
        """Who leads, 0 when that is not known."""

    @property
    def last_index(self) -> int:
        """The last index of the log."""


class Admission:
    """Checks what comes in, on the loop, before it is stepped."""

    def __init__(self, checks: DataChecks) -> None:
        self._checks = checks

    def check(self, messages: Sequence[Message], at: Standing, *, is_guest: bool) -> None:
        """Raise PeerError unless the core may see all of `messages`, all of one peer."""
        for message in messages:
            if is_guest:
                self._check_guest(message, at)
            if message.kind is MessageKind.PROPOSE:
                self._check_entries(message.entries)
            elif message.kind is MessageKind.SNAPSHOT and message.term < at.term:
                # Raft would drop it, once all of it has come.
                complaint = f"a snapshot of the leader of term {message.term}, this is {at.term}"
                raise RefusedError(Cause.OUTDATED, complaint)

    def _check_entries(self, entries: Sequence[Entry]) -> None:
        """Raise PeerError unless all can be applied: what is in the log must be."""
        for entry in entries:
            try:
                self._checks[EntryKind(entry.kind)](entry.data)
            except ValueError as error:
                raise PeerError(f"an entry that can't be applied: {error}") from error

    def _check_guest(self, message: Message, at: Standing) -> None:
        kind, sender = message.kind, message.sender
        if kind not in _BY_GUESTS:
            raise PeerError(f"{kind.name} of {sender:x}, which is not known here as a member")
        _check_place(message, at)
        is_claim = kind in _BY_LEADERS and message.term == at.term
        if is_claim and at.leader_id not in (0, sender):
            raise PeerError(f"{sender:x} claims to lead term {at.term}, as {at.leader_id:x} does")
        if kind is MessageKind.HEARTBEAT and message.commit > at.last_index:
            raise PeerError(f"commit {message.commit} is past the log's end {at.last_index}")
        if kind is MessageKind.APPEND:
            self._check_entries(message.entries)


def _check_place(message: Message, at: Standing) -> None:
    """Raise PeerError if a guest is further ahead than this member can be behind."""
    if message.term > at.term + TERM_AHEAD_MAX:
        raise PeerError(f"term {message.term}, far ahead of {at.term}")
    snapshot_index = message.snapshot.index if message.snapshot is not None else 0
    index = max(message.index, message.commit, snapshot_index)
    if index > at.last_index + INDEX_AHEAD_MAX:
        raise PeerError(f"{message.kind.name} with index {index}, far ahead of {at.last_index}")
