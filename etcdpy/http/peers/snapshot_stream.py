"""A snapshot on its way from one member to another: the body of one POST.

    body  = head, rows ..., foot
    block = kind:u32 count:u32 length:u32 crc:u32 data       all little-endian
    head  = one SNAPSHOT message, as the codec of consensus packs it; count 0
    rows  = `count` whole packed rows
    foot  = msgpack [rows, blocks, bytes in rows]; count 0

Each CRC begins with the one before it, over its own kind, count, length and data.  A file of its
own because it is a wire format, apart from the file that is made of it.  Each side holds one block
at a time; files are read and written in threads, and never by two at a time.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar
from zlib import crc32

import msgpack

from etcdpy.consensus.codec import ENTRY_BYTES_MAX, decode_messages, encode_messages
from etcdpy.consensus.messages import Message, MessageKind, SnapshotMeta
from etcdpy.errors import PeerError

T = TypeVar("T")

_BLOCK = struct.Struct("<IIII")
_COVERED = struct.Struct("<III")


class BlockKind(IntEnum):
    """What a block holds; the numbers are a wire format."""

    HEAD = 1
    ROWS = 2
    FOOT = 3


# One row may be as large as an entry's data, and holds a path beside it.
_BYTES_MAX = {
    BlockKind.HEAD: 64 * 1024,
    BlockKind.ROWS: ENTRY_BYTES_MAX + (1 << 20),
    BlockKind.FOOT: 64,
}


class Block(Protocol):
    """Whole rows, packed one after the other; the store's `PackedRows` by shape."""

    @property
    def row_count(self) -> int:
        """How many."""

    @property
    def data(self) -> bytes:
        """The rows."""


class SnapshotReader(Protocol):
    """A durable snapshot that is open to be sent; the store's, by shape.  Its calls block."""

    @property
    def meta(self) -> tuple[int, int, tuple[tuple[int, ...], ...]]:
        """Its place in the log and the configuration there."""

    def blocks(self) -> Iterator[Block]:
        """Yield its rows, each byte of them checked."""

    def close(self) -> None:
        """Close it; called once, when nobody reads any more."""


class SnapshotSource(Protocol):
    """Where snapshots to send come from; the member fulfils it over its storage."""

    def open_snapshot(self) -> SnapshotReader | None:
        """Open the newest durable snapshot, None if there is none.  Blocking.

        Raises: FatalError if its file can't be used.
        """


class SnapshotFile(Protocol):
    """A snapshot that is being received.  Its calls block, one at a time."""

    def write_packed(self, row_count: int, data: bytes) -> None:
        """Add rows.

        Raises: ValueError if these are not that many whole rows; PeerError if they are refused;
            FatalError if the disk refused.
        """

    def finish(self) -> None:
        """Make it durable.

        Raises: PeerError if what it holds is refused; FatalError if the disk refused.
        """

    def abort(self) -> None:
        """Give it up.  Raises: FatalError if the disk refused."""


class SnapshotSink(Protocol):
    """Where received snapshots go; the member fulfils it over its storage."""

    def begin(self, meta: SnapshotMeta) -> SnapshotFile:
        """Begin one.  Blocking.  Raises: FatalError if the disk refused."""


class Content(Protocol):
    """A request's body, aiohttp's stream by shape."""

    async def readexactly(self, n: int) -> bytes:
        """Return the next `n` bytes.  Raises: asyncio.IncompleteReadError before their end."""

    def at_eof(self) -> bool:
        """Tell whether all has been read."""


class Received(NamedTuple):
    """What a whole transfer has brought."""

    message: Message
    size_bytes: int


class Pace:
    """A limit of bytes a second, with no more saved up than one tenth of a second's."""

    __slots__ = ("_bytes_s", "_due_s")

    def __init__(self, bytes_s: int) -> None:
        assert bytes_s > 0
        self._bytes_s = bytes_s
        self._due_s = 0.0

    def delay_s(self, size_bytes: int, now_s: float) -> float:
        """Return how long to wait before sending `size_bytes` more."""
        self._due_s = max(self._due_s, now_s - 0.1)
        delay_s = max(0.0, self._due_s - now_s)
        self._due_s += size_bytes / self._bytes_s
        return delay_s


