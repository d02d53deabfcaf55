"""From the frames of the write-ahead log to the log that they add up to.

Apart from `segments`, which knows only whether bytes are whole: here is what they mean.  The rules
of what may follow what (`LogEnd.find_violation`) are the same for what is about to be written and
for what is read back, so that a log that was accepted can always be read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Generic, TypeVar

from etcdpy.errors import FatalError
from etcdpy.store.files import Files, read_whole
from etcdpy.store.record import (
    BAD_SHAPE,
    BATCH,
    INSTALL,
    EntryTuple,
    Frame,
    HardStateTuple,
    SegmentHead,
    decode_batch,
    decode_install,
)
from etcdpy.store.segments import Segment, frames

E = TypeVar("E", bound=EntryTuple)

MakeEntry = Callable[[int, int, int, bytes], E]  # term, index, kind, data

UNKNOWN_TERM = -1  # of an entry in a segment that is not read or gone; equal to no term


@dataclass(slots=True)
class LogEnd:
    """Where the log ends, and the hard state in force there."""

    index: int
    term: int
    hard_state: HardStateTuple

    def find_violation(
        self, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]
    ) -> str | None:
        """Return why this batch may not follow, None if it may.

        Only the first and the last entry are looked at; that those between are contiguous is
        checked where each is touched anyway, on reading back.
        """
        last = self.index
        if entries:
            first, last = entries[0][1], entries[-1][1]
            if first > self.index + 1 or last - first + 1 != len(entries):
                count = len(entries)
                return f"{count} entries {first} to {last} leave a gap after entry {self.index}"
            if first <= self.hard_state[2]:
                return f"entry {first} would replace one that is committed"
        return None if hard_state is None else self._find_vote_violation(hard_state, last)

    def _find_vote_violation(self, hard_state: HardStateTuple, last: int) -> str | None:
        """Return why this hard state may not follow, with `last` as the log's last index."""
        term, vote, commit = hard_state
        old_term, old_vote, _ = self.hard_state
        if term < old_term:
            return f"term {term} after term {old_term}"
        if term == old_term and old_vote not in (0, vote):
            return f"a second vote, for {vote:x} after {old_vote:x}, in term {term}"
        if commit > last:
            return f"commit {commit} past the last entry {last}"
        return None

    def advance(self, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]) -> None:
        """Take in a batch that is now part of the log."""
        if entries:
            self.term, self.index = entries[-1][0], entries[-1][1]
        if hard_state is not None:
            self.hard_state = (hard_state[0], hard_state[1], hard_state[2])

    def install(self, hard_state: HardStateTuple, index: int, term: int) -> None:
        """Take in a snapshot that is now all of the log."""
        self.index, self.term = index, term
        self.hard_state = hard_state


class Replay(Generic[E]):
    """The log as replayed, without what a snapshot at `floor` makes superfluous.

    Invariants: `entries` are contiguous and end at `end.index`; the first one is
    `max(base_index + 1, floor)`.
    """

    def __init__(self, head: SegmentHead, floor: int, make_entry: MakeEntry[E]) -> None:
        self.floor = floor
        self.base_index = head.last_index
        self.base_term = head.last_term
        self.end = LogEnd(head.last_index, head.last_term, head.hard_state)
        self.entries: list[E] = []
        self._make_entry = make_entry

    def joins(self, index: int, term: int) -> bool:
        """Return whether a snapshot at `floor` of this index and term is a point of this log."""
        if index == self.base_index:
            return term == self.base_term
        return self.base_index < index <= self.end.index and self.entries[0][0] == term

    def read(self, data: bytes, frame: Frame) -> None:
        """Take in one frame.

        Raises: ValueError saying why it may not follow; another of BAD_SHAPE if it is malformed.
        """
        if frame.kind == BATCH:
            hard_state, entries = decode_batch(data, frame)
            violation = self.end.find_violation(hard_state, entries)
            if violation:
                raise ValueError(violation)
            if entries:
                self._append(entries)
            self.end.advance(hard_state, entries)
        elif frame.kind == INSTALL:
            hard_state, index, term = decode_install(data, frame)
            self.base_index, self.base_term = index, term
            self.entries = []
            self.end.install(hard_state, index, term)
        else:
            raise ValueError(f"unknown kind of frame {frame.kind}")

    def _append(self, entries: Sequence[EntryTuple]) -> None:
        """Add entries, instead of those at and after the first one's index.  Entries up to the
        floor are only counted.  One that is rewritten at or before the base moves the base down.
        """
        first = entries[0][1]
        for index, entry in enumerate(entries, first):
            if entry[1] != index:
                raise ValueError(f"entry {entry[1]} where entry {index} is due")
        if first <= self.base_index:
            self.base_index, self.base_term = first - 1, UNKNOWN_TERM
        lowest = max(self.base_index + 1, self.floor)
        del self.entries[max(0, first - lowest) :]
        self.entries.extend(starmap(self._make_entry, entries[max(0, lowest - first) :]))


def replay(
    files: Files,
    segments: Sequence[Segment],
    floor: int,
    make_entry: MakeEntry[E],
) -> Replay[E]:
    """Return the log that these segments add up to, of use to a snapshot at index `floor`.

    Reads from the last segment that begins at or before the floor: a later one cannot be without
    an entry after the floor, and what earlier ones hold is settled in its head.

    Raises: FatalError naming file and offset for whole frames that do not add up.
    """
    start = 0
    for position, segment in enumerate(segments):
        if segment.head.last_index <= floor:
            start = position
    log = Replay(segments[start].head, floor, make_entry)
    for segment in segments[start:]:
        head = segment.head
        if (log.end.index, log.end.term, log.end.hard_state) != (
            head.last_index,
            head.last_term,
            head.hard_state,
        ):
            raise FatalError(f"{segment.path}: its head does not continue the log at offset 0")
        data = read_whole(files, segment.path)
        for frame in frames(data, head.salt, segment.head_end):
            try:
                log.read(data, frame)
            except BAD_SHAPE as error:
                raise FatalError(
                    f"{segment.path}: the frame at offset {frame.offset} is whole, "
                    f"but makes no sense: {str(error) or 'it is not msgpack'}"
                ) from error
    return log
