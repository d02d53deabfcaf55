"""The Storage that consensus asks for: two halves, a disk and a view, that never get ahead."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from etcdpy.consensus import interfaces
from etcdpy.consensus.messages import ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import FatalError
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.store.storage import Limits, Storage
from tests.store.helpers import (
    CONF,
    METADATA,
    SHAPES,
    Member,
    MemberStorage,
    entry,
    simulated,
    state_of,
)


@pytest.fixture
def member() -> Member:
    started = Member(simulated(), Limits())
    started.start()
    return started


def test_it_is_what_consensus_asks_for(member: Member) -> None:
    storage: interfaces.Storage = member.storage
    assert storage.initial_state() == (HardState(), SnapshotMeta())
    assert (storage.first_index(), storage.last_index(), storage.term(0)) == (1, 0, 0)


def test_what_comes_out_is_the_consensus_own_values(member: Member) -> None:
    member.extend(3)
    member.snapshot()
    member.extend(2)
    member.stop()
    member.start()
    hard_state, meta = member.storage.initial_state()
    (first, *_) = member.storage.entries(3, 4, 0)
    assert isinstance(hard_state, HardState)
    assert isinstance(meta, SnapshotMeta)
    assert isinstance(meta.conf, ConfState)
    assert isinstance(first, Entry)


def test_what_is_written_is_not_readable_before_it_is_stable(member: Member) -> None:
    batch = (HardState(1, 1, 1), [entry(1), entry(2)])
    member.storage.write(*batch)
    assert member.storage.last_index() == 0
    assert member.storage.initial_state()[0] == HardState()
    member.storage.stabilise(*batch)
    assert member.storage.entries(1, 3, 10**6) == batch[1]
    assert member.storage.initial_state()[0] == batch[0]


def test_nothing_to_write_costs_nothing(member: Member) -> None:
    before = member.files.operation_count
    member.storage.write(None, [])
    member.storage.stabilise(None, [])
    assert member.files.operation_count == before


def test_a_rewritten_tail_replaces_the_view(member: Member) -> None:
    member.extend(4)
    member.rewrite(2)
    assert member.storage.last_index() == 2
    assert member.storage.term(1) == 2
    with pytest.raises(LookupError):
        member.storage.entries(1, 4, 10**6)


def test_the_log_is_not_compacted_before_its_snapshot_is_durable(member: Member) -> None:
    member.extend(5)
    member.extend(1)
    with pytest.raises(FatalError, match="will not compact the log to 1: the newest snapshot is"):
        member.storage.compact(1)
    member.snapshot()
    member.storage.compact(4)
    assert member.storage.first_index() == 6
    assert member.storage.term(5) == 1


def test_a_snapshot_is_not_taken_of_what_is_not_durable(member: Member) -> None:
    member.extend(2)
    with pytest.raises(FatalError, match="will not take a snapshot at 3: the log ends at 2"):
        member.storage.begin_snapshot(SnapshotMeta(3, 1, CONF))


@pytest.mark.parametrize("meta", [SnapshotMeta(2, 9, CONF), SnapshotMeta(3, 1, CONF)])
def test_a_snapshot_of_another_log_is_not_taken_note_of(member: Member, meta: SnapshotMeta) -> None:
    member.extend(2)
    with pytest.raises(FatalError, match="is not of this log"):
        member.storage.snapshot_saved(meta)


def test_an_older_snapshot_does_not_hide_a_newer_one(member: Member) -> None:
    member.extend(3)
    member.extend(1)
    member.snapshot()
    newest = member.storage.snapshot_meta()
    assert newest.index == 3
    member.storage.snapshot_saved(SnapshotMeta(1, 1, CONF))
    assert member.storage.snapshot_meta() == newest


def test_the_newest_snapshot_can_be_sent(member: Member) -> None:
    assert member.storage.open_snapshot() is None
    member.extend(3)
    member.extend(1)
    member.snapshot()
    reader = member.storage.open_snapshot()
    assert reader is not None
    with reader:
        assert reader.meta == (3, 1, CONF)
        assert [Entry(*row) for row in reader.rows()] == list(member.state.entries[:3])


def test_a_snapshot_that_went_away_is_named(member: Member) -> None:
    member.extend(3)
    member.extend(1)
    member.snapshot()
    path = f"/data/snapshots/{member.files.names('/data/snapshots')[0]}"
    member.files.remove(path)
    with pytest.raises(FatalError, match=f"snapshot {path}: cannot open it: no such file"):
        member.storage.open_snapshot()


def test_rows_of_a_snapshot_that_went_away_name_it(member: Member) -> None:
    member.extend(3)
    member.extend(1)
    member.snapshot()
    member.stop()
    data_dir = DataDir.open(member.files, "/data")
    recovered = Storage.recover(data_dir, SHAPES)
    path = f"/data/snapshots/{member.files.names('/data/snapshots')[0]}"
    member.files.remove(path)
    with pytest.raises(FatalError, match=f"snapshot {path}: cannot open it"):
        list(recovered.rows)


def test_an_installed_snapshot_replaces_log_and_view(member: Member) -> None:
    member.extend(3)
    member.install(10)
    storage = member.storage
    assert (storage.first_index(), storage.last_index()) == (11, 10)
    assert storage.initial_state() == (HardState(2, 0, 10), SnapshotMeta(10, 2, CONF))
    member.extend(2)
    member.stop()
    member.start()
    assert member.storage.last_index() == 12


def test_a_received_snapshot_can_be_read_before_it_is_installed(member: Member) -> None:
    member.extend(3)
    meta = SnapshotMeta(9, 2, CONF)
    writer = member.storage.begin_received(meta)
    writer.write_rows([entry(9)])
    writer.finish()
    with member.storage.open_received(meta) as reader:
        assert reader.meta == meta
        assert [Entry(*row) for row in reader.rows()] == [entry(9)]
    assert member.storage.snapshot_meta() == SnapshotMeta()
    assert member.storage.open_snapshot() is None
    member.stop()
    member.start()  # finds what was acknowledged, and nothing else


def test_a_received_snapshot_cannot_be_read_before_it_is_whole(member: Member) -> None:
    meta = SnapshotMeta(9, 2, CONF)
    member.storage.begin_received(meta).write_rows([entry(9)])
    with pytest.raises(FatalError, match=r"snapshot /data/.*\.received: cannot open it"):
        member.storage.open_received(meta)


def test_a_snapshot_that_was_not_received_cannot_be_installed(member: Member) -> None:
    with pytest.raises(FatalError, match=r"cannot make durable /data/snapshots/.*: no such file"):
        member.storage.install(SnapshotMeta(9, 1, CONF), HardState(1, 0, 9))


def test_retention_removes_the_oldest_and_keeps_what_recovery_needs() -> None:
    member = Member(simulated(), Limits(segment_bytes=300, wals_max=2, snapshots_max=2))
    member.start()
    removed = []
    for _ in range(6):
        for _ in range(3):
            member.extend(2, size=60)
        member.snapshot()
        removed += member.storage.purge()
    names = member.files.names("/data/snapshots")
    assert [int(name[17:33], 16) for name in names] == [28, 34]
    assert len(member.files.names("/data/wal")) == member.storage.segment_count == 2
    assert len([path for path in removed if "/snapshots/" in path]) == 4
    member.stop()
    member.start()


def test_retention_of_0_keeps_all() -> None:
    member = Member(simulated(), Limits(segment_bytes=300, wals_max=0, snapshots_max=0))
    member.start()
    for _ in range(6):
        for _ in range(3):
            member.extend(2, size=60)
        member.snapshot()
        assert member.storage.purge() == []
    assert len(member.files.names("/data/snapshots")) == 6


def test_retention_does_not_count_what_is_newer_than_the_snapshot_in_use() -> None:
    """One that was renamed and is not yet read back must not push out the one in use."""
    member = Member(simulated(), Limits(snapshots_max=1))
    member.start()
    member.extend(3)
    member.extend(3)
    member.snapshot()
    member.storage.save_snapshot(SnapshotMeta(5, 1, CONF), member.state.entries[:5])
    assert member.storage.purge() == []
    assert len(member.files.names("/data/snapshots")) == 2


def test_a_refused_removal_of_a_snapshot_names_it() -> None:
    member = Member(simulated(), Limits(snapshots_max=1))
    member.start()
    for _ in range(3):
        member.extend(3)
        member.snapshot()

    def on_operation(name: str, path: str) -> None:
        if name == "unlink":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    member.files.on_operation = on_operation
    with pytest.raises(FatalError, match=r"cannot remove /data/snapshots/.*: input/output error"):
        member.storage.purge()


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ("list_names", "cannot read /data/snapshots: input/output error"),
        ("fsync_dir", "cannot clean up /data/snapshots: input/output error"),
    ],
)
def test_a_snapshot_directory_that_refuses_stops_the_start(operation: str, text: str) -> None:
    member = Member(simulated())
    member.start()
    member.stop()

    def on_operation(name: str, path: str) -> None:
        if name == operation and path == "/data/snapshots":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    member.files.on_operation = on_operation
    with pytest.raises(FatalError, match=f"^{text}$"):
        member.start()


def test_a_log_directory_that_refuses_stops_the_start() -> None:
    member = Member(simulated())
    member.start()
    member.stop()
    data_dir = DataDir.open(member.files, "/data")

    def on_operation(name: str, path: str) -> None:
        if name == "list_names" and path == "/data/wal":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    member.files.on_operation = on_operation
    with pytest.raises(FatalError, match=r"^cannot read /data/wal: input/output error$"):
        Storage.recover(data_dir, SHAPES)


def test_a_log_that_vanishes_meanwhile_stops_the_start() -> None:
    member = Member(simulated())
    member.start()
    member.stop()
    data_dir = DataDir.open(member.files, "/data")
    for name in member.files.names("/data/wal"):
        member.files.remove(f"/data/wal/{name}")
    with pytest.raises(FatalError, match=r"^no write-ahead log segment in /data/wal$"):
        Storage.recover(data_dir, SHAPES)


WRITER = """
import sys
from etcdpy.consensus.messages import Entry, HardState
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.store.storage import Limits, Storage
from tests.store.helpers import METADATA, SHAPES, entry
data_dir = DataDir.open(OsFiles(), sys.argv[1])
storage = Storage.create(data_dir, METADATA, SHAPES, Limits(segment_bytes=3000))
for index in range(1, 10**9):
    storage.write(HardState(1, 1, index - 1), [entry(index)])
    print(index, flush=True)
"""


def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    """On the real file system, over several segments."""
    path = str(tmp_path / "data")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    )
    count = random.randint(100, 200)
    with writer:
        assert writer.stdout is not None
        for _ in range(count):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    data_dir = DataDir.open(OsFiles(), path)
    recovered = Storage.recover(data_dir, SHAPES)
    storage: MemberStorage = recovered.storage
    found = state_of(recovered)
    assert len(found.entries) in (acknowledged, acknowledged + 1)
    assert list(found.entries) == [entry(index + 1) for index in range(len(found.entries))]
    assert storage.segment_count > 2
    assert recovered.metadata == METADATA
    storage.close()
    data_dir.close()
