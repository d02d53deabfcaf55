"""The Storage that consensus asks for, on the files of this package.

Two halves that share nothing while they run: the view in memory, which belongs to the loop, and
the log on disk, which belongs to one thread at a time.  `write`, `begin_write` and `install` touch
only the disk; `stabilise`, `installed`, `snapshot_saved` and `compact` touch only the view, and are
called when the former are done.  What a consensus value is made of is known by shape; `Shapes` has
the constructors, so that nothing is imported for it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from etcdpy.errors import FatalError
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import Flusher
from etcdpy.store.notes import Note
from etcdpy.store.record import EntryTuple, HardStateTuple
from etcdpy.store.recovery import EMPTY_META, Choice, choose
from etcdpy.store.segments import scan
from etcdpy.store.snapshot_file import ConfTuple, Damage, MetaTuple, SnapshotReader, SnapshotWriter
from etcdpy.store.snapshots import Snapshots
from etcdpy.store.view import LogView
from etcdpy.store.wal import AHEAD_BYTES, SEGMENT_BYTES, Wal

E = TypeVar("E", bound=EntryTuple)
H = TypeVar("H", bound=HardStateTuple)
M = TypeVar("M", bound=MetaTuple)


@dataclass(frozen=True)
class Shapes(Generic[E, H, M]):
    """How to make the values that come out: named tuples of the caller's."""

    entry: Callable[[int, int, int, bytes], E]  # term, index, kind, data
    hard_state: Callable[[int, int, int], H]  # term, vote, commit
    snapshot_meta: Callable[[int, int, ConfTuple], M]  # index, term, (voters, learners)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large segments get, and how much is kept."""

    segment_bytes: int = SEGMENT_BYTES
    ahead_bytes: int = AHEAD_BYTES  # of zeros for frames to come, see `Wal`
    wals_max: int = 5  # --max-wals, 0 keeps all
    snapshots_max: int = 5  # --max-snapshots, 0 keeps all


@dataclass(frozen=True)
class Recovered(Generic[E, H, M]):
    """What a restart goes on from.  `rows` reads the snapshot's file as it is iterated."""

    storage: "Storage[E, H, M]"
    metadata: bytes  # as given to `Storage.create`
    rows: Iterator[tuple[Any, ...]]  # of the snapshot in `initial_state`, none for the empty one
    notes: tuple[Note, ...]  # for the log


