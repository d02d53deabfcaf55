"""The real flusher on the real file system."""

import errno
import os
import platform
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcdpy.store.flusher import KernelFlusher

DEADLINE_S = 10.0


@pytest.fixture
def flusher() -> Iterator[KernelFlusher]:
    flusher = KernelFlusher.create()
    if flusher is None:
        pytest.skip("this system has no asynchronous fdatasync")
    yield flusher
    flusher.close()


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[int]:
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(handle, b"12345")
    yield handle
    os.close(handle)


def is_told(flusher: KernelFlusher, within_s: float) -> bool:
    return bool(select.select([flusher.fileno()], [], [], within_s)[0])


def test_the_end_is_told_once_for_each_beginning(flusher: KernelFlusher, handle: int) -> None:
    assert not is_told(flusher, 0)
    for _ in range(20):
        os.write(handle, b"x" * 5000)
        flusher.begin(handle)
        assert is_told(flusher, DEADLINE_S)
        flusher.end()
        assert not is_told(flusher, 0)


def test_what_cannot_be_durable_is_refused_at_once(flusher: KernelFlusher, handle: int) -> None:
    closed, no_file = os.dup(handle), os.eventfd(0)
    os.close(closed)
    for bad, number in ((closed, errno.EBADF), (no_file, errno.EINVAL)):
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            flusher.begin(bad)
        assert caught.value.errno == number
    os.close(no_file)
    assert not is_told(flusher, 0)
    flusher.begin(handle)
    assert is_told(flusher, DEADLINE_S)
    flusher.end()


def test_a_refusal_of_the_disk_is_raised_at_the_end(
    flusher: KernelFlusher, handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher.begin(handle)
    assert is_told(flusher, DEADLINE_S)
    monkeypatch.setattr("etcdpy.store.flusher._EVENT", _Refusing)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        flusher.end()
    assert caught.value.errno == errno.ENOSPC


class _Refusing:
    @staticmethod
    def unpack(event: object) -> tuple[int, int, int, int]:
        return 0, 0, -errno.ENOSPC, 0


def test_to_wait_is_the_same_in_one(flusher: KernelFlusher, handle: int) -> None:
    closed = os.dup(handle)
    os.close(closed)
    flusher.wait(handle)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        flusher.wait(closed)
    assert not is_told(flusher, 0)


def test_closing_takes_what_is_going_on_with_it(handle: int) -> None:
    flusher = KernelFlusher.create()
    if flusher is None:
        pytest.skip("this system has no asynchronous fdatasync")
    before = set(os.listdir("/proc/self/fd"))
    flusher.begin(handle)
    flusher.close()
    assert len(before - set(os.listdir("/proc/self/fd"))) == 1


def test_there_is_none_on_a_machine_whose_calls_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert KernelFlusher.create() is None


def test_without_a_descriptor_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = count_contexts()
    flusher = KernelFlusher.create()
    if flusher is None:
        pytest.skip("this system has no asynchronous fdatasync")
    assert count_contexts() == before + 1
    flusher.close()
    monkeypatch.setattr(os, "eventfd", refuse)
    assert KernelFlusher.create() is None
    assert count_contexts() == before


def count_contexts() -> int:
    """Return how many of the system's contexts this process has: each is a mapping of its own."""
    return Path("/proc/self/maps").read_text().count("/[aio]")
