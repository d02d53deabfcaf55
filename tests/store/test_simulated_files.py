"""The simulated disk loses what a real one may lose, and nothing else."""

import errno
import os

import pytest

from tests.store.helpers import simulated
from tests.store.simulated_files import SimulatedCrash, SimulatedFiles


def with_file(data: bytes = b"") -> tuple[SimulatedFiles, int]:
    """Return a disk with a durable file /f."""
    files = simulated(page_bytes=4)
    handle = files.create("/f")
    files.write(handle, 0, data)
    files.fdatasync(handle)
    files.fsync_dir("/")
    return files, handle


def outcomes(files: SimulatedFiles) -> set[bytes]:
    return {files.crash().peek("/f") for _ in range(300)}


def test_what_was_synced_is_there() -> None:
    files, _ = with_file(b"0123456789")
    assert outcomes(files) == {b"0123456789"}


def test_pages_are_lost_in_any_subset() -> None:
    files, handle = with_file(bytes(8))
    files.write(handle, 0, b"aaaabbbb")
    assert outcomes(files) == {bytes(8), b"aaaa" + bytes(4), bytes(4) + b"bbbb", b"aaaabbbb"}
    assert files.crash(0.0).peek("/f") == bytes(8)
    assert files.crash(1.0).peek("/f") == files.peek("/f") == b"aaaabbbb"


def test_a_size_is_old_or_new_or_between() -> None:
    files, handle = with_file(b"01")
    files.write(handle, 2, b"23456789")
    found = outcomes(files)
    assert {len(data) for data in found} == {2, 4, 8, 10}
    assert b"01" + bytes(2) + b"4567" + b"89" in found


def test_a_truncation_is_lost_or_kept() -> None:
    files, handle = with_file(b"0123456789")
    files.truncate(handle, 3)
    assert files.peek("/f") == b"012"
    assert {len(data) for data in outcomes(files)} == {3, 4, 8, 10}


def test_a_refused_sync_drops_pages_that_no_later_sync_writes() -> None:
    files, handle = with_file(bytes(8))
    files.write(handle, 0, b"aaaabbbb")

    def refuse(name: str, path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    files.on_operation = refuse
    with pytest.raises(OSError, match="Input/output"):
        files.fdatasync(handle)
    files.on_operation = None
    files.fdatasync(handle)
    assert files.peek("/f") == b"aaaabbbb"
    files.write(handle, 0, b"aaaabbbb")
    files.fdatasync(handle)
    assert outcomes(files) == {b"aaaabbbb"}


def test_names_are_lost_one_change_at_a_time() -> None:
    files, handle = with_file(b"x")
    files.close(handle)
    files.rename("/f", "/g")
    files.close(files.create("/h"))
    found = {tuple(files.crash().names("/")) for _ in range(100)}
    assert found == {("f",), ("g",), ("f", "h"), ("g", "h")}
    files.fsync_dir("/")
    assert {tuple(files.crash().names("/")) for _ in range(20)} == {("g", "h")}


def test_a_full_disk_takes_what_fits() -> None:
    files, handle = with_file(b"01")
    files.free_bytes = 3
    with pytest.raises(OSError, match="No space left"):
        files.write(handle, 2, b"23456")
    assert files.peek("/f") == b"01234"
    files.write(handle, 0, b"abcde")
    assert files.free_bytes == 0


def test_a_crash_in_a_write_leaves_a_part() -> None:
    lengths = set()
    for seed in range(60):
        files = simulated(seed)
        handle = files.create("/f")
        files.crash_at = files.operation_count
        with pytest.raises(SimulatedCrash):
            files.write(handle, 0, b"0123")
        lengths.add(len(files.peek("/f")))
    assert lengths == {0, 1, 2, 3, 4}


def test_a_kill_frees_locks_and_loses_nothing() -> None:
    files, handle = with_file()
    files.write(handle, 0, b"cached")
    files.lock("/LOCK")
    with pytest.raises(BlockingIOError):
        files.lock("/LOCK")
    files.kill()
    files.lock("/LOCK")
    assert files.peek("/f") == b"cached"


def test_the_same_seed_gives_the_same_disk() -> None:
    found = []
    for _ in range(2):
        files, handle = with_file(bytes(40))
        files.write(handle, 0, b"x" * 60)
        found.append([files.crash().peek("/f") for _ in range(10)])
    assert found[0] == found[1]


def test_errors_are_the_systems() -> None:
    files, _ = with_file()
    files.mkdir("/d")
    with pytest.raises(FileNotFoundError):
        files.open("/none")
    with pytest.raises(FileExistsError):
        files.create("/f")
    with pytest.raises(FileExistsError):
        files.mkdir("/d")
    with pytest.raises(NotADirectoryError):
        files.list_names("/f")
    with pytest.raises(IsADirectoryError):
        files.open("/d")
