"""The values that Raft exchanges: entries, hard and soft state, messages, configuration.

Names are those of the Raft paper and of etcd-io/raft.  Entries are tuples because a batch of
thousands is made, packed and unpacked on the hot path.
"""

from enum import IntEnum
from typing import NamedTuple


class EntryKind(IntEnum):
    """What an entry's data is; the numbers are a disk format."""

    NORMAL = 0  # the application's bytes; empty data is a new leader's first entry
    CONF_CHANGE = 1  # an encoded ConfChange


class Entry(NamedTuple):
    """One place of the log.  Packs as the msgpack array [term, index, kind, data]."""

    term: int
    index: int
    kind: int
    data: bytes


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

    index: int = 0
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
