"""The directory of snapshot files: which there are, which are whole, which go.

A snapshot that this member took is `<term>-<index>.snapshot`.  One that another member sent is
`….received` until the write-ahead log says that it replaced the log; a start that finds it without
that mark removes it, one that finds it with the mark gives it its name.  So a `.snapshot` is always
a point of the log, and one that lies past the log's end says that a part of the log was lost.

Which files `retain` removes: the oldest beyond `--max-snapshots` (0 keeps all), the newest never.
A file that is not whole is renamed `….broken` at start and never counted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from etcdpy.store.files import Files, join, refused
from etcdpy.store.notes import Note, SnapshotSkipped, StrangeFile
from etcdpy.store.snapshot_file import MetaTuple, SnapshotReader, SnapshotWriter

SUFFIX = ".snapshot"
RECEIVED_SUFFIX = ".received"
BROKEN_SUFFIX = ".broken"
ASIDE_SUFFIX = ".tmp"
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})(\.snapshot|\.received)")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A snapshot file by its name.  Orders by index, then term."""

    index: int
    term: int
    path: str
    is_received: bool


class Listing(NamedTuple):
    """What is in the directory."""

    snapshots: list[Found]  # newest first
    leftovers: list[str]  # paths of unfinished files
    notes: list[Note]


class Skipped(NamedTuple):
    """A snapshot that recovery could not use."""

    found: Found
    problem: str


class Snapshots:
    """The snapshot files of one store.  Methods block and keep nothing in memory, so that they
    may run in several threads; a file that is complete is never changed.
    """

    def __init__(self, files: Files, directory: str, store_id: bytes) -> None:
        self._files = files
        self._directory = directory
        self._store_id = store_id

    def begin(self, meta: MetaTuple) -> SnapshotWriter:
        """Begin a snapshot that this member takes.  Raises: FatalError if the disk refused."""
        return SnapshotWriter(self._files, self.path_of(meta), self._store_id, meta)

    def begin_received(self, meta: MetaTuple) -> SnapshotWriter:
        """Begin a snapshot that another member sends.  Raises: FatalError if the disk refused."""
        return SnapshotWriter(self._files, self.received_path_of(meta), self._store_id, meta)

    def open(self, path: str) -> SnapshotReader:
        """Open a snapshot.  Raises: Damage or FatalError as SnapshotReader."""
        return SnapshotReader(self._files, path, self._store_id)

    def received_path_of(self, meta: MetaTuple) -> str:
        """Return the path of a received snapshot until it is adopted."""
        return self._path(meta[0], meta[1], RECEIVED_SUFFIX)

    def path_of(self, meta: MetaTuple) -> str:
        """Return the path of the snapshot at that place in the log."""
        return self._path(meta[0], meta[1], SUFFIX)

    def adopt(self, meta: MetaTuple) -> None:
        """Give a received snapshot its name, once the log says that it replaced the log.

        Raises: FatalError if the disk refused.
        """
        path = self.path_of(meta)
        try:
            self._files.rename(self.received_path_of(meta), path)
            self._files.fsync_dir(self._directory)
        except OSError as error:
            raise refused("make durable", path, error) from error

    def listing(self) -> Listing:
        """Return what is there.  Raises: FatalError if the directory cannot be read."""
        try:
            names = self._files.list_names(self._directory)
        except OSError as error:
            raise refused("read", self._directory, error) from error
        snapshots: list[Found] = []
        leftovers: list[str] = []
        notes: list[Note] = []
        for name in names:
            path = join(self._directory, name)
            match = _NAME.fullmatch(name)
            if match:
                is_received = match[3] == RECEIVED_SUFFIX
                snapshots.append(Found(int(match[2], 16), int(match[1], 16), path, is_received))
            elif name.endswith(ASIDE_SUFFIX):
                leftovers.append(path)
            elif not name.endswith(BROKEN_SUFFIX):
                notes.append(StrangeFile(path))
        snapshots.sort(reverse=True)
        return Listing(snapshots, leftovers, notes)

    def settle(self, leftovers: Sequence[str], skipped: Sequence[Skipped]) -> list[Note]:
        """Clear away what recovery found to be of no use, and make all names durable.

        A received snapshot that was skipped goes.  One of this member's own is kept under another
        name: it was skipped because it is damaged, for if it merely did not join the log, no older
        one would have, and recovery would have refused.

        Raises: FatalError if the disk refused.
        """
        notes: list[Note] = []
        try:
            for path in leftovers:
                self._files.unlink(path)
            for found, problem in skipped:
                path = found.path
                if found.is_received:
                    self._files.unlink(path)
                    path = ""
                else:
                    path += BROKEN_SUFFIX
                    self._files.rename(found.path, path)
                notes.append(SnapshotSkipped(found.path, path, problem))
            self._files.fsync_dir(self._directory)
        except OSError as error:
            raise refused("clean up", self._directory, error) from error
        return notes

    def retain(self, index: int, snapshots_max: int) -> list[str]:
        """Remove the oldest snapshots beyond `snapshots_max` (0 keeps all) of those up to the one
        at `index`, which stays; return their paths.

        Raises: FatalError if the disk refused.
        """
        if snapshots_max == 0:
            return []
        known = [found for found in self.listing().snapshots if found.index <= index]
        removed = [found.path for found in known[snapshots_max:]]
        for path in removed:
            try:
                self._files.unlink(path)
            except OSError as error:
                raise refused("remove", path, error) from error
        return removed

    def _path(self, index: int, term: int, suffix: str) -> str:
        return join(self._directory, f"{term:016x}-{index:016x}{suffix}")
