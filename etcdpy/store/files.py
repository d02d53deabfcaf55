"""The few things that the store asks of an operating system, and their real implementation.

It is a file of its own so that nothing else in the package touches `os`: a test that hands in
other `Files` can lose unsynced pages, tear writes, fill the disk and fail any call.  Keep the
list short: each operation here is one whose failure somebody has to have thought about.
"""

import errno
import fcntl
import os
from contextlib import suppress
from typing import Protocol

from etcdpy.errors import FatalError
from etcdpy.store.flusher import KernelFlusher

DIRECTORY_MODE = 0o700  # as etcd: the data is nobody else's
FILE_MODE = 0o600


class Flusher(Protocol):
    """Makes files durable as `Files.fdatasync`, one at a time, without keeping anybody waiting."""

    def fileno(self) -> int:
        """Return a descriptor that can be read once what was begun has ended."""

    def begin(self, handle: int) -> None:
        """Begin; raises OSError when refused, and then nothing was begun."""

    def end(self) -> None:
        """Take the end of what was begun; raises OSError if it is not durable."""

    def wait(self, handle: int) -> None:
        """Do the same, blocking."""

    def close(self) -> None:
        """Wait for what was begun, and forget it."""


class Files(Protocol):
    """Operations on files.  Paths are absolute or relative strings; handles are ints.

    Each raises OSError when refused.  Nothing is durable before `fdatasync` (a file's bytes and
    size) or `fsync_dir` (the names in a directory) has returned.
    """

    def create(self, path: str) -> int:
        """Create a file that must not exist, open for reading and writing."""

    def open(self, path: str) -> int:
        """Open an existing file for reading and writing."""

    def close(self, handle: int) -> None:
        """Close the handle; releases the lock that it may hold.

        Does not fail: whatever matters was made durable before.
        """

    def read(self, handle: int, offset: int, length: int) -> bytes:
        """Read `length` bytes at `offset`, fewer only where the file ends."""

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; an OSError may leave a part of it written."""

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""

    def truncate(self, handle: int, size: int) -> None:
        """Set the file's size."""

    def fdatasync(self, handle: int) -> None:
        """Make the file's bytes and its size durable."""

    def flusher(self) -> Flusher | None:
        """Return a new one, None where there is only `fdatasync`."""

    def list_names(self, path: str) -> list[str]:
        """Return the names in a directory, ascending."""

    def mkdir(self, path: str) -> None:
        """Make one directory that only its owner may enter."""

    def rename(self, source: str, target: str) -> None:
        """Give the file another name, replacing what had it."""

    def unlink(self, path: str) -> None:
        """Remove a file's name."""

    def fsync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""

    def lock(self, path: str) -> int:
        """Open, creating it if need be, and lock a file; close or the process's death unlocks.

        Raises: BlockingIOError if another process holds the lock.
        """

    def room_bytes(self, path: str) -> int:
        """Return how much more the disk takes on which a directory is."""

    def random_bytes(self, count: int) -> bytes:
        """Return bytes that nobody can guess."""


class OsFiles:
    """`Files` of this machine."""

    def create(self, path: str) -> int:
        """See Files."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)

    def open(self, path: str) -> int:
        """See Files."""
        return os.open(path, os.O_RDWR)

    def close(self, handle: int) -> None:
        """See Files."""
        try:
            os.close(handle)
        except OSError as error:
            if error.errno == errno.EBADF:  # our bug, and not the disk's
                raise

    def read(self, handle: int, offset: int, length: int) -> bytes:
        """See Files."""
        data = os.pread(handle, length, offset)
        if len(data) == length:
            return data
        parts = []
        while data:
            parts.append(data)
            offset += len(data)
            length -= len(data)
            data = os.pread(handle, length, offset)
        return b"".join(parts)

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """See Files."""
        written = os.pwrite(handle, data, offset)
        if written == len(data):
            return
        rest = memoryview(data)
        while written < len(rest):
            rest = rest[written:]
            offset += written
            written = os.pwrite(handle, rest, offset)
            if written == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO), "write made no progress")

    def size(self, handle: int) -> int:
        """See Files."""
        return os.fstat(handle).st_size

    def truncate(self, handle: int, size: int) -> None:
        """See Files."""
        os.ftruncate(handle, size)

    def fdatasync(self, handle: int) -> None:
        """See Files."""
        os.fdatasync(handle)

    def flusher(self) -> Flusher | None:
        """See Files."""
        return KernelFlusher.create()

    def list_names(self, path: str) -> list[str]:
        """See Files."""
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        """See Files."""
        os.mkdir(path, DIRECTORY_MODE)

    def rename(self, source: str, target: str) -> None:
        """See Files."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """See Files."""
        os.unlink(path)

    def fsync_dir(self, path: str) -> None:
        """See Files."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, path: str) -> int:
        """See Files."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle

    def room_bytes(self, path: str) -> int:
        """See Files."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def random_bytes(self, count: int) -> bytes:
        """See Files."""
        return os.urandom(count)


class UnsyncedFiles(OsFiles):
    """The files of `--unsafe-no-fsync`: nothing waits for the disk, a power cut loses data."""

    def fdatasync(self, handle: int) -> None:
        """Do nothing."""

    def flusher(self) -> Flusher | None:
        """Return None: nothing is waited for."""
        return None

    def fsync_dir(self, path: str) -> None:
        """Do nothing."""


def refused(action: str, path: str, error: OSError) -> FatalError:
    """Return the one line to stop with when the system refused to `action` `path`."""
    return FatalError(f"cannot {action} {path}: {reason(error)}")


def reason(error: OSError) -> str:
    """Return the system's reason in lower case, as etcd's messages have it."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno).lower()


def read_whole(files: Files, path: str) -> bytes:
    """Return all bytes of a file.

    Raises: FatalError naming the file, if it cannot be read.
    """
    try:
        handle = files.open(path)
        try:
            return files.read(handle, 0, files.size(handle))
        finally:
            files.close(handle)
    except OSError as error:
        raise refused("read", path, error) from error


def write_whole(files: Files, path: str, data: bytes) -> None:
    """Put a file with these bytes at `path`, all or nothing, durable on return.

    Raises: OSError, leaving what was there before under that name.
    """
    aside = path + ".tmp"
    with suppress(FileNotFoundError):
        files.unlink(aside)
    handle = files.create(aside)
    try:
        files.write(handle, 0, data)
        files.fdatasync(handle)
    finally:
        files.close(handle)
    files.rename(aside, path)
    files.fsync_dir(parent(path))


def join(directory: str, name: str) -> str:
    """Return the path of `name` in `directory`."""
    return os.path.join(directory, name)


def parent(path: str) -> str:
    """Return the directory that holds `path`."""
    return os.path.dirname(path) or "."


def normal(path: str) -> str:
    """Return `path` in its shortest form: no trailing slash, so that `parent` is what it says."""
    return os.path.normpath(path)
