"""The data directory: its layout, its lock, its format version, and whom it belongs to.

    DATA/                     only its owner may enter
    DATA/etcdpy.format        format version, state and id of the store, one line of JSON
    DATA/LOCK                 locked while a process uses the directory
    DATA/wal/                 write-ahead log segments, or --wal-dir instead
    DATA/snapshots/           snapshot files

Rules: look before touching, so that a directory of etcd is left as it was.  A store is created in
three durable steps: the format file says `creating`, the log's first segment exists, the format
file says `ready`.  What an interrupted creation left is cleared and created anew, since nothing was
ever acknowledged from it; a directory that is `ready` and has no log has lost it, and is refused
instead of being bootstrapped over.  The store's id stands in the format file and in each segment
and snapshot, so that files of two stores cannot be mixed.
Source: spec/cluster.md sections 1 and 5 for what etcd does; the names are ours.
"""

import json
from contextlib import suppress
from typing import NamedTuple

from etcdpy.errors import ConfigError, FatalError
from etcdpy.store.files import (
    Files,
    join,
    normal,
    parent,
    read_whole,
    reason,
    refused,
    write_whole,
)
from etcdpy.store.record import decode_segment_head
from etcdpy.store.segments import ASIDE_SUFFIX, SEGMENT_SUFFIX
from etcdpy.store.snapshots import SUFFIX as SNAPSHOT_SUFFIX

FORMAT_VERSION = 1
FORMAT_NAME = "etcdpy.format"
LOCK_NAME = "LOCK"
WAL_NAME = "wal"
SNAPSHOTS_NAME = "snapshots"
_OUR_NAMES = {
    FORMAT_NAME,
    FORMAT_NAME + ".tmp",
    LOCK_NAME,
    WAL_NAME,
    SNAPSHOTS_NAME,
}
_ID_BYTES = 16
_CREATING = "creating"
_READY = "ready"


class DataDirInUseError(FatalError):
    """Another process holds the lock; a caller may wait and try again."""


class _Format(NamedTuple):
    """What the format file says."""

    state: str
    store_id: bytes


class DataDir:
    """A data directory that this process has locked."""

    def __init__(
        self, files: Files, path: str, wal_path: str, lock: int, found: _Format | None
    ) -> None:
        """Use `DataDir.open`."""
        self.files = files
        self.path = path
        self.wal_path = wal_path
        self.snapshots_path = join(path, SNAPSHOTS_NAME)
        self.strangers: tuple[str, ...] = ()  # names that are not ours, for a warning
        self.store_id = found.store_id if found else files.random_bytes(_ID_BYTES)
        self.is_fresh = found is None or found.state == _CREATING
        self._lock = lock

    @classmethod
    def open(cls, files: Files, path: str, wal_path: str = "") -> "DataDir":
        """Look at the directory, create it if it is missing, and lock it.

        `wal_path` is `--wal-dir`, "" for the usual place.
        Raises: ConfigError if it, or the log's directory, is not one to start on, and says why;
            DataDirInUseError if another process has it; FatalError if it is damaged or of a
            later version.
        """
        path = normal(path)
        wal_path = normal(wal_path) if wal_path else join(path, WAL_NAME)
        names = _list_data_dir(files, path)
        _refuse_etcd(files, path, names)
        lock = _lock(files, path)
        try:
            found = _read_format(files, path) if FORMAT_NAME in names else None
            data_dir = cls(files, path, wal_path, lock, found)
            data_dir.strangers = tuple(name for name in names if name not in _OUR_NAMES)
            _check_log(data_dir, found)
        except BaseException:
            files.close(lock)
            raise
        return data_dir

    def begin_creation(self) -> None:
        """Say that a creation begins, clear what an interrupted one left, make the directories.

        Raises: FatalError if the disk refused.
        """
        try:
            # Also where it exists: who made it may have been killed before its name was durable.
            make_dirs(self.files, self.path)
            self._write_format(_CREATING)
            make_dirs(self.files, self.snapshots_path)
            make_dirs(self.files, self.wal_path)
            for name in self.files.list_names(self.wal_path):
                if name.endswith((SEGMENT_SUFFIX, ASIDE_SUFFIX)):
                    self.files.unlink(join(self.wal_path, name))
            self.files.fsync_dir(self.wal_path)
        except OSError as error:
            raise refused("create a store in", self.path, error) from error

    def finish_creation(self) -> None:
        """Say that the log exists.  Raises: FatalError if the disk refused."""
        try:
            self._write_format(_READY)
        except OSError as error:
            raise refused("create a store in", self.path, error) from error
        self.is_fresh = False

    def close(self) -> None:
        """Unlock the directory."""
        self.files.close(self._lock)

    def _write_format(self, state: str) -> None:
        content = {"version": FORMAT_VERSION, "state": state, "id": self.store_id.hex()}
        data = json.dumps(content).encode() + b"\n"
        write_whole(self.files, join(self.path, FORMAT_NAME), data)


