"""The files of a member are measured by what they hold."""

import select
from pathlib import Path

import pytest

from etcdpy.store.datadir import DataDir
from etcdpy.telemetry.disk import MeasuredFiles, MeasuredUnsyncedFiles


def write(files: MeasuredFiles, path: Path) -> None:
    handle = files.create(str(path))
    try:
        files.write(handle, 0, b"12345")
        files.fdatasync(handle)
    finally:
        files.close(handle)


@pytest.mark.parametrize("name", ["1.segment", "1.segment.tmp"])
def test_the_log_is_counted_in_bytes_and_syncs(tmp_path: Path, name: str) -> None:
    files = MeasuredFiles()
    write(files, tmp_path / name)
    figures = files.figures
    assert (figures.wal_written_bytes, sum(figures.wal_syncs.counts)) == (5, 1)
    assert sum(figures.snapshot_syncs.counts) == 0


@pytest.mark.parametrize("name", ["1.snapshot.tmp", "1.received.tmp", "1.snapshot"])
def test_a_snapshot_is_counted_in_syncs(tmp_path: Path, name: str) -> None:
    files = MeasuredFiles()
    write(files, tmp_path / name)
    figures = files.figures
    assert (figures.wal_written_bytes, sum(figures.wal_syncs.counts)) == (0, 0)
    assert sum(figures.snapshot_syncs.counts) == 1


def test_what_is_neither_is_not_counted(tmp_path: Path) -> None:
    files = MeasuredFiles()
    write(files, tmp_path / "etcdpy.format")
    figures = files.figures
    assert figures.wal_written_bytes == 0
    assert sum(figures.wal_syncs.counts) + sum(figures.snapshot_syncs.counts) == 0


def test_an_opened_file_is_known_again_and_a_closed_one_forgotten(tmp_path: Path) -> None:
    files = MeasuredFiles()
    write(files, tmp_path / "1.segment")
    handle = files.open(str(tmp_path / "1.segment"))
    files.write(handle, 5, b"67")
    files.close(handle)
    write(files, tmp_path / "other")  # most likely under the same number
    assert files.figures.wal_written_bytes == 7


def test_a_data_directory_is_one_like_any_other(tmp_path: Path) -> None:
    with_sync, without = MeasuredFiles(), MeasuredUnsyncedFiles()
    for name, files in (("a", with_sync), ("b", without)):
        DataDir.open(files, str(tmp_path / name), "").close()
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").is_dir()


def test_a_slow_sync_is_said_in_etcds_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter([0, 1_000_000_000, 0, 2_500_000_000])
    monkeypatch.setattr("etcdpy.telemetry.disk.time.perf_counter_ns", lambda: next(times))
    files = MeasuredFiles()
    write(files, tmp_path / "1.segment")
    assert not caplog.messages
    write(files, tmp_path / "2.segment")
    assert caplog.messages == ["sync duration of 2.5s, expected less than 1s"]


def test_what_is_made_durable_beside_counts_too(tmp_path: Path) -> None:
    files = MeasuredFiles()
    flusher = files.flusher()
    if flusher is None:
        pytest.skip("this system has no asynchronous fdatasync")
    handle = files.create(str(tmp_path / "1.segment"))
    flusher.begin(handle)
    assert sum(files.figures.wal_syncs.counts) == 0
    assert select.select([flusher.fileno()], [], [], 10)[0]
    flusher.end()
    assert sum(files.figures.wal_syncs.counts) == 1
    flusher.wait(handle)
    assert sum(files.figures.wal_syncs.counts) == 2
    flusher.close()
    files.close(handle)


def test_without_sync_nothing_is_made_durable_beside() -> None:
    assert MeasuredUnsyncedFiles().flusher() is None
