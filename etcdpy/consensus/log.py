"""RaftLog: the whole log as the core sees it, the durable part and what is not yet on disk.

A file of its own because off-by-one errors live here and nowhere else.  The durable part is
read through Storage, whose view changes only when a write has returned; what is newer, or
replaces a part of it, is the unstable tail and hides it.

    compacted | first_index ... durable | offset ... last_index
              |      Storage's view     |     unstable tail
                 applied <= applying <= min(commit, durable)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from etcdpy.consensus.interfaces import Storage
from etcdpy.consensus.messages import Entry, HardState, SnapshotMeta, size_of
from etcdpy.errors import FatalError


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in a log; term 0 where the place is compacted and its term not known any more."""

    index: int
    term: int


class RaftLog:
    """Entries from the last compaction to the newest, with commit and applied.

    Invariants: `unstable` has no gaps and begins at `offset`; `offset - 1` is the last durable
    index; `applied <= applying <= min(commit, offset - 1)` unless a snapshot is pending;
    `commit <= last_index`; an entry at or before `commit` is never replaced.
    """

    __slots__ = (
        "_storage",
        "applied",
        "applying",
        "commit",
        "offset",
        "pending_snapshot",
        "unstable",
    )

    def __init__(self, storage: Storage, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Take the log as recovery left it; what follows the snapshot is applied again.

        Raises: FatalError if hard state, snapshot and log do not belong together.
        """
        last_index = storage.last_index()
        # The commit index may be written late, the snapshot that followed it was not.
        commit = max(hard_state.commit, meta.index)
        if commit > last_index or storage.first_index() > meta.index + 1:
            raise FatalError(
                f"log from {storage.first_index()} to {last_index} does not fit snapshot "
                f"{meta.index} and commit {commit}: entries were lost"
            )
        self._storage = storage
        self.unstable: list[Entry] = []
        self.offset = last_index + 1
        self.commit = commit
        self.applying = meta.index  # the last index handed out to be applied
        self.applied = meta.index  # the last index that was reported as applied
        self.pending_snapshot: SnapshotMeta | None = None  # accepted, not yet installed

    @property
    def first_index(self) -> int:
        """The first index that can be read."""
        if self.pending_snapshot is not None:
            return self.pending_snapshot.index + 1
        return self._storage.first_index()

    @property
    def last_index(self) -> int:
        """The index of the newest entry, durable or not."""
        return self.offset + len(self.unstable) - 1

    @property
    def durable(self) -> int:
        """The index of the last entry that is on disk and agrees with this log."""
        return self.offset - 1

    @property
    def last_term(self) -> int:
        """The term of the newest entry."""
        return self.unstable[-1].term if self.unstable else self.term(self.offset - 1)

    def term(self, index: int) -> int:
        """Return the term at `index`, from `first_index - 1` to `last_index`.

        Raises: LookupError outside that range.
        """
        if index >= self.offset:
            if index > self.last_index:
                raise LookupError(f"index {index} is past the end {self.last_index}")
            return self.unstable[index - self.offset].term
        pending = self.pending_snapshot
        if pending is not None:
            if index != pending.index:
                raise LookupError(f"index {index} is compacted by snapshot {pending.index}")
            return pending.term
        return self._storage.term(index)

    def find_term(self, index: int) -> int | None:
        """Return the term at `index`, None if it is compacted or not there yet."""
        try:
            return self.term(index)
        except LookupError:
            return None

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        """Return entries of [low, high), at least one, then as many as fit `bytes_max`.

        Raises: LookupError if `low` is compacted or `high` is past the end.
        """
        if high > self.last_index + 1 or low < self.first_index:
            raise LookupError(f"[{low}, {high}) is not in [{self.first_index}, {self.last_index}]")
        offset = self.offset
        if low >= offset:
            return _fitting(self.unstable[low - offset : high - offset], bytes_max)
        stable = self._storage.entries(low, min(high, offset), bytes_max)
        if high <= offset or len(stable) < offset - low:
            return stable
        return _fitting(stable + self.unstable[: high - offset], bytes_max)

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Return whether a log that ends with (`index`, `term`) is as new as this one.

        Source: Raft (extended), section 5.4.1.
        """
        return (term, index) >= (self.last_term, self.last_index)

    def find_conflict_by_term(self, index: int, term: int) -> LogPosition:
        """Return the last place at or before `index` whose term is not after `term`.

        Neither log can agree with the other behind it, so a whole term is skipped at once.
        """
        index = min(index, self.last_index)
        while True:
            found = self.find_term(index)
            if found is None or found <= term:
                return LogPosition(index, found or 0)
            index -= 1

    def append(self, entries: Sequence[Entry]) -> None:
        """Put `entries` after the place before the first, in place of what may stand there.

        Raises: FatalError if that would replace a committed entry.
        """
        first = entries[0].index
        if first <= self.commit:
            raise FatalError(f"entry {first} would replace a committed one (commit {self.commit})")
        position = first - self.offset
        assert position <= len(self.unstable)
        if position < 0:
            self.offset = first
            self.unstable = list(entries)
            return
        del self.unstable[position:]
        self.unstable.extend(entries)

    def maybe_append(self, index: int, term: int, entries: Sequence[Entry]) -> int | None:
        """Append what is new of `entries` if the entry before them is (`index`, `term`).

        Return the index of the last of them, None if the entry before is another one.
        Source: Raft (extended), Figure 2, AppendEntries, receiver 2 to 4.

        Raises: FatalError if that would replace a committed entry.
        """
        if self.find_term(index) != term:
            return None
        if index == self.last_index:
            if entries:
                self.append(entries)
            return index + len(entries)
        for position, entry in enumerate(entries):
            if self.find_term(entry.index) != entry.term:
                self.append(entries[position:])
                break
        return index + len(entries)

    def commit_to(self, index: int) -> bool:
        """Move the commit index up to `index`, never back; return whether it moved.

        Raises: FatalError past the end of the log: entries that we acknowledged are gone.
        """
        if index <= self.commit:
            return False
        if index > self.last_index:
            raise FatalError(
                f"commit {index} is past the log's end {self.last_index}: this member has said"
                " that it holds entries which are not in its data directory now, as after an"
                " older copy of it was put back; the leader has them, so remove this member from"
                " the cluster and add it again with an empty data directory"
            )
        self.commit = index
        return True

    def persisted(self, index: int, term: int) -> None:
        """Note that the log up to `index` is on disk, if the entry there is still of `term`."""
        position = index - self.offset
        if not 0 <= position < len(self.unstable) or self.unstable[position].term != term:
            return  # replaced since it was handed out; what replaced it is not on disk
        del self.unstable[: position + 1]
        self.offset = index + 1

    @property
    def has_committed(self) -> bool:
        """Whether something can be handed out to be applied."""
        return self.applying < min(self.commit, self.offset - 1) and self.pending_snapshot is None

    def take_committed(self, count_max: int, bytes_max: int) -> list[Entry]:
        """Hand out, once, the next committed and durable entries to be applied."""
        if not self.has_committed:
            return []
        low = self.applying + 1
        high = min(self.commit + 1, self.offset, low + count_max)
        entries = self._storage.entries(low, high, bytes_max)
        self.applying = entries[-1].index
        return entries

    def give_back(self, index: int) -> None:
        """Undo the handing out of the entry at `index` and of all after it."""
        assert self.applied < index <= self.applying
        self.applying = index - 1

    def applied_to(self, index: int) -> None:
        """Note that everything up to `index` has been applied."""
        assert self.applied <= index <= self.applying
        self.applied = index

    def restore(self, meta: SnapshotMeta) -> None:
        """Replace the whole log by the snapshot at `meta`, which is still to be installed."""
        assert meta.index > self.commit
        self.pending_snapshot = meta
        self.commit = meta.index
        self.offset = meta.index + 1
        self.unstable = []

    def snapshot_installed(self, meta: SnapshotMeta) -> None:
        """Note that the snapshot at `meta` is on disk and is what has been applied."""
        if self.pending_snapshot == meta:
            self.pending_snapshot = None
        self.applying = meta.index
        self.applied = meta.index

    def snapshot_meta(self) -> SnapshotMeta:
        """Return the place of the newest durable snapshot, the empty one if there is none."""
        return self._storage.snapshot_meta()

    def compact(self, index: int) -> None:
        """Forget entries up to and including `index`.

        Raises: FatalError if they are not in a durable snapshot: they would be lost.
        """
        durable = self._storage.snapshot_meta().index
        if index > durable or index > self.applied:
            raise FatalError(
                f"compaction to {index} is past the snapshot {durable} or applied {self.applied}"
            )
        if index >= self._storage.first_index():
            self._storage.compact(index)


def _fitting(entries: list[Entry], bytes_max: int) -> list[Entry]:
    """Return the first of `entries`, then as many as fit `bytes_max`."""
    if size_of(entries) <= bytes_max:
        return entries
    size_bytes = 0
    for position, entry in enumerate(entries):
        size_bytes += len(entry.data)
        if size_bytes > bytes_max and position > 0:
            return entries[:position]
    return entries