def make_dirs(files: Files, path: str) -> None:
    """Make a directory, and those above it that are missing; its name is durable on return.

    Raises: OSError.
    """
    try:
        files.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_dirs(files, parent(path))
        files.mkdir(path)
    # The directory above may be one that we may enter but not read, which is not ours to sync.
    with suppress(PermissionError):
        files.fsync_dir(parent(path))


def _list_data_dir(files: Files, path: str) -> list[str]:
    """Return the names in the data directory, which exists afterwards."""
    try:
        return files.list_names(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"error listing data dir: {path}") from error
    try:
        make_dirs(files, path)
    except OSError as error:
        raise ConfigError(f"cannot access data directory: mkdir {path}: {reason(error)}") from error
    return []


def _list_if_there(files: Files, path: str) -> list[str]:
    """Return the names in a directory, none if it is missing or is no directory."""
    try:
        return files.list_names(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise refused("read", path, error) from error


def _refuse_etcd(files: Files, path: str, names: list[str]) -> None:
    """Raise ConfigError if this is, or was, the data directory of an etcd."""
    signs = [f"member/{name}" for name in _list_if_there(files, join(path, "member"))]
    signs += [name for name in ("proxy", "snap") if name in names]
    for sign in signs:
        if sign in ("member/snap", "member/wal", "proxy", "snap"):
            raise ConfigError(
                f"{path} is a data directory of etcd (it has {sign}), which etcdpy cannot open: "
                f"nothing in it was changed; choose another --data-dir"
            )


def _lock(files: Files, path: str) -> int:
    lock_path = join(path, LOCK_NAME)
    try:
        return files.lock(lock_path)
    except BlockingIOError as error:
        raise DataDirInUseError(
            f'another etcdpy process is using "{path}" and holds the lock on "{lock_path}"'
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot access data directory: open {lock_path}: {reason(error)}"
        ) from error


def _read_format(files: Files, path: str) -> _Format:
    """Return what the format file says, durably: who wrote it may have been killed before.

    Raises: FatalError if that is nothing we know, or if the disk refused.
    """
    format_path = join(path, FORMAT_NAME)
    data = read_whole(files, format_path)
    try:
        files.fsync_dir(path)
    except OSError as error:
        raise refused("make durable", format_path, error) from error
    try:
        content = json.loads(data)
        version = content["version"]
        if version == FORMAT_VERSION:
            found = _Format(content["state"], bytes.fromhex(content["id"]))
            if found.state in (_CREATING, _READY):
                return found
    except (ValueError, TypeError, KeyError) as error:
        raise FatalError(f"{format_path}: damaged: {data[:100]!r}") from error
    if version != FORMAT_VERSION:
        raise FatalError(
            f"{format_path}: unknown format version {version!r}: "
            f"this program reads version {FORMAT_VERSION}"
        )
    raise FatalError(f"{format_path}: damaged: {data[:100]!r}")


def _check_log(data_dir: DataDir, found: _Format | None) -> None:
    """Raise ConfigError or FatalError unless the log is where a store in this state has it."""
    files, wal_path = data_dir.files, data_dir.wal_path
    names = _list_if_there(files, wal_path)
    segments = [name for name in names if name.endswith(SEGMENT_SUFFIX)]
    if found is not None and found.state == _READY:
        if not segments:
            raise FatalError(
                f"the write-ahead log of data directory {data_dir.path} is gone: no segment in "
                f"{wal_path}; is --wal-dir what it was when the directory was created?"
            )
        return
    for name in names:
        if name.endswith(".wal"):
            raise ConfigError(f"{wal_path} holds the write-ahead log of an etcd ({name})")
    if found is None:
        snapshots = [
            name
            for name in _list_if_there(files, data_dir.snapshots_path)
            if name.endswith(SNAPSHOT_SUFFIX)
        ]
        if segments or snapshots:
            raise ConfigError(
                f"data directory {data_dir.path} has no {FORMAT_NAME} file, but there are "
                f"{len(segments)} log segments in {wal_path} and {len(snapshots)} snapshots "
                f"in {data_dir.snapshots_path}: will not start a new store over them"
            )
        return
    for name in segments:
        path = join(wal_path, name)
        head, _ = decode_segment_head(read_whole(files, path), path)
        if head.store_id != found.store_id:
            raise ConfigError(f"{path}: belongs to another data directory than {data_dir.path}")
