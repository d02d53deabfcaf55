"""What the store's tests share: shapes, and a member whose every state is known.

`Member` drives a real Storage as a driver would, and keeps beside it what a reader of the log must
find after a restart: the state before the operation that is going on, and the one after it.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from etcdpy.consensus.messages import ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import FatalError
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import Files
from etcdpy.store.notes import Note
from etcdpy.store.storage import Limits, Recovered, Shapes, Storage
from tests.store.simulated_files import SimulatedFiles

DATA = "/data"
METADATA = b"member 1"
CONF = ConfState((1, 2, 3), (4,))
SHAPES = Shapes(
    Entry, HardState, lambda index, term, conf: SnapshotMeta(index, term, ConfState(*conf))
)
SMALL = Limits(segment_bytes=400, wals_max=1, snapshots_max=1)

MemberStorage = Storage[Entry, HardState, SnapshotMeta]


class State(NamedTuple):
    """All that a member has ever accepted and not replaced, and its hard state."""

    entries: tuple[Entry, ...]  # from index 1
    hard_state: HardState


EMPTY = State((), HardState())


def simulated(seed: int = 0, page_bytes: int = 64) -> SimulatedFiles:
    return SimulatedFiles(random.Random(seed), page_bytes=page_bytes)


def entry(index: int, term: int = 1, size: int = 20) -> Entry:
    text = f"{term}.{index}.".encode()
    return Entry(term, index, 0, text + b"x" * max(0, size - len(text)))


def open_store(
    files: Files, limits: Limits = SMALL, wal_path: str = ""
) -> tuple[DataDir, Recovered[Entry, HardState, SnapshotMeta]]:
    """Open what is there, or create it."""
    data_dir = DataDir.open(files, DATA, wal_path)
    if data_dir.is_fresh:
        storage: MemberStorage = Storage.create(data_dir, METADATA, SHAPES, limits)
        return data_dir, Recovered(storage, METADATA, iter(()), ())
    try:
        return data_dir, Storage.recover(data_dir, SHAPES, limits)
    except FatalError:
        data_dir.close()
        raise


def state_of(recovered: Recovered[Entry, HardState, SnapshotMeta]) -> State:
    """Return all that a restart found: the snapshot's rows are the entries up to it."""
    storage = recovered.storage
    hard_state, meta = storage.initial_state()
    assert recovered.metadata == METADATA
    assert storage.first_index() == meta.index + 1
    entries = [Entry(*row) for row in recovered.rows]
    assert len(entries) == meta.index
    if storage.last_index() > meta.index:
        entries += storage.entries(meta.index + 1, storage.last_index() + 1, 10**9)
    if meta.index:
        assert meta.conf == CONF
        assert entries[meta.index - 1].term == meta.term
    assert [found.index for found in entries] == list(range(1, len(entries) + 1))
    assert meta.index <= hard_state.commit <= storage.last_index()
    return State(tuple(entries), hard_state)


class Member:
    """A member on simulated files: what it does, and what its disk must then say."""

    def __init__(self, files: SimulatedFiles, limits: Limits = SMALL) -> None:
        self.files = files
        self.limits = limits
        self.state = EMPTY  # acknowledged
        self.next_state = EMPTY  # what it becomes when the operation going on returns
        self.notes: list[Note] = []
        self.storage: MemberStorage
        self.data_dir: DataDir

    def start(self) -> None:
        """Start or restart, and check that exactly what was acknowledged is there."""
        self.data_dir, recovered = open_store(self.files, self.limits)
        self.storage = recovered.storage
        self.notes += recovered.notes
        found = state_of(recovered)
        meta = self.storage.snapshot_meta()
        allowed = [_raised(state, meta.index) for state in (self.state, self.next_state)]
        assert found in allowed, f"found {found}, allowed {allowed}"
        # The commit index that recovery raised is not on disk: keep what is.
        kept = [s for s in (self.next_state, self.state) if _raised(s, meta.index) == found]
        self.state = self.next_state = kept[0]

    def stop(self) -> None:
        self.storage.close()
        self.data_dir.close()

    def append(self, entries: Sequence[Entry] = (), hard_state: HardState | None = None) -> None:
        before = self.state.entries
        after = before[: entries[0].index - 1] + tuple(entries) if entries else before
        self.next_state = State(after, hard_state or self.state.hard_state)
        self.storage.write(hard_state, entries)
        self.state = self.next_state
        self.storage.stabilise(hard_state, entries)

    def extend(self, count: int, size: int = 20) -> None:
        """Append entries of the current term and commit all but the last."""
        term = max(1, self.state.hard_state.term)
        last = len(self.state.entries)
        entries = [entry(last + 1 + i, term, size) for i in range(count)]
        commit = max(self.state.hard_state.commit, last)
        self.append(entries, HardState(term, self.state.hard_state.vote or 1, commit))

    def rewrite(self, count: int) -> None:
        """In a new term, replace all that is not committed."""
        term, _, commit = self.state.hard_state
        entries = [entry(commit + 1 + i, term + 1) for i in range(count)]
        self.append(entries, HardState(term + 1, 2, commit))

    def snapshot(self) -> None:
        """Take a snapshot of what is committed, and forget the log up to it."""
        index = self.state.hard_state.commit
        if index <= self.storage.snapshot_meta().index:
            return
        meta = SnapshotMeta(index, self.state.entries[index - 1].term, CONF)
        self.storage.save_snapshot(meta, self.state.entries[:index])
        self.storage.snapshot_saved(meta)
        self.storage.compact(index)

    def install(self, count: int) -> None:
        """Take over a leader's snapshot, `count` entries past what is committed here."""
        term, _, commit = self.state.hard_state
        added = tuple(entry(commit + 1 + i, term + 1) for i in range(count))
        entries = self.state.entries[:commit] + added
        meta = SnapshotMeta(len(entries), term + 1, CONF)
        hard_state = HardState(term + 1, 0, meta.index)
        writer = self.storage.begin_received(meta)
        writer.write_rows(entries)
        writer.finish()
        self.next_state = State(entries, hard_state)
        self.storage.install(meta, hard_state)
        self.state = self.next_state
        self.storage.installed(meta, hard_state)

    def purge(self) -> None:
        self.storage.purge()


def _raised(state: State, index: int) -> State:
    """Return the state with the commit index that a snapshot at `index` proves."""
    hard_state = state.hard_state
    return state._replace(hard_state=hard_state._replace(commit=max(hard_state.commit, index)))


def script(member: Member) -> None:
    """A short life: every operation, cuts, purges and a restart among them."""
    member.start()
    member.extend(1)
    member.append((), HardState(1, 1, 1))
    member.extend(3)
    member.rewrite(2)
    for _ in range(4):
        member.extend(2, size=60)
    member.snapshot()
    member.purge()
    member.extend(1)
    member.stop()
    member.start()
    member.extend(4, size=60)
    member.install(3)
    member.extend(2)
    member.snapshot()
    member.purge()
    member.extend(2, size=100)
    member.extend(2, size=100)
    member.rewrite(1)
    member.snapshot()
    member.purge()
    member.extend(1)
    member.stop()
    member.start()
    member.stop()
