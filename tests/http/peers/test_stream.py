"""The dialling end of a stream: peers that are slow, silent, strange or talk garbage."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import Message, MessageKind
from etcdpy.http.peers.frames import FrameEncoder, FrameKind
from etcdpy.http.peers.protocol import Cause
from etcdpy.http.peers.stream import Ending, IncomingStream, OutgoingStream, PeerStream
from tests.harness.virtual_time import run_virtual
from tests.http.peering import (
    DEADLINE_S,
    LIMITS,
    SNAPSHOT,
    Node,
    append,
    closed_port_url,
    cluster,
    faster,
    heartbeat,
    raw_server,
    run,
    until,
)

ACCEPTANCE = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
    b"X-Etcdpy-Protocol: 1\r\nX-Etcdpy-Stream: 1\r\nX-Server-Version: 3.4.23\r\n\r\n"
)


async def accept_and_hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a stream as a member does, then read nothing."""
    transport: Any = writer.transport
    transport.pause_reading()
    writer.write(ACCEPTANCE)
    await asyncio.sleep(DEADLINE_S)


def test_a_peer_that_reads_nothing_holds_no_more_than_the_bounds_then_is_cut() -> None:
    async def test() -> None:
        limits = faster(write_bytes_max=64 << 10, queue_bytes_max=256 << 10, silence_s=1.0)
        one = Node(1, limits)
        async with raw_server(accept_and_hold) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.streams_opened == 1, "connected")
            # The system's buffers take some; then ours fill, then the rest is dropped.
            for i in range(400):
                one.send(append(1, 2, i + 1, bytes(60_000)))
                await asyncio.sleep(0)
            assert peer.counters.dropped_messages > 300
            assert 0 < peer.queued_count <= 5
            assert 2 in one.driver.unreachable
            await until(lambda: one.transport.counters.failed[Cause.SILENT], "cut")
            await one.stop()

    run(test)


def test_the_queue_is_bounded_in_count() -> None:
    async def test() -> None:
        one = Node(1, faster(queue_count_max=10))
        one.transport.add_peer(2, [closed_port_url()])
        for i in range(12):
            one.send(heartbeat(1, 2, i))
        peer = one.transport.find_peer(2)
        assert peer is not None
        assert peer.queued_count == 10
        assert peer.counters.dropped_messages == 2
        await one.start()
        await one.stop()

    run(test)


def test_what_waited_for_a_slow_peer_arrives_in_order_when_it_reads_again() -> None:
    async def test() -> None:
        limits = faster(write_bytes_max=64 << 10, queue_bytes_max=64 << 20)
        async with cluster(1, 2, limits=limits) as (one, two):
            peer = two.transport.find_peer(1)
            sending = one.transport.find_peer(2)
            assert peer is not None
            assert sending is not None
            assert peer.incoming is not None
            socket_transport: Any = peer.incoming._transport
            socket_transport.pause_reading()
            count = 0
            while sending.queued_count < 20:
                count += 1
                one.send(append(1, 2, count, bytes(100_000)))
                await asyncio.sleep(0)
            socket_transport.resume_reading()
            await until(lambda: len(two.driver.messages) == count, "all arrived")
            assert [m.index for m in two.driver.messages] == list(range(count))
            assert sending.counters.dropped_messages == 0

    run(test)


class Backlog(asyncio.Transport):
    """A connection whose peer takes what a test says it takes, and answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent_bytes = 0
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent_bytes += len(data)

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class Owner:
    """Whose stream it is."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.messages: list[Message] = []

    def proven(self, stream: PeerStream) -> None: ...

    def writable(self, stream: PeerStream) -> None: ...

    def received(self, messages: Sequence[Message], size_bytes: int) -> None:
        self.messages += messages

    def ended(self, stream: PeerStream, ending: Ending) -> None:
        self.endings.append(ending)


PING_S, SILENCE_S, TURNS = 0.05, 0.4, 100


def outgoing(connection: asyncio.Transport, owner: Owner) -> PeerStream:
    """Return the end that has dialled."""
    ways = LIMITS.ways(2, 1)
    return OutgoingStream(
        connection, 1, ways, owner, is_two_way=True, ping_s=PING_S, silence_s=SILENCE_S
    )


def incoming(connection: asyncio.Transport, owner: Owner) -> PeerStream:
    """Return the end that was dialled."""
    ways = LIMITS.ways(2, 1)
    return IncomingStream(
        connection, 1, ways, owner, is_two_way=True, ping_s=PING_S, silence_s=SILENCE_S
    )


