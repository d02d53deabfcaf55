"""A client that does not read is waited for as long as it takes something, and no longer."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etcdpy.http.limits import Limit, Limits, Reached
from etcdpy.http.sending import StallWatch
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.virtual_time import run_virtual
from tests.http.rawsocket import connect, put, read_all, read_response, request
from tests.http.server import ServerThread

A_MINUTE = Limits(send_s=60.0)
VALUE = b"v" * 256 * 1024
#: From so much on a transport says that it is full.
FULL_BYTES = 64 * 1024
#: An answer shows its value once, with some words around it.
HELD_BYTES_MAX = FULL_BYTES + len(VALUE) + 2048


class FullTransport(asyncio.WriteTransport):
    def __init__(self, left_bytes: int) -> None:
        super().__init__()
        self.left_bytes = left_bytes
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left_bytes

    def abort(self) -> None:
        self.is_aborted = True


def test_only_a_client_that_takes_nothing_is_cut_off() -> None:
    async def main() -> None:
        transport, reached = FullTransport(1_000), Reached()
        watch = StallWatch(asyncio.get_running_loop(), transport, A_MINUTE, reached)
        watch.begin()
        watch.begin()
        for _ in range(10):
            await asyncio.sleep(59)
            transport.left_bytes -= 1
        assert not transport.is_aborted
        await asyncio.sleep(121)
        assert transport.is_aborted
        assert reached == {Limit.SEND_TIMEOUT: 1}

    run_virtual(main)


def test_who_reads_again_has_its_whole_time_the_next_time() -> None:
    async def main() -> None:
        transport = FullTransport(1_000)
        watch = StallWatch(asyncio.get_running_loop(), transport, A_MINUTE, Reached())
        watch.begin()
        await asyncio.sleep(59)
        watch.end()
        watch.end()
        await asyncio.sleep(1_000)
        watch.begin()
        await asyncio.sleep(59)
        assert not transport.is_aborted
        watch.end()

    run_virtual(main)


@contextmanager
def narrow(server: ServerThread) -> Iterator[socket.socket]:
    """A connection of which the kernel holds little; in the end the server knows that it ended."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(DEADLINE_S)
        sock.connect(("127.0.0.1", server.port))
        yield sock
    until(lambda: server.call(lambda: connection_count(server)) == 0)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def store_value(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/big", b"value=" + VALUE, is_last=False))
        assert read_response(sock).startswith(b"HTTP/1.1 201 ")


def held_bytes(server: ServerThread) -> int:
    """Return how much waits to be sent, on all connections."""
    assert server.server is not None
    transports = [connection.transport for connection in server.server._connections]
    return sum(t.get_write_buffer_size() for t in transports if t is not None)


def connection_count(server: ServerThread) -> int:
    assert server.server is not None
    return server.server.connection_count


def reached(server: ServerThread) -> int:
    return server.backend.monitor.traffic.reached[Limit.SEND_TIMEOUT]


def test_one_answer_at_most_waits_for_a_client_that_does_not_read() -> None:
    with ServerThread(limits=Limits(send_s=None)) as server:
        store_value(server)
        with narrow(server) as sock:
            sock.sendall(request(target=b"/v2/keys/big", is_last=False) * 100)
            until(lambda: server.call(lambda: held_bytes(server)) > FULL_BYTES)
            assert server.call(lambda: held_bytes(server)) < HELD_BYTES_MAX


def test_a_client_that_reads_nothing_of_its_answers_is_cut_off() -> None:
    with ServerThread(limits=Limits(send_s=0.1)) as server:
        store_value(server)
        with narrow(server) as sock:
            sock.sendall(request(target=b"/v2/keys/big", is_last=False) * 100)
            until(lambda: reached(server) == 1)
            until(lambda: server.call(lambda: connection_count(server)) == 0)
            assert read_all(sock).count(b"HTTP/1.1 200 OK") < 100


def test_a_watch_that_is_not_read_is_cut_off_and_forgotten() -> None:
    with (
        ServerThread(limits=Limits(send_s=0.1)) as server,
        narrow(server) as sock,
        connect(server.port) as writer,
    ):
        sock.sendall(request(target=b"/v2/keys/big?wait=true&stream=true"))
        until(lambda: server.backend.tree.hub.count == 1)
        while not reached(server):
            writer.sendall(put(b"/v2/keys/big", b"value=" + VALUE, is_last=False))
            read_response(writer)
        until(lambda: server.backend.tree.hub.count == 0)


def test_a_connection_has_one_watch_at_a_time() -> None:
    watch = request(target=b"/v2/keys/a?wait=true", is_last=False)
    with ServerThread() as server, connect(server.port) as sock, connect(server.port) as writer:
        sock.sendall(watch * 3)
        until(lambda: server.backend.tree.hub.count == 1)
        seen = 0
        while seen < 3:
            assert server.call(lambda: server.backend.tree.hub.count) <= 1
            writer.sendall(put(b"/v2/keys/a", b"value=x", is_last=False))
            read_response(writer)
            sock.settimeout(0.05)
            try:
                seen += sock.recv(65536).count(b'"action":"set"')
            except TimeoutError:
                continue
