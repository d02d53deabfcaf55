"""Accepting up to a bound: who is one too many waits, and is served when another has gone."""

import asyncio
import socket
from typing import Any, cast

import uvloop

from etcdpy.http.acceptor import Acceptor, Listener

DEADLINE_S = 10.0


class Greeter(asyncio.Protocol):
    """Says hello to whoever was accepted, and tells the acceptor when they go."""

    acceptor: Acceptor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"hello")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.acceptor.connection_closed()


def bound_socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    return listener


async def start(connections_max: int, listeners: list[socket.socket]) -> Acceptor:
    acceptor = Acceptor(
        [Listener(sock) for sock in listeners], lambda _: Greeter(), connections_max, None
    )
    Greeter.acceptor = acceptor
    acceptor.start()
    return acceptor


def test_one_too_many_waits_until_another_has_gone() -> None:
    async def test() -> None:
        listener = bound_socket()
        port = listener.getsockname()[1]
        acceptor = await start(2, [listener])
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with asyncio.timeout(DEADLINE_S):
            assert await clients[0][0].readexactly(5) == b"hello"
            assert await clients[1][0].readexactly(5) == b"hello"
        third = asyncio.ensure_future(clients[2][0].readexactly(5))
        done, _ = await asyncio.wait([third], timeout=0.1)
        assert not done
        clients[0][1].close()
        async with asyncio.timeout(DEADLINE_S):
            assert await third == b"hello"
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()
        await acceptor.close()

    asyncio.run(test())


def test_all_listeners_are_served_and_closed() -> None:
    async def test() -> None:
        listeners = [bound_socket(), bound_socket()]
        ports = [listener.getsockname()[1] for listener in listeners]
        acceptor = await start(100, listeners)
        for port in ports:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(DEADLINE_S):
                assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        await acceptor.close()
        assert [listener.fileno() for listener in listeners] == [-1, -1]

    asyncio.run(test())


class Noting(socket.socket):
    """A listening socket that tells of what it has accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, address = super().accept()
        self.taken.set_result(accepted)
        return accepted, address


def test_a_connection_that_was_only_just_accepted_is_closed_as_well() -> None:
    """Its task may be cancelled before it has begun, and then it cannot close anything."""

    async def test() -> None:
        with Noting() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            acceptor = await start(1, [listener])
            client.connect(listener.getsockname())
            async with asyncio.timeout(DEADLINE_S):
                accepted = await listener.taken
            await acceptor.close()
            assert accepted.fileno() == -1

    asyncio.run(test())


def test_a_protocol_that_has_its_transport_keeps_it_when_the_acceptor_closes() -> None:
    """uvloop tells a protocol nothing when what connects it is cancelled behind its back."""

    async def test() -> None:
        acceptors: list[Acceptor] = []
        closing: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()
        transports: list[asyncio.Transport] = []

        class Closer(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.append(cast(asyncio.Transport, transport))
                loop = asyncio.get_running_loop()
                closing.set_result(loop.create_task(acceptors[0].close()))

        listener = bound_socket()
        acceptors.append(Acceptor([Listener(listener)], lambda _: Closer(), 10, None))
        acceptors[0].start()
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await (await closing)
            transports[0].write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        transports[0].close()

    uvloop.run(test())
