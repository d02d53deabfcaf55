"""Snapshots that the leader sends: from the peer port to the disk, and into log and tree.

A file of its own because it is the one place where the application's state does not come from the
log.  The order is the promise: the file is durable and has been read as a tree before it has a name
and Raft hears of it; only then does the log begin anew after it, and is it the tree.  Rows are read
where the file was written, before Raft hears of it: while Raft installs a snapshot it answers
nobody.  Rows that are no tree are the sender's fault and are removed; what the disk does is this
member's.
Source: docs/architecture.md.
"""

import logging
from collections.abc import Callable

from etcdpy.collector import collector_at_rest
from etcdpy.consensus.messages import HardState, SnapshotMeta
from etcdpy.errors import ContentError, PeerError
from etcdpy.http.peers.protocol import Cause, RefusedError
from etcdpy.http.peers.snapshot_stream import SnapshotFile
from etcdpy.startup.bootstrap import RaftStorage
from etcdpy.store.snapshot_file import PackedRows, SnapshotReader, SnapshotWriter
from etcdpy.tree import members
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")


#: What a snapshot that arrives leaves of the disk: room for the log to go on while it does.
ROOM_BYTES_MIN = 32 << 20


class _ReceivedFile:
    """The file of one snapshot, as the peer port fills it."""

    def __init__(self, writer: SnapshotWriter, read: Callable[[SnapshotReader], None]) -> None:
        self._writer = writer
        self._read = read

    def write_packed(self, row_count: int, data: bytes) -> None:
        """Add rows.

        Raises: ValueError if these are not that many; RefusedError if there is no room for them;
            FatalError.
        """
        free_bytes = self._writer.free_bytes()
        if free_bytes - len(data) < ROOM_BYTES_MIN:
            received_bytes = self._writer.written_bytes
            raise RefusedError(
                Cause.NO_ROOM,
                f"no room for a snapshot: {free_bytes} bytes are left, {received_bytes} have come",
            )
        self._writer.write_packed(PackedRows(row_count, data))

    def finish(self) -> None:
        """Make it durable and read it.

        Raises: PeerError if the rows are no tree; FatalError if the disk refused.
        """
        try:
            self._writer.finish(self._read)
        except ContentError as error:
            raise PeerError(str(error)) from error

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

        def prepare(reader: SnapshotReader) -> None:
            self._prepared = (meta, _read(reader))

        return _ReceivedFile(self._storage.begin_received(meta), prepare)

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
            with self._storage.open_received(meta) as reader:
                self._tree = _read(reader)
        self._storage.install(meta, hard_state)

    def stabilise(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Make log and tree what the snapshot says."""
        tree, self._tree = self._tree, None
        assert tree is not None
        self._storage.installed(meta, hard_state)
        log.info("applying snapshot at index %d...", meta.index)
        self._on_installed(meta, tree)
        log.info("finished applying incoming snapshot at index %d", meta.index)


def _read(reader: SnapshotReader) -> Tree:
    """Return the tree of a snapshot.

    Raises: ContentError if its rows are no tree of a cluster; FatalError if the disk refused.
    """
    with collector_at_rest():
        tree = restore(reader.rows())
    members.check_rows(tree)
    return tree
