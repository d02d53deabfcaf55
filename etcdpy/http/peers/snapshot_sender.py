"""Sends snapshots to members that lag behind the log: a bounded number, at a bounded pace.

A file of its own because a transfer lives longer than any message and fails in its own ways.  One
that fails is reported, and begun anew when Raft asks again; nothing is resumed, for by then there
may be a newer snapshot.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Protocol

from etcdpy.consensus.messages import SnapshotMeta, SnapshotRequest
from etcdpy.http.peers.peer import DialError, Peer
from etcdpy.http.peers.protocol import Cause, PeerLimits
from etcdpy.http.peers.snapshot_stream import (
    Outgoing,
    Pace,
    SnapshotReader,
    SnapshotSource,
    Threaded,
)

log = logging.getLogger("etcdpy.http.peers")

# How often a transfer is looked at for progress.
_LOOK_S = 0.5


class SnapshotDialer(Protocol):
    """Carries a body to a peer; `dialer` does, over aiohttp."""

    async def post_snapshot(self, peer: Peer, body: AsyncIterator[bytes]) -> None:
        """Return when `peer` has all of it, durable.  Raises: DialError."""


class SnapshotReports(Protocol):
    """Who is told how a transfer ended; the driver, by shape."""

    def report_snapshot(self, to: int, *, is_ok: bool) -> None:
        """Tell how the transfer to `to` ended."""


class SnapshotSender:
    """Runs the transfers, one task each."""

    def __init__(
        self,
        source: SnapshotSource,
        dialer: SnapshotDialer,
        limits: PeerLimits,
        reports: SnapshotReports,
    ) -> None:
        self._source = source
        self._dialer = dialer
        self._limits = limits
        self._reports = reports
        self._room = asyncio.Semaphore(limits.snapshots_max)
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by member id
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self, request: SnapshotRequest, peer: Peer) -> None:
        """Begin a transfer; one to the same member that still runs is of no more use, and ends."""
        self.cancel(peer.member_id)
        task = asyncio.get_running_loop().create_task(self._run(request, peer))
        self._tasks[peer.member_id] = task
        task.add_done_callback(lambda done: self._forget(peer.member_id, done))

    def cancel(self, member_id: int) -> None:
        """End the transfer to a member, without a report."""
        task = self._tasks.pop(member_id, None)
        if task is not None:
            self._ending.add(task)
            task.cancel()

    async def stop(self) -> None:
        """End all transfers."""
        for member_id in list(self._tasks):
            self.cancel(member_id)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _forget(self, member_id: int, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._tasks.get(member_id) is task:
            del self._tasks[member_id]

    async def _run(self, request: SnapshotRequest, peer: Peer) -> None:
        is_ok = False
        try:
            async with self._room:
                await self._transfer(request, peer)
            is_ok = True
        except DialError as error:
            log.warning("database snapshot failed to be sent to %x (%s)", peer.member_id, error)
        except Exception as error:  # an edge: a task of its own, nobody else would hear of it
            log.error("database snapshot failed to be sent to %x: %s", peer.member_id, error)
        if is_ok:
            peer.counters.snapshots_sent += 1
        else:
            peer.counters.snapshots_failed += 1
        self._reports.report_snapshot(peer.member_id, is_ok=is_ok)

    async def _transfer(self, request: SnapshotRequest, peer: Peer) -> None:
        """Send one snapshot.  Raises: DialError; whatever the file's reader raises."""
        meta = request.message.snapshot
        assert meta is not None
        reader = await self._open(meta)
        outgoing = Outgoing(reader, request.message, Pace(self._limits.snapshot_bytes_s))
        log.info("start to send database snapshot [index: %d, to %x]", meta.index, peer.member_id)
        post = asyncio.ensure_future(self._dialer.post_snapshot(peer, outgoing.body()))
        try:
            while not post.done():
                await asyncio.wait({post}, timeout=_LOOK_S)
                self._check_progress(outgoing)
            await post
        except DialError:
            if outgoing.error is not None:
                raise outgoing.error from None
            raise
        finally:
            post.cancel()
            await asyncio.gather(post, return_exceptions=True)
            await outgoing.close()
        peer.counters.sent_bytes += outgoing.size_bytes
        log.info("database snapshot [index: %d, to: %x] sent out", meta.index, peer.member_id)

    async def _open(self, meta: SnapshotMeta) -> SnapshotReader:
        threaded = Threaded()
        opened: list[SnapshotReader] = []

        def open_newest() -> None:
            reader = self._source.open_snapshot()
            if reader is not None:
                opened.append(reader)

        try:
            await threaded.run(open_newest)
            if not opened or (opened[0].meta[0], opened[0].meta[1]) != (meta.index, meta.term):
                raise DialError(Cause.STOPPED, "there is a newer snapshot by now")
        except BaseException:
            await threaded.settle()
            for reader in opened:
                reader.close()
            raise
        return opened[0]

    def _check_progress(self, outgoing: Outgoing) -> None:
        limits = self._limits
        bound_s = limits.snapshot_finish_s if outgoing.is_sent else limits.snapshot_stall_s
        if asyncio.get_running_loop().time() - outgoing.progressed_s > bound_s:
            raise DialError(Cause.SILENT, f"no progress for {bound_s:g} s")
