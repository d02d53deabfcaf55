"""The log in memory: what consensus reads, entry by entry, without touching a disk.

Apart from `storage` because it is only arithmetic on a list.  Forgetting entries is done in two
steps: `compact` moves the border at once, and the memory goes back a slice at a time, because
freeing a hundred thousand entries in one go would hold up the loop.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Generic, TypeVar

from etcdpy.errors import FatalError
from etcdpy.store.record import EntryTuple

E = TypeVar("E", bound=EntryTuple)

# What an entry costs on the wire beside its data: term, index and kind in msgpack, and lengths.
ENTRY_OVERHEAD_BYTES = 24
# Entries whose memory is given back per call, at least: about 0.1 ms of loop time.  It is twice as
# many as a larger batch brings, so that what waits shrinks.
RELEASE_COUNT = 1024
# Up to so many entries are added up in a loop of C, and nearly always fit; of more than that (a
# peer far behind) only as many are looked at as fit.
PLAIN_COUNT_MAX = 1024

_data_of = itemgetter(3)


class LogView(Generic[E]):
    """Contiguous entries after `compacted_index`, by index.

    Invariant: `_entries[i]` has index `_offset + 1 + i`; those up to `compacted_index` are dead,
    and of these the first `_released` have been replaced by a placeholder.
    """

    def __init__(self, index: int, term: int, entries: list[E], placeholder: E) -> None:
        """Start after the entry at `index`; `entries` follow it and are owned from here on."""
        self.compacted_index = index
        self._compacted_term = term
        self._placeholder = placeholder
        self._entries = entries
        self._offset = index
        self._released = 0

    @property
    def last_index(self) -> int:
        """The index of the last entry, `compacted_index` if there is none."""
        return self._offset + len(self._entries)

    def term(self, index: int) -> int:
        """Return the term at `index`.  Raises: LookupError outside [compacted, last]."""
        if index == self.compacted_index:
            return self._compacted_term
        if not self.compacted_index < index <= self.last_index:
            raise LookupError(
                f"entry {index} is outside {self.compacted_index} to {self.last_index}"
            )
        return self._entries[index - self._offset - 1][0]

    def entries(self, low: int, high: int, bytes_max: int) -> list[E]:
        """Return entries of [low, high), at least one of them, then as many as fit `bytes_max`.

        Raises: LookupError if `low` is compacted or `high` is past the end.
        """
        if low <= self.compacted_index or high > self.last_index + 1:
            raise LookupError(
                f"entries [{low}, {high}) are outside {self.compacted_index + 1} "
                f"to {self.last_index}"
            )
        start, end = low - self._offset - 1, high - self._offset - 1
        if end - start <= PLAIN_COUNT_MAX:
            found = self._entries[start:end]
            if _size_of(found) <= bytes_max:
                return found
        entries = self._entries
        size = 0
        for position in range(start, end):
            size += len(entries[position][3]) + ENTRY_OVERHEAD_BYTES
            if size > bytes_max and position > start:
                return entries[start:position]
        return entries[start:end]

    def extend(self, entries: Sequence[E]) -> None:
        """Add entries, instead of those at and after the first one's index.

        Raises: FatalError if that leaves a gap or replaces what is compacted.
        """
        self._release(max(RELEASE_COUNT, 2 * len(entries)))
        first = entries[0][1]
        if not self.compacted_index < first <= self.last_index + 1:
            raise FatalError(
                f"entry {first} does not continue the log, "
                f"which holds {self.compacted_index + 1} to {self.last_index}"
            )
        if first <= self.last_index:
            del self._entries[first - self._offset - 1 :]
        self._entries.extend(entries)

    def compact(self, index: int) -> None:
        """Forget entries up to and including `index`; nothing if they are forgotten already.

        Raises: LookupError if there is no such entry.
        """
        if index <= self.compacted_index:
            return
        self._compacted_term = self.term(index)
        self.compacted_index = index
        self._release(RELEASE_COUNT)

    def restart(self, index: int, term: int) -> None:
        """Forget all; the next entry is the one after `index`."""
        self.compacted_index = index
        self._compacted_term = term
        self._entries = []
        self._offset = index
        self._released = 0

    def _release(self, count: int) -> None:
        """Give back the memory of so many dead entries, and of their places once they are most."""
        dead = self.compacted_index - self._offset
        if self._released < dead:
            low, high = self._released, min(dead, self._released + count)
            self._entries[low:high] = [self._placeholder] * (high - low)
            self._released = high
        if self._released == dead and dead * 2 > len(self._entries):
            del self._entries[:dead]
            self._offset += dead
            self._released = 0


def _size_of(entries: Sequence[E]) -> int:
    return sum(map(len, map(_data_of, entries))) + ENTRY_OVERHEAD_BYTES * len(entries)
