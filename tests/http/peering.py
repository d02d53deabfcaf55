"""Members of nothing but their peer ports: real transports and servers, fake drivers and disks."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
)
from etcdpy.errors import FatalError, PeerError
from etcdpy.http.acceptor import Listener
from etcdpy.http.app import HttpServer
from etcdpy.http.peers.port import RaftFace
from etcdpy.http.peers.protocol import Cause, Identity, PeerLimits, RefusedError, greet
from etcdpy.http.peers.snapshot_stream import Block
from etcdpy.http.peers.transport import PeerCallbacks, PeerTransport
from etcdpy.http.tables import PEER_ROUTES
from tests.http.backend import TreeBackend
from tests.http.server import listen

CLUSTER_ID = 0xC1
DEADLINE_S = 10.0
#: Short enough that what is waited for comes soon, long enough for a loaded machine.
LIMITS = PeerLimits(
    ping_s=0.05,
    silence_s=2.0,
    dial_s=2.0,
    backoff_min_s=0.02,
    backoff_max_s=0.1,
    snapshot_stall_s=2.0,
)


def _check(data: bytes) -> None:
    if data == b"garbage":
        raise ValueError("garbage")


CHECKS = {EntryKind.NORMAL: _check, EntryKind.CONF_CHANGE: _check}
SNAPSHOT = SnapshotMeta(7, 3, ConfState((1, 2)))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a loop of its own; nothing may be left over and nothing may have failed."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await test()
        # Callbacks of what was closed last are on their way.
        await until(lambda: len(asyncio.all_tasks()) == 1, "all tasks have ended")

    uvloop.run(watched())
    assert not errors


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for `condition`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.005)


def append(sender: int, to: int, index: int = 1, data: bytes = b"x", count: int = 1) -> Message:
    """Return an append with `count` entries from `index` on."""
    entries = tuple(Entry(3, index + i, 0, data) for i in range(count))
    return Message(MessageKind.APPEND, to, sender, 3, index - 1, 0, entries=entries)


def heartbeat(sender: int, to: int, context: int = 0) -> Message:
    """Return a heartbeat that can be told from others by `context`."""
    return Message(MessageKind.HEARTBEAT, to, sender, 3, context=context)


@dataclass
class Place:
    """Where a member is."""

    term: int = 3
    leader_id: int = 0
    last_index: int = 7


@dataclass
class Driver:
    """What a transport tells the driver, and asks of it."""

    status: Place = field(default_factory=Place)
    messages: list[Message] = field(default_factory=list)
    unreachable: list[int] = field(default_factory=list)
    reports: list[tuple[int, bool]] = field(default_factory=list)

    def step(self, message: Message) -> None:
        self.messages.append(message)

    def report_unreachable(self, member_id: int) -> None:
        self.unreachable.append(member_id)

    def report_snapshot(self, to: int, *, is_ok: bool) -> None:
        self.reports.append((to, is_ok))

    @property
    def contexts(self) -> list[int]:
        return [m.context for m in self.messages if m.kind is MessageKind.HEARTBEAT]


@dataclass(frozen=True)
class Rows:
    """A block of rows."""

    row_count: int
    data: bytes


class Disk:
    """Source and sink of snapshots in memory; `meta` and `rows` are what it has to send."""

    def __init__(self) -> None:
        self.meta = SNAPSHOT
        self.rows: list[Rows] = [Rows(1, b"\x01"), Rows(2, b"\x02\x03")]
        self.damaged_at: int | None = None
        self.open_readers = 0
        self.received: list[Received] = []
        self.refusal: FatalError | None = None

    def open_snapshot(self) -> "Reader":
        self.open_readers += 1
        return Reader(self)

    def begin(self, meta: SnapshotMeta) -> "Received":
        if self.refusal is not None:
            raise self.refusal
        received = Received(meta)
        self.received.append(received)
        return received


class Reader:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.meta = disk.meta

    def blocks(self) -> Iterator[Block]:
        for position, rows in enumerate(self._disk.rows):
            if position == self._disk.damaged_at:
                raise RuntimeError("damaged block")
            yield rows

    def close(self) -> None:
        self._disk.open_readers -= 1


class Received:
    def __init__(self, meta: SnapshotMeta) -> None:
        self.meta = meta
        self.rows: list[Rows] = []
        self.state = "open"

    def write_packed(self, row_count: int, data: bytes) -> None:
        if row_count > len(data):
            raise ValueError(f"not {row_count} packed rows")
        if data == b"too large":
            raise RefusedError(Cause.NO_ROOM, "no room")
        self.rows.append(Rows(row_count, data))

    def finish(self) -> None:
        if self.rows and self.rows[-1].data == b"no tree":
            raise PeerError("damaged at row 1")
        self.state = "finished"

    def abort(self) -> None:
        self.state = "aborted"


class Node:
    """One member's peer port."""

    def __init__(
        self,
        member_id: int,
        limits: PeerLimits = LIMITS,
        cluster_id: int = CLUSTER_ID,
        version: str = "3.4.23",
    ) -> None:
        self.id = member_id
        self.socket = listen()
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.driver = Driver()
        self.disk = Disk()
        self.removed: set[int] = set()
        self.lost: list[int] = []
        self.removed_by: list[int] = []
        self.fatal: list[FatalError] = []
        self.transport = PeerTransport(
            Identity(cluster_id, member_id, version, (self.url,)),
            self.disk,
            checks=CHECKS,
            removed=lambda: self.removed,
            random_source=random.Random(member_id),
            callbacks=PeerCallbacks(self.lost.append, self.removed_by.append),
            limits=limits,
        )
        self._is_running = False
        self.server: HttpServer | None = None

    async def start(self) -> None:
        face = RaftFace(self.transport, self.disk, self.fatal.append)
        self.server = HttpServer(TreeBackend(), PEER_ROUTES, cors=b"", raft=face)
        await self.server.start([Listener(self.socket)])
        self.server.set_ready()
        self.transport.start(self.driver)
        self._is_running = True

    async def stop(self) -> None:
        if self._is_running:
            self._is_running = False
            assert self.server is not None
            await self.transport.stop()
            await self.server.stop()
        else:
            self.socket.close()

    def knows(self, *others: "Node") -> None:
        for other in others:
            self.transport.add_peer(other.id, [other.url])

    def has(self, other: "Node") -> bool:
        return self.transport.is_active(other.id)

    def has_dialled(self, other: "Node") -> bool:
        peer = self.transport.find_peer(other.id)
        return peer is not None and peer.round_trip_s > 0

    def send(self, *messages: Message) -> None:
        self.transport.send(messages)


