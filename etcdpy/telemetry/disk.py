"""Disk: the files of a member, with what they cost measured on the way.

A file of its own so that the store keeps to its few operations and knows nothing of clocks: here
they are done as ever, in the threads that own the files, and counted by what they are done to.
Source: spec/observability.md section 4 (`etcd_disk_wal_…`, `etcd_snap_fsync_…`).
"""

import logging
import os
import time
from enum import Enum

from etcdpy.http.gojson.writer import format_duration
from etcdpy.logs import fields
from etcdpy.metrics.etcd import DISK_BUCKETS
from etcdpy.metrics.exposition import Histogram
from etcdpy.store.files import Flusher, OsFiles, UnsyncedFiles
from etcdpy.store.segments import SEGMENT_SUFFIX
from etcdpy.store.snapshots import RECEIVED_SUFFIX
from etcdpy.store.snapshots import SUFFIX as SNAPSHOT_SUFFIX

log = logging.getLogger("etcdpy.store.wal")

#: An fsync that takes longer is worth a line; etcd's number.
SLOW_SYNC_NS = 1_000_000_000


class _Part(Enum):
    """What a file belongs to."""

    WAL = "wal"
    SNAPSHOT = "snapshot"


class DiskFigures:
    """What the files of a member have cost so far."""

    __slots__ = ("snapshot_syncs", "wal_syncs", "wal_written_bytes")

    def __init__(self) -> None:
        self.wal_syncs = Histogram.of_durations(DISK_BUCKETS)
        self.snapshot_syncs = Histogram.of_durations(DISK_BUCKETS)
        self.wal_written_bytes = 0


class MeasuredFiles(OsFiles):
    """The files of this machine, measured."""

    def __init__(self) -> None:
        self.figures = DiskFigures()
        self._parts: dict[int, _Part] = {}  # by handle

    def create(self, path: str) -> int:
        """See Files."""
        return self._known(super().create(path), path)

    def open(self, path: str) -> int:
        """See Files."""
        return self._known(super().open(path), path)

    def close(self, handle: int) -> None:
        """See Files."""
        self._parts.pop(handle, None)  # before the number can be another file's
        super().close(handle)

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """See Files."""
        super().write(handle, offset, data)
        if self._parts.get(handle) is _Part.WAL:
            self.figures.wal_written_bytes += len(data)

    def fdatasync(self, handle: int) -> None:
        """See Files."""
        began_ns = time.perf_counter_ns()
        super().fdatasync(handle)
        self.synced(handle, time.perf_counter_ns() - began_ns)

    def flusher(self) -> Flusher | None:
        """See Files."""
        flusher = super().flusher()
        return None if flusher is None else _MeasuredFlusher(flusher, self)

    def synced(self, handle: int, took_ns: int) -> None:
        """Note how long it took to make a file durable."""
        part = self._parts.get(handle)
        if part is _Part.WAL:
            self.figures.wal_syncs.observe(took_ns)
            if took_ns > SLOW_SYNC_NS:
                _say_slow(took_ns)
        elif part is _Part.SNAPSHOT:
            self.figures.snapshot_syncs.observe(took_ns)

    def _known(self, handle: int, path: str) -> int:
        name = os.path.basename(path)
        # While one is made or received it has another suffix too.
        if SEGMENT_SUFFIX in name:
            self._parts[handle] = _Part.WAL
        elif SNAPSHOT_SUFFIX in name or RECEIVED_SUFFIX in name:
            self._parts[handle] = _Part.SNAPSHOT
        return handle


class _MeasuredFlusher:
    """A flusher, measured until its end is taken."""

    def __init__(self, flusher: Flusher, files: MeasuredFiles) -> None:
        self._flusher = flusher
        self._files = files
        self._handle = 0
        self._began_ns = 0

    def fileno(self) -> int:
        """See Flusher."""
        return self._flusher.fileno()

    def begin(self, handle: int) -> None:
        """See Flusher."""
        self._handle, self._began_ns = handle, time.perf_counter_ns()
        self._flusher.begin(handle)

    def end(self) -> None:
        """See Flusher."""
        self._flusher.end()
        self._files.synced(self._handle, time.perf_counter_ns() - self._began_ns)

    def wait(self, handle: int) -> None:
        """See Flusher."""
        self._files.fdatasync(handle)

    def close(self) -> None:
        """See Flusher."""
        self._flusher.close()


class MeasuredUnsyncedFiles(MeasuredFiles, UnsyncedFiles):
    """The same where nothing waits for the disk (`--unsafe-no-fsync`)."""


def _say_slow(took_ns: int) -> None:
    took, limit = format_duration(took_ns), format_duration(SLOW_SYNC_NS)
    log.warning(
        "sync duration of %s, expected less than %s",
        took,
        limit,
        extra=fields("slow fdatasync", took=took, expected_duration=limit),
    )