class Storage(Generic[E, H, M]):
    """The log, the hard state and the snapshots of one member."""

    def __init__(
        self,
        wal: Wal,
        snapshots: Snapshots,
        view: LogView[E],
        *,
        hard_state: H,
        snapshot_meta: M,
        limits: Limits,
    ) -> None:
        """Use `create` or `recover`."""
        self._wal = wal
        self._snapshots = snapshots
        self._view = view
        self._hard_state = hard_state
        self._snapshot_meta = snapshot_meta
        self._limits = limits

    @classmethod
    def create(
        cls,
        data_dir: DataDir,
        metadata: bytes,
        shapes: Shapes[E, H, M],
        limits: Limits = Limits(),
    ) -> "Storage[E, H, M]":
        """Begin an empty store in a fresh data directory; durable on return.

        `metadata` is the caller's (who this member is) and comes back from `recover`.
        Raises: FatalError if the disk refused, or if the directory is not fresh.
        """
        if not data_dir.is_fresh:
            raise FatalError(f"{data_dir.path} holds a store already")
        files = data_dir.files
        data_dir.begin_creation()
        wal = Wal.create(
            files,
            data_dir.wal_path,
            data_dir.store_id,
            metadata,
            segment_bytes=limits.segment_bytes,
            ahead_bytes=limits.ahead_bytes,
        )
        data_dir.finish_creation()
        return cls(
            wal,
            Snapshots(files, data_dir.snapshots_path, data_dir.store_id),
            LogView(0, 0, [], shapes.entry(0, 0, 0, b"")),
            hard_state=shapes.hard_state(0, 0, 0),
            snapshot_meta=shapes.snapshot_meta(*EMPTY_META),
            limits=limits,
        )

    @classmethod
    def recover(
        cls, data_dir: DataDir, shapes: Shapes[E, H, M], limits: Limits = Limits()
    ) -> Recovered[E, H, M]:
        """Read back what is in the data directory and make it durable.

        Raises: FatalError, in one line that names file and offset, if something that had been
            acknowledged is damaged or gone, or if the disk refused.
        """
        files = data_dir.files
        snapshots = Snapshots(files, data_dir.snapshots_path, data_dir.store_id)
        listing = snapshots.listing()
        scanned = scan(files, data_dir.wal_path, data_dir.store_id)
        choice = choose(files, snapshots, listing.snapshots, scanned.segments, shapes.entry)
        notes = [*listing.notes, *scanned.notes]
        if scanned.tail.cut:
            notes.append(scanned.tail.cut)
        end = choice.log.end
        # First: a frame that was read may not be durable yet, and what follows relies on it.
        wal = Wal.resume(
            files,
            data_dir.wal_path,
            scanned,
            end,
            segment_bytes=limits.segment_bytes,
            ahead_bytes=limits.ahead_bytes,
        )
        notes += snapshots.settle(listing.leftovers, choice.skipped)
        if choice.found is not None and choice.found.is_received:
            snapshots.adopt(choice.meta)
        storage = cls._resumed(wal, snapshots, choice, shapes, limits)
        rows = _rows(snapshots, choice)
        return Recovered(storage, scanned.segments[-1].head.metadata, rows, tuple(notes))

    @classmethod
    def _resumed(
        cls,
        wal: Wal,
        snapshots: Snapshots,
        choice: Choice[E],
        shapes: Shapes[E, H, M],
        limits: Limits,
    ) -> "Storage[E, H, M]":
        index, term, conf = choice.meta
        entries = choice.log.entries
        if entries and entries[0][1] == index:
            del entries[0]
        hard_term, vote, commit = choice.log.end.hard_state
        # A snapshot holds only what was committed, even where no frame said so any more.
        return cls(
            wal,
            snapshots,
            LogView(index, term, entries, shapes.entry(0, 0, 0, b"")),
            hard_state=shapes.hard_state(hard_term, vote, max(commit, index)),
            snapshot_meta=shapes.snapshot_meta(index, term, conf),
            limits=limits,
        )

    @property
    def segment_count(self) -> int:
        """How many segments the log has on disk."""
        return self._wal.segment_count

    def initial_state(self) -> tuple[H, M]:
        """Return the hard state and the snapshot that the log follows, as recovered or now."""
        return self._hard_state, self._snapshot_meta

    def first_index(self) -> int:
        """Return the index of the first entry that can be read."""
        return self._view.compacted_index + 1

    def last_index(self) -> int:
        """Return the index of the last durable entry, the snapshot's if there is none."""
        return self._view.last_index

    def term(self, index: int) -> int:
        """Return the term at `index`, from `first_index() - 1` to `last_index()`.

        Raises: LookupError outside that range.
        """
        return self._view.term(index)

    def entries(self, low: int, high: int, bytes_max: int) -> list[E]:
        """Return entries of [low, high), at least one, then as many as fit `bytes_max`.

        Raises: LookupError if `low` is compacted or `high` is past the end.
        """
        return self._view.entries(low, high, bytes_max)

    def snapshot_meta(self) -> M:
        """Return the newest durable snapshot's place, the empty one if there is none."""
        return self._snapshot_meta

    def write(self, hard_state: H | None, entries: Sequence[E]) -> None:
        """Write one frame and fsync it.  Blocking, in the log's thread.

        Raises: FatalError if the disk refused, now or before, or if Raft would never do that
            (see Wal.append); the member must stop.
        """
        if entries or hard_state is not None:
            self._wal.append(hard_state, entries)

    def flusher(self) -> Flusher | None:
        """Return a new one for what `begin_write` returns, None where there can't be one."""
        return self._wal.flusher()

    def begin_write(self, hard_state: H | None, entries: Sequence[E]) -> int | None:
        """Write one frame; return the handle to be made durable before `end_write`.

        Not blocking, while the disk keeps up.  None, and nothing written, if it takes `write`.
        Raises: FatalError as `write`.
        """
        return self._wal.begin(hard_state, entries)

    def end_write(self, error: OSError | None) -> None:
        """Take note of how making it durable ended.  Raises: FatalError if the disk refused."""
        self._wal.end_begun(error)

    def stabilise(self, hard_state: H | None, entries: Sequence[E]) -> None:
        """Make what `write` has made durable visible to readers.

        Raises: FatalError if the entries do not continue the view.
        """
        if entries:
            self._view.extend(entries)
        if hard_state is not None:
            self._hard_state = hard_state

    def compact(self, index: int) -> None:
        """Forget entries up to and including `index` from the view.

        Raises: FatalError if no durable snapshot stands for them.
        """
        if index > self._snapshot_meta[0]:
            raise FatalError(
                f"will not compact the log to {index}: "
                f"the newest snapshot is at {self._snapshot_meta[0]}"
            )
        self._view.compact(index)

    def begin_snapshot(self, meta: M) -> SnapshotWriter:
        """Begin a snapshot of the state after `meta.index`.  Blocking.

        Raises: FatalError if that entry is not durable here, or if the disk refused.
        """
        if meta[0] > self._wal.end.index:
            raise FatalError(
                f"will not take a snapshot at {meta[0]}: the log ends at {self._wal.end.index}"
            )
        return self._snapshots.begin(meta)

    def save_snapshot(self, meta: M, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write a snapshot in one go: durable and read back on return.  Blocking.

        Raises: FatalError as `begin_snapshot`.
        """
        writer = self.begin_snapshot(meta)
        writer.write_rows(rows)
        writer.finish()

    def snapshot_saved(self, meta: M) -> None:
        """Take note, on the loop, of a snapshot whose `finish` has returned.

        Raises: FatalError if it is not a point of the log in the view.
        """
        index, term, _ = meta
        if index <= self._snapshot_meta[0]:
            return
        if self._view.last_index < index or self._view.term(index) != term:
            raise FatalError(f"the snapshot at entry {index} of term {term} is not of this log")
        self._snapshot_meta = meta

    def open_snapshot(self) -> SnapshotReader | None:
        """Open the newest durable snapshot to send it, None for the empty one.  Blocking.

        Raises: FatalError if its file cannot be used any more.
        """
        if self._snapshot_meta[0] == 0:
            return None
        return _open(self._snapshots, self._snapshots.path_of(self._snapshot_meta))

    def begin_received(self, meta: M) -> SnapshotWriter:
        """Begin to store a snapshot that another member sends.  Blocking.

        After `finish` comes `install`; until then a restart forgets it.
        Raises: FatalError if the disk refused.
        """
        return self._snapshots.begin_received(meta)

    def open_received(self, meta: M) -> SnapshotReader:
        """Open a received snapshot that is finished and not installed yet.  Blocking.

        Raises: FatalError if its file cannot be used.
        """
        return _open(self._snapshots, self._snapshots.received_path_of(meta))

    def install(self, meta: M, hard_state: H) -> None:
        """Let the log begin anew after a received snapshot that is finished.  Blocking, in the
        log's thread; one frame, durable on return.  `hard_state.commit` is the snapshot's index.

        Raises: FatalError if the disk refused, or if entries up to there are committed here.
        """
        term, vote, commit = hard_state
        self._wal.install((term, vote, commit), meta[0], meta[1])
        self._snapshots.adopt(meta)

    def installed(self, meta: M, hard_state: H) -> None:
        """Make what `install` has made durable visible to readers."""
        self._view.restart(meta[0], meta[1])
        self._snapshot_meta = meta
        self._hard_state = hard_state

    def purge(self) -> list[str]:
        """Remove what retention lets go, oldest first, and return the paths.  Blocking, in the
        log's thread.

        Raises: FatalError if the disk refused.
        """
        index = self._snapshot_meta[0]
        removed = self._snapshots.retain(index, self._limits.snapshots_max)
        return removed + self._wal.purge(index, self._limits.wals_max)

    def close(self) -> None:
        """Close the log's file; what `write` has returned from is safe."""
        self._wal.close()


def _rows(snapshots: Snapshots, choice: Choice[E]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the snapshot that was chosen; none for the empty one."""
    if choice.found is None:
        return
    with _open(snapshots, snapshots.path_of(choice.meta)) as reader:
        yield from reader.rows()


def _open(snapshots: Snapshots, path: str) -> SnapshotReader:
    try:
        return snapshots.open(path)
    except Damage as error:
        raise FatalError(f"snapshot {path}: {error}") from error