@pytest.mark.parametrize("make", [outgoing, incoming])
def test_a_peer_that_reads_slowly_is_not_taken_for_a_dead_one(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[asyncio.Transport, Owner], PeerStream]
) -> None:
    """Ping or pong wait behind what was written before, for longer than a dead peer would get."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("etcdpy.http.peers.stream.time.monotonic", loop.time)
        connection, owner = Backlog(), Owner()
        stream = make(connection, owner)
        stream.write(bytes(TURNS * 1000))
        for _ in range(TURNS):
            await asyncio.sleep(PING_S)
            connection.unsent_bytes -= 1000
            assert not owner.endings
        idle_s = loop.time()
        assert (await stream.wait_closed()).cause is Cause.SILENT
        assert SILENCE_S <= loop.time() - idle_s <= SILENCE_S + 2 * PING_S

    run_virtual(main)


def test_a_peer_that_talks_for_long_is_not_taken_for_a_dead_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its pong waits behind what it had to say before."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("etcdpy.http.peers.stream.time.monotonic", loop.time)
        owner, encoder = Owner(), FrameEncoder(1 ^ 0xFFFFFFFF)
        stream = outgoing(Backlog(), owner)
        for number in range(TURNS):
            await asyncio.sleep(PING_S)
            payload = encode_messages([heartbeat(2, 1, number)])
            stream.data_received(encoder.encode(FrameKind.MESSAGES, payload) + payload)
            assert not owner.endings
        assert len(owner.messages) == TURNS
        idle_s = loop.time()
        assert (await stream.wait_closed()).cause is Cause.SILENT
        assert SILENCE_S <= loop.time() - idle_s <= SILENCE_S + 2 * PING_S

    run_virtual(main)


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await reader.read()


def test_a_server_that_never_answers_is_given_up() -> None:
    async def test() -> None:
        one = Node(1, faster(dial_s=0.1))
        async with raw_server(never_answer) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: one.transport.counters.failed[Cause.SILENT] >= 2, "given up")
            await one.stop()

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
        b"X-Etcdpy-Protocol: 3\r\nX-Etcdpy-Stream: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
        b"X-Etcdpy-Protocol: 1\r\nX-Etcdpy-Stream: zz\r\n\r\n",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
        b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 412 Precondition Failed\r\nX-Etcdpy-Protocol: 1\r\nContent-Length: 2\r\n\r\n[[",
        b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_strange_answers_are_failures_like_others(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def test() -> None:
        one = Node(1)
        async with raw_server(serve) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.dials_failed >= 2, "failed")
            assert peer.counters.streams_opened == 0
            assert one.removed_by == []  # a 410 counts only from a member of ours
            await one.stop()

    run(test)


@pytest.mark.parametrize(
    "messages",
    [
        [heartbeat(3, 1)],
        [heartbeat(2, 3)],
        [heartbeat(2, 1), heartbeat(3, 1)],
        [Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=SNAPSHOT)],
    ],
)
def test_messages_that_are_not_the_acceptors_to_send_end_the_stream(
    messages: Sequence[Message],
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ACCEPTANCE.replace(b"Protocol: 1", b"Protocol: 2"))
        await reader.readexactly(12)  # of the first ping
        payload = encode_messages(messages)
        head = FrameEncoder(1 ^ 0xFFFFFFFF).encode(FrameKind.MESSAGES, payload)
        writer.write(head + payload)
        await reader.read()
        writer.close()

    async def test() -> None:
        one = Node(1)
        async with raw_server(serve) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: one.transport.counters.failed[Cause.BROKEN] >= 2, "refused")
            assert one.driver.messages == []
            await one.stop()

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        struct.pack("<III", 8, 3, 0) + bytes(8),  # a pong with a bad checksum
        struct.pack("<III", 5000, 4, 0),  # longer than an answer is
        struct.pack("<III", 8, 1, 0) + bytes(8),  # messages do not come this way
    ],
)
def test_garbage_from_the_accepting_side_ends_the_stream(garbage: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ACCEPTANCE)
        await reader.readexactly(12)  # of the first ping
        writer.write(garbage)
        await reader.read()
        writer.close()

    async def test() -> None:
        one = Node(1)
        async with raw_server(serve) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: one.transport.counters.failed[Cause.BROKEN], "ended")
            await one.stop()

    run(test)


def test_stop_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    async def test() -> None:
        one = Node(1, faster(goodbye_s=0.1))
        async with raw_server(accept_and_hold) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.streams_opened, "connected")
            for i in range(20):
                one.send(append(1, 2, i + 1, bytes(1_000_000)))
            async with asyncio.timeout(5):
                await one.stop()

    run(test)
