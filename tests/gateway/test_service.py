"""The gateway over real sockets: who is reached, what is passed on, and what ends when.

Source: spec/cluster.md section 10.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from etcdpy.gateway import pairs
from etcdpy.gateway.endpoints import Endpoints
from etcdpy.gateway.service import Gateway
from etcdpy.http.acceptor import Listener
from etcdpy.srv import Record
from tests.http.server import listen

DEADLINE_S = 60.0
RETRY_S = 0.05
CONNECTIONS = 1000

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; `run` has the deadline."""
    while not condition():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


class Running:
    """A gateway that runs, and where."""

    def __init__(self, ports: Sequence[int], connections_max: int) -> None:
        records = [Record("127.0.0.1", port) for port in ports]
        self.endpoints = Endpoints(records, random.Random(1))
        self.gateway = Gateway(self.endpoints, RETRY_S, connections_max)
        self.socket = listen()
        self.port: int = self.socket.getsockname()[1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, said: bytes) -> bytes:
        """Return the answer to `said`, after which this side has nothing to say."""
        reader, writer = await self.connect()
        writer.write(said)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def gateway_to(*ports: int, connections_max: int = 4000) -> Any:
    running = Running(ports, connections_max)
    task = asyncio.ensure_future(running.gateway.serve(Listener(running.socket)))
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def member(serve: Serve, port: int = 0) -> Any:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=2048)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(name: bytes) -> Serve:
    """Say who it is, and all that was said, when the client has nothing more to say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(name + await reader.read())
            writer.close()

    return serve


def free_port() -> int:
    """Return a port on which nobody listens: it is bound, and stays so until it is collected."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_members_take_turns_and_hear_all_that_is_said() -> None:
    async def test() -> None:
        big = b"-" + random.Random(1).randbytes(3_000_000)
        one, other = member(answering(b"a")), member(answering(b"b"))
        async with one as a, other as b, gateway_to(a, b) as gateway:
            answers = [await gateway.talk(big) for _ in range(4)]
        assert answers == [name + big for name in (b"a", b"b", b"a", b"b")]

    run(test)


def test_the_end_of_what_a_client_says_does_not_cut_its_answer() -> None:
    """A client that closes its side at once, before the member is dialled."""

    async def test() -> None:
        async with member(answering(b"a")) as a, gateway_to(a) as gateway:
            assert await gateway.talk(b"") == b"a"

    run(test)


def test_a_member_that_ends_ends_its_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"bye")
        writer.close()

    async def test() -> None:
        async with member(serve) as a, gateway_to(a) as gateway:
            reader, writer = await gateway.connect()
            writer.write(b"x")
            assert await reader.read() == b"bye"
            writer.close()

    run(test)


def test_who_is_away_is_left_out_and_used_again_when_he_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    away = free_port()

    async def test() -> None:
        async with member(answering(b"b")) as b, gateway_to(away, b) as gateway:
            assert [await gateway.talk(b"") for _ in range(3)] == [b"b"] * 3
            assert gateway.endpoints.inactive() == [gateway.endpoints.all[0]]
            async with member(answering(b"a"), away):
                await until(lambda: not gateway.endpoints.inactive())
                assert {await gateway.talk(b"") for _ in range(2)} == {b"a", b"b"}

    run(test)
    messages = caplog.messages
    assert messages[0] == "ready to proxy client requests"
    assert messages[1] == "deactivated endpoint"
    assert messages[-1] == "activated"
    fields = caplog.records[1].__dict__["etcdpy_fields"]
    address = f"127.0.0.1:{away}"
    assert fields == {
        "address": address,
        "interval": RETRY_S,
        "error": f"dial tcp {address}: connect: connection refused",
    }


def test_a_client_for_whom_nobody_is_left_is_closed() -> None:
    async def test() -> None:
        async with gateway_to(free_port()) as gateway:
            reader, writer = await gateway.connect()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(test)