@asynccontextmanager
async def cluster(
    *ids: int, limits: PeerLimits = LIMITS, is_joined: bool = True
) -> AsyncIterator[list[Node]]:
    """Members that know, and where `is_joined` are connected with, each other."""
    nodes = [Node(member_id, limits) for member_id in ids]
    for node in nodes:
        node.knows(*(other for other in nodes if other is not node))
    try:
        for node in nodes:
            await node.start()
        if is_joined:
            await until(
                lambda: all(a.has_dialled(b) for a in nodes for b in nodes if a is not b),
                "all connected",
            )
        yield nodes
    finally:
        await stop_all(nodes)


async def stop_all(nodes: Sequence[Node]) -> None:
    for node in nodes:
        await node.stop()


@asynccontextmanager
async def raw_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that is no member; yields its URL."""
    sock = listen()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, sock=sock)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await until(lambda: not tasks, "all connections have ended")
        await asyncio.sleep(0)


def closed_port_url() -> str:
    """Return a URL at which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def greeting(sender: int, to: int, **changed: str) -> dict[str, str]:
    """Return the headers of a correct peer, but for `changed` ones (`_` for `-`; "" leaves out)."""
    headers = greet(Identity(CLUSTER_ID, sender, "3.4.23", ("http://127.0.0.1:1",)), to)
    for name, value in changed.items():
        headers[name.replace("_", "-")] = value
    return {name: value for name, value in headers.items() if value}


def faster(**changes: Any) -> PeerLimits:
    """Return the limits of tests with some changed."""
    return replace(LIMITS, **changes)


def logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    """Return how many lines have `words`."""
    return sum(words in record.getMessage() for record in caplog.records)