class Threaded:
    """Runs blocking calls in threads, one at a time, so that none is left when it is closed."""

    def __init__(self) -> None:
        self._job: asyncio.Future[Any] | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Return what `function` returns; if the caller is cancelled it still runs to its end."""
        assert self._job is None
        job: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(None, function)
        self._job = job
        job.add_done_callback(self._done)
        return await asyncio.shield(job)

    def _done(self, job: "asyncio.Future[T]") -> None:
        self._job = None
        if not job.cancelled():
            job.exception()  # the caller may be gone; asyncio would complain of that

    async def settle(self) -> None:
        """Wait for the call going on, whatever becomes of it and of who waits here."""
        while self._job is not None:
            try:
                await asyncio.wait([self._job])
            except asyncio.CancelledError:
                continue


class Outgoing:
    """One snapshot to be sent."""

    def __init__(self, reader: SnapshotReader, message: Message, pace: Pace) -> None:
        assert message.kind is MessageKind.SNAPSHOT
        self._reader = reader
        self._message = message
        self._pace = pace
        self._threaded = Threaded()
        self._crc = 0
        self.size_bytes = 0  # sent so far
        self.is_sent = False  # all of it
        self.progressed_s = asyncio.get_running_loop().time()
        # Why the body broke off; what aiohttp raises then is about its own connection.
        self.error: Exception | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body in parts.  Raises: whatever reading the file raises."""
        try:
            async for part in self._parts():
                yield part
                self.size_bytes += len(part)
                self.progressed_s = asyncio.get_running_loop().time()
        except Exception as error:
            self.error = error
            raise
        self.is_sent = True

    async def _parts(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        blocks = self._reader.blocks()
        totals = [0, 0, 0]
        yield self._packed(BlockKind.HEAD, 0, encode_messages([self._message]))
        while True:
            part = await self._threaded.run(lambda: self._next(blocks, totals))
            if part is None:
                break
            delay_s = self._pace.delay_s(len(part), loop.time())
            self.progressed_s = loop.time() + delay_s
            await asyncio.sleep(delay_s)
            yield part
        yield self._packed(BlockKind.FOOT, 0, msgpack.packb(totals))

    async def close(self) -> None:
        """Close the file when nobody reads in it."""
        await self._threaded.settle()
        self._reader.close()

    def _next(self, blocks: Iterator[Block], totals: list[int]) -> bytes | None:
        """Read the next block and pack it; in a thread."""
        block = next(blocks, None)
        if block is None:
            return None
        totals[0] += block.row_count
        totals[1] += 1
        totals[2] += len(block.data)
        return self._packed(BlockKind.ROWS, block.row_count, block.data)

    def _packed(self, kind: BlockKind, count: int, data: bytes) -> bytes:
        length = len(data)
        self._crc = crc32(data, crc32(_COVERED.pack(kind, count, length), self._crc))
        return _BLOCK.pack(kind, count, length, self._crc) + data


class Incoming:
    """One snapshot that is being received."""

    def __init__(self, content: Content, sink: SnapshotSink, stall_s: float) -> None:
        self._content = content
        self._sink = sink
        self._stall_s = stall_s
        self._threaded = Threaded()
        self._file: SnapshotFile | None = None
        self._crc = 0
        self._totals = [0, 0, 0]
        self.size_bytes = 0

    async def receive(
        self, sender: int, to: int, check: Callable[[Sequence[Message]], None]
    ) -> Received:
        """Return the message that the snapshot came for, when all of it is durable.

        `check` is given that message before anything else is looked at.

        Raises: PeerError for anything that is not as it was sent; FatalError if the disk refused;
            whatever `check` raises.  Nothing of it is left then.
        """
        try:
            message = _message_of(await self._block(frozenset({BlockKind.HEAD})), sender, to)
            check([message])
            return await self._receive(message)
        finally:
            await self._threaded.settle()
            file, self._file = self._file, None
            if file is not None:
                await self._threaded.run(file.abort)

    async def _receive(self, message: Message) -> Received:
        meta = message.snapshot
        assert meta is not None
        file = await self._threaded.run(lambda: self._begin(meta))
        while True:
            block = await self._block(frozenset({BlockKind.ROWS, BlockKind.FOOT}))
            if block.kind is BlockKind.FOOT:
                break
            await self._store(file, block)
        if block.data != msgpack.packb(self._totals):
            raise PeerError("the snapshot's foot does not count what came")
        await self._end()
        await self._threaded.run(self._finish)
        return Received(message, self.size_bytes)

    def _begin(self, meta: SnapshotMeta) -> SnapshotFile:
        # Noted in the thread: a caller that is cancelled meanwhile must find what is to be undone.
        self._file = self._sink.begin(meta)
        return self._file

    def _finish(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        try:
            file.finish()
        except PeerError:
            self._file = file  # to be given up
            raise

    async def _store(self, file: SnapshotFile, block: "_Received") -> None:
        try:
            await self._threaded.run(lambda: file.write_packed(block.row_count, block.data))
        except ValueError as error:
            raise PeerError(f"malformed snapshot: {error}") from error
        self._totals[0] += block.row_count
        self._totals[1] += 1
        self._totals[2] += len(block.data)

    async def _block(self, kinds: frozenset[BlockKind]) -> "_Received":
        number, count, length, crc = _BLOCK.unpack(await self._read(_BLOCK.size))
        if number not in kinds:
            raise PeerError(f"a block of kind {number} is out of place in a snapshot")
        kind = BlockKind(number)
        if length > _BYTES_MAX[kind]:
            raise PeerError(f"a block of {length} bytes, more than {_BYTES_MAX[kind]}")
        data = await self._read(length)
        self._crc = crc32(data, crc32(_COVERED.pack(kind, count, length), self._crc))
        if crc != self._crc:
            raise PeerError("damaged snapshot: checksum mismatch")
        self.size_bytes += _BLOCK.size + length
        return _Received(kind, count, data)

    async def _read(self, count: int) -> bytes:
        try:
            async with asyncio.timeout(self._stall_s):
                return await self._content.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise PeerError("the snapshot ends before it is whole") from error
        except TimeoutError as error:
            raise PeerError(f"nothing of the snapshot came for {self._stall_s:g} s") from error

    async def _end(self) -> None:
        """Check that the body ends where the snapshot does."""
        try:
            async with asyncio.timeout(self._stall_s):
                await self._content.readexactly(1)
        except asyncio.IncompleteReadError:
            return
        except TimeoutError as error:
            raise PeerError("the snapshot's request does not end") from error
        raise PeerError("something follows the snapshot's foot")


class _Received(NamedTuple):
    kind: BlockKind
    row_count: int
    data: bytes


def _message_of(block: _Received, sender: int, to: int) -> Message:
    """Return the message of a head.  Raises: PeerError unless it is one for this snapshot."""
    messages = decode_messages(block.data)
    if len(messages) != 1 or messages[0].kind is not MessageKind.SNAPSHOT:
        raise PeerError("a snapshot that does not begin with its message")
    if messages[0].sender != sender or messages[0].to != to:
        raise PeerError("a snapshot between other members")
    return messages[0]
