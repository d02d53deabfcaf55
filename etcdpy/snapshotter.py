"""When a snapshot is taken, how, and what may be forgotten after it.

The order is the promise: the rows of one applied index are gathered on the loop at once, so that
they are one state; a thread writes the file, syncs, renames and reads it back; only then is the
log compacted, to a tail for followers that lag a little, and are old files removed.
Source: spec/cluster.md section 5.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

import msgpack

from etcdpy.bootstrap import RaftStorage
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import SnapshotMeta
from etcdpy.errors import EtcdError, FatalError
from etcdpy.store.snapshot_file import BLOCK_BYTES, PackedRows
from etcdpy.tree.snapshot import rows
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")
purge_log = logging.getLogger("etcdpy.pkg.fileutil")

#: Entries that stay in memory behind a snapshot, so that a slow follower needs no snapshot.
TAIL_COUNT = 5000


class Snapshotter:
    """Takes a snapshot each time more than `snapshot_count` entries were applied since the last.

    At most one at a time; what is applied meanwhile counts for the next.
    """

    def __init__(
        self,
        storage: RaftStorage,
        driver: Driver,
        tree: Tree,
        snapshot_count: int,
        on_fatal: Callable[[FatalError], None],
    ) -> None:
        self._storage = storage
        self._driver = driver
        self._tree = tree
        self._snapshot_count = snapshot_count
        self._on_fatal = on_fatal
        self._is_on = False  # not before `start`, not after a failure
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take snapshots from now on: what a restart replays is on disk as it is."""
        self._is_on = True

    def note_applied(self, applied: int) -> None:
        """Begin a snapshot if one is due; called while a batch is being applied."""
        if not self._is_on or self._task is not None:
            return
        if applied - self._storage.snapshot_meta().index > self._snapshot_count:
            # Not at once: the batch's own bookkeeping comes first.
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Wait for the snapshot going on."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            await self._take()
        except EtcdError:
            pass  # the member stops: the files are as they were, or whole
        except FatalError as error:
            self._fail(error)
        except Exception as error:  # an edge: a task of its own, nobody else would hear of it
            log.exception("taking a snapshot failed")
            self._fail(FatalError(f"taking a snapshot failed: {error}"))
        finally:
            self._task = None

    def _fail(self, error: FatalError) -> None:
        self._is_on = False
        self._on_fatal(error)

    async def _take(self) -> None:
        storage, driver = self._storage, self._driver
        meta = driver.applied_meta()
        last = storage.snapshot_meta().index
        log.info("start to snapshot (applied: %d, lastsnap: %d)", meta.index, last)
        blocks = list(_pack(self._tree))
        # A quorum of others can have committed an entry whose frame is still being written here.
        await driver.run_in_writer(lambda: None)
        await asyncio.to_thread(_write, storage, meta, blocks)
        storage.snapshot_saved(meta)
        log.info("saved snapshot at index %d", meta.index)
        compacted = meta.index - TAIL_COUNT
        if compacted >= storage.first_index():
            driver.compact(compacted)
            log.info("compacted raft log at %d", compacted)
        removed: list[str] = []
        await driver.run_in_writer(lambda: removed.extend(storage.purge()))
        for path in removed:
            purge_log.info("purged file %s successfully", path)


def _pack(tree: Tree) -> Iterator[PackedRows]:
    """Yield the rows of `tree`, packed, in blocks as large as the file's."""
    pack = msgpack.Packer().pack
    parts: list[bytes] = []
    size = 0
    for row in rows(tree):
        data = pack(row)
        parts.append(data)
        size += len(data)
        if size >= BLOCK_BYTES:
            yield PackedRows(len(parts), b"".join(parts))
            parts, size = [], 0
    if parts:
        yield PackedRows(len(parts), b"".join(parts))


def _write(storage: RaftStorage, meta: SnapshotMeta, blocks: list[PackedRows]) -> None:
    """Write the file; blocking, in a thread."""
    writer = storage.begin_snapshot(meta)
    for block in blocks:
        writer.write_packed(block)
    writer.finish()