def test_a_thousand_at_once_are_passed_on_and_forgotten() -> None:
    together = asyncio.Event()
    waiting = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.readexactly(8)
        waiting.append(said)
        if len(waiting) == CONNECTIONS:
            together.set()
        await together.wait()
        writer.write(said)
        writer.close()

    async def ask(gateway: Running, number: int) -> None:
        reader, writer = await gateway.connect()
        writer.write(b"%08d" % number)
        assert await reader.read() == b"%08d" % number
        writer.close()

    async def test() -> None:
        async with member(serve) as a, member(serve) as b, gateway_to(a, b) as gateway:
            await asyncio.gather(*(ask(gateway, number) for number in range(CONNECTIONS)))
            await until(lambda: not gateway.gateway.connections_count)

    run(test)


def test_more_than_may_be_served_wait_for_their_turn() -> None:
    async def test() -> None:
        async with member(answering(b"a")) as a, gateway_to(a, connections_max=2) as gateway:
            held = [await gateway.connect() for _ in range(2)]
            third = asyncio.ensure_future(gateway.talk(b"3"))
            for reader, writer in held:
                writer.write(b"x")
                writer.write_eof()
                assert await reader.read() == b"ax"
                writer.close()
            assert await third == b"a3"

    run(test)


# Bounds, with transports that only note what is asked of them


class NotingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limit {high}")

    def __getattribute__(self, name: str) -> Any:
        if name in ("pause_reading", "resume_reading", "write_eof", "close", "abort"):
            return lambda: self.calls.append(name)
        return super().__getattribute__(name)


@pytest.fixture
def pair() -> pairs.Pair:
    ended: list[pairs.Pair] = []
    return pairs.Pair(lambda _: None, ended.append)


def connect(side: Any) -> NotingTransport:
    transport = NotingTransport()
    side.connection_made(transport)
    return transport


def test_what_one_side_does_not_take_is_not_read_from_the_other(pair: pairs.Pair) -> None:
    client, upstream = connect(pair.client), connect(pair.member)
    assert client.calls[0] == upstream.calls[0] == f"limit {pairs.BUFFER_BYTES_MAX}"
    pair.client.pause_writing()
    assert upstream.calls[-1] == "pause_reading"
    pair.client.resume_writing()
    assert upstream.calls[-1] == "resume_reading"
    pair.member.pause_writing()
    assert client.calls[-1] == "pause_reading"


def test_before_the_member_is_there_one_read_is_kept(pair: pairs.Pair) -> None:
    client = connect(pair.client)
    pair.client.data_received(b"first")
    assert client.calls[-1] == "pause_reading"
    assert pair.client.eof_received()
    upstream = connect(pair.member)
    assert client.calls[-1] == "resume_reading"
    assert (upstream.written, upstream.calls[-1]) == (b"first", "write_eof")


def test_a_broken_side_breaks_the_other(pair: pairs.Pair) -> None:
    connect(pair.client)
    upstream = connect(pair.member)
    pair.client.connection_lost(ConnectionResetError())
    assert upstream.calls[-1] == "abort"


def test_a_member_that_comes_too_late_is_let_go(pair: pairs.Pair) -> None:
    connect(pair.client)
    pair.client.connection_lost(None)
    assert connect(pair.member).calls[-1] == "abort"


def test_a_pair_ends_once_even_if_its_member_comes_too_late() -> None:
    ended: list[pairs.Pair] = []
    pair = pairs.Pair(lambda _: None, ended.append)
    connect(pair.client)
    pair.client.connection_lost(None)
    connect(pair.member)
    pair.member.connection_lost(None)
    assert ended == [pair]


def test_a_client_that_never_reads_its_rest_is_cut(
    pair: pairs.Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "LINGER_S", 0.01)

    async def test() -> None:
        client = connect(pair.client)
        connect(pair.member)
        pair.member.connection_lost(None)
        assert client.calls[-1] == "close"
        await until(lambda: client.calls[-1] == "abort")

    run(test)
