"""When a snapshot is taken, how, and what may be forgotten after it.

The order is the promise: the rows are gathered on the loop, in slices of a millisecond between
which the tree goes on changing, and with what changed meanwhile they are the state of the last
slice's applied index; a thread writes the file, syncs, renames and reads it back; only then is
the log compacted, to a tail for followers that lag a little, and are old files removed.
Source: spec/cluster.md section 5.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgpack

from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import SnapshotMeta
from etcdpy.errors import EtcdError, FatalError
from etcdpy.metrics.etcd import DISK_BUCKETS
from etcdpy.metrics.exposition import Histogram
from etcdpy.startup.bootstrap import RaftStorage
from etcdpy.store.snapshot_file import BLOCK_BYTES, PackedRows
from etcdpy.tree.capture import Capture
from etcdpy.tree.snapshot import Row
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")
purge_log = logging.getLogger("etcdpy.pkg.fileutil")

#: Entries that stay in memory behind a snapshot, so that a slow follower needs no snapshot.
TAIL_COUNT = 5000
#: How long the loop is kept from others at a time, how long it is left to them in between, and how
#: many rows are packed between two looks at the clock.  A write goes through several turns of the
#: loop: without a rest each of them would take a slice.
SLICE_S = 0.001
REST_S = 0.002
ROWS_PER_LOOK = 32


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
        self.durations = Histogram.of_durations(DISK_BUCKETS)  # of whole snapshots
        self.packing_durations = Histogram.of_durations(DISK_BUCKETS)

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
        """Give up the snapshot going on, or wait for it once it is being written."""
        self._is_on = False
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
        begun = driver.applied_meta()
        if begun is None:
            return  # a newer one from the leader takes its place
        last = storage.snapshot_meta().index
        began_ns = time.perf_counter_ns()
        log.info("start to snapshot (applied: %d, lastsnap: %d)", begun.index, last)
        capture = Capture(self._tree)
        try:
            packer = await self._pack_in_slices(capture)
            if packer is None:
                return  # the member stops
            # In one turn of the loop: the place of the rows is where the last one was taken.
            meta = driver.applied_meta()
            if meta is None or capture.is_void:
                log.info("gave up the snapshot: a newer one was received from the leader")
                return
            blocks = packer.finish(capture)
            self.packing_durations.observe(time.perf_counter_ns() - began_ns)
        finally:
            capture.close()
        await asyncio.to_thread(_write, storage, meta, blocks)
        storage.snapshot_saved(meta)
        self.durations.observe(time.perf_counter_ns() - began_ns)
        log.info("saved snapshot at index %d", meta.index)
        self._compact(meta.index - TAIL_COUNT)
        removed: list[str] = []
        await driver.run_in_writer(lambda: removed.extend(storage.purge()))
        for path in removed:
            purge_log.info("purged file %s successfully", path)

    def _compact(self, index: int) -> None:
        """Let the log go up to `index`, but for what a member needs that is sent a snapshot."""
        first = self._storage.first_index()
        if index < first:
            return
        compacted = self._driver.compact(index)
        if compacted < first:
            log.info("skip compaction since there is an inflight snapshot")
        else:
            log.info("compacted raft log at %d", compacted)

    async def _pack_in_slices(self, capture: Capture) -> "_Packer | None":
        """Pack the rows of a tree that goes on changing, a millisecond at a time.

        None once this is to stop.
        """
        packer = _Packer()
        due_s = time.perf_counter() + SLICE_S
        for count, row in enumerate(capture.moving_rows(), 1):
            packer.add(row)
            if count % ROWS_PER_LOOK == 0 and time.perf_counter() >= due_s:
                await asyncio.sleep(REST_S)
                if not self._is_on:
                    return None
                due_s = time.perf_counter() + SLICE_S
        return packer


class _Packer:
    """Rows packed in blocks as large as the file's."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer().pack
        self._parts: list[bytes] = []
        self._size = 0
        self._blocks: list[PackedRows] = []

    def add(self, row: Row) -> None:
        """Take one row."""
        data = self._pack(row)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= BLOCK_BYTES:
            self._end_block()

    def finish(self, capture: Capture) -> list[PackedRows]:
        """Take the last rows too and return all blocks, the header's first."""
        header = PackedRows(1, self._pack(capture.header()))
        for row in capture.last_rows():
            self.add(row)
        self._end_block()
        return [header, *self._blocks]

    def _end_block(self) -> None:
        self._blocks.append(PackedRows(len(self._parts), b"".join(self._parts)))
        self._parts, self._size = [], 0


def _write(storage: RaftStorage, meta: SnapshotMeta, blocks: list[PackedRows]) -> None:
    """Write the file; blocking, in a thread."""
    writer = storage.begin_snapshot(meta)
    for block in blocks:
        writer.write_packed(block)
    writer.finish()
