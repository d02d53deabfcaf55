"""Snapshots that the leader sends: from the peer port to the disk, and into log and tree.

A file of its own because it is the one place where the application's state does not come from the
log.  The order is the promise: the file is whole and durable before Raft hears of it, and has been
read as a tree before the log begins anew after it; only then is it the tree.  Rows are read where
the file was written, before Raft hears of it: while Raft installs a snapshot it answers nobody.
Source: docs/architecture.md.
"""

import logging
from collections.abc import Callable

from etcdpy.collector import collector_at_rest
from etcdpy.consensus.messages import HardState, SnapshotMeta
from etcdpy.http.peers.snapshot_stream import SnapshotFile
from etcdpy.startup.bootstrap import RaftStorage
from etcdpy.store.snapshot_file import PackedRows, SnapshotWriter
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")


class _ReceivedFile:
    """The file of one snapshot, as the peer port fills it."""

    def __init__(self, writer: SnapshotWriter, on_finished: Callable[[], None]) -> None:
        self._writer = writer
        self._on_finished = on_finished

    def write_packed(self, row_count: int, data: bytes) -> None:
        """Add rows.  Raises: ValueError if these are not that many; FatalError."""
        self._writer.write_packed(PackedRows(row_count, data))

    def finish(self) -> None:
        """Make it durable and read it.

        Raises: FatalError if the disk refused, or if the rows are no tree.
        """
        self._writer.finish()
        self._on_finished()

    def abort(self) -> None:
        """Give it up.  Raises: FatalError if the disk refused."""
        self._writer.abort()


class ReceivedSnapshots:
    """Sink of the peer port and installer of the driver, over one storage."""

    def __init__(self, storage: RaftStorage, on_installed: Callable[[SnapshotMeta, Tree], None]):
        """`on_installed` is called on the loop, with the tree that the snapshot holds."""
        self._storage = storage
        self._on_installed = on_installed
        # Of the newest file that is whole, until it is installed or the next one begins.
        self._prepared: tuple[SnapshotMeta, Tree] | None = None
        self._tree: Tree | None = None  # between `write` and `stabilise`

    def begin(self, meta: SnapshotMeta) -> SnapshotFile:
        """Begin to store one.  Blocking.  Raises: FatalError if the disk refused."""
        self._prepared = None
        return _ReceivedFile(self._storage.begin_received(meta), lambda: self._prepare(meta))

    def _prepare(self, meta: SnapshotMeta) -> None:
        self._prepared = (meta, self._read(meta))

    def _read(self, meta: SnapshotMeta) -> Tree:
        with self._storage.open_received(meta) as reader, collector_at_rest():
            return restore(reader.rows())

    def note_applied(self, applied: int) -> None:
        """Let go of a tree that the log has reached by itself: Raft does not take it any more."""
        prepared = self._prepared
        if prepared is not None and prepared[0].index <= applied:
            self._prepared = None

    def write(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Put the snapshot in the log's place.  Blocking, in the files' thread.

        Raises: FatalError if the disk refused, or if the rows are no tree.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] == meta:
            self._tree = prepared[1]
        else:  # another one has begun to arrive meanwhile
            self._tree = self._read(meta)
        self._storage.install(meta, hard_state)

    def stabilise(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Make log and tree what the snapshot says."""
        tree, self._tree = self._tree, None
        assert tree is not None
        self._storage.installed(meta, hard_state)
        log.info("applying snapshot at index %d...", meta.index)
        self._on_installed(meta, tree)
        log.info("finished applying incoming snapshot at index %d", meta.index)
