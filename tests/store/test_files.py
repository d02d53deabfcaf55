"""`OsFiles` on the real file system."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from etcdpy.errors import FatalError
from etcdpy.store.files import (
    OsFiles,
    UnsyncedFiles,
    normal,
    parent,
    read_whole,
    reason,
    refused,
    write_whole,
)

HOLD = """
import sys
from etcdpy.store.files import OsFiles
OsFiles().lock(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def files() -> OsFiles:
    return OsFiles()


def test_bytes_come_back_from_where_they_were_put(files: OsFiles, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    handle = files.create(path)
    files.write(handle, 0, b"hello")
    files.write(handle, 10, b"world")
    files.fdatasync(handle)
    assert files.read(handle, 0, 15) == b"hello" + bytes(5) + b"world"
    assert files.read(handle, 12, 100) == b"rld"
    assert files.read(handle, 50, 10) == b""
    assert files.size(handle) == 15
    files.truncate(handle, 3)
    assert files.size(handle) == 3
    files.close(handle)
    handle = files.open(path)
    assert files.read(handle, 0, 10) == b"hel"
    files.close(handle)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_short_writes_and_reads_are_continued(
    files: OsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, pread = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:3], at))
    monkeypatch.setattr(os, "pread", lambda fd, length, at: pread(fd, min(4, length), at))
    handle = files.create(str(tmp_path / "file"))
    files.write(handle, 2, b"0123456789")
    assert files.read(handle, 0, 12) == bytes(2) + b"0123456789"
    assert files.read(handle, 0, 50) == bytes(2) + b"0123456789"
    files.close(handle)


def test_a_write_without_progress_is_an_error(
    files: OsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = files.create(str(tmp_path / "file"))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: 0)
    with pytest.raises(OSError, match="Input/output error"):
        files.write(handle, 0, b"data")
    files.close(handle)


def test_only_our_own_mistake_makes_close_fail(
    files: OsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = files.create(str(tmp_path / "file"))
    files.close(handle)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.close(handle)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "close", refuse)
    files.close(handle)


def test_names_change_as_asked(files: OsFiles, tmp_path: Path) -> None:
    directory = str(tmp_path / "directory")
    files.mkdir(directory)
    assert (tmp_path / "directory").stat().st_mode & 0o777 == 0o700
    files.close(files.create(directory + "/b"))
    files.close(files.create(directory + "/a"))
    assert files.list_names(directory) == ["a", "b"]
    files.rename(directory + "/a", directory + "/c")
    files.unlink(directory + "/b")
    files.fsync_dir(directory)
    assert files.list_names(directory) == ["c"]
    with pytest.raises(FileExistsError):
        files.create(directory + "/c")


def test_a_lock_is_held_against_other_processes_until_death(files: OsFiles, tmp_path: Path) -> None:
    path = str(tmp_path / "LOCK")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError):
            files.lock(path)
        holder.kill()
    handle = files.lock(path)
    with pytest.raises(BlockingIOError):
        files.lock(path)
    files.close(handle)
    files.close(files.lock(path))


def test_without_syncs_only_the_syncs_are_left_out(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    files = UnsyncedFiles()
    handle = files.create(path)
    files.write(handle, 0, b"data")
    files.fdatasync(handle)
    files.fsync_dir(str(tmp_path / "none"))
    assert files.read(handle, 0, 10) == b"data"
    files.close(handle)


def test_random_bytes_are_as_many_as_asked_and_differ(files: OsFiles) -> None:
    first, second = files.random_bytes(8), files.random_bytes(8)
    assert len(first) == len(second) == 8
    assert first != second


def test_a_whole_file_is_replaced_at_once(files: OsFiles, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    (tmp_path / "file.tmp").write_bytes(b"left by a crash")
    write_whole(files, path, b"one")
    write_whole(files, path, b"two")
    assert read_whole(files, path) == b"two"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_read_is_named(files: OsFiles, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    with pytest.raises(FatalError, match=f"^cannot read {path}: no such file or directory$"):
        read_whole(files, path)


def test_reasons_are_the_systems_in_lower_case() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert str(refused("write", "/x", full)) == "cannot write /x: no space left on device"
    assert reason(OSError("no number")) == "no number"


def test_paths_lose_what_hides_their_parent() -> None:
    assert normal("data/") == "data"
    assert parent("data") == "."
    assert parent("/data/wal") == "/data"
