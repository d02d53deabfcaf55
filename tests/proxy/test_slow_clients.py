"""Clients that do not read, and the member that is held up for them, over real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from etcdpy.http.limits import Limit
from etcdpy.proxy import downstream
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.proxy.serving import ProxyThread, ScriptedMember, read_head
from tests.proxy.test_relay import get

GET = b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"x" * 300_000
#: From so much on a transport says that it is full.
FULL_BYTES = 64 * 1024
#: The loop reads so much at once; a little more is held of what nobody takes yet.
READ_BYTES = 256_000
NARROW_BYTES = 4096


def answer_with(body: bytes, fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)


class Answering:
    """A member's script that gives the same answer to each request."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def __call__(self, connection: socket.socket) -> None:
        while True:
            read_head(connection)
            connection.sendall(self._answer)


@contextmanager
def narrow(proxy: ProxyThread) -> Iterator[socket.socket]:
    """A connection of which the kernel holds little."""
    proxy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
        sock.settimeout(DEADLINE_S)
        sock.connect(("127.0.0.1", proxy.port))
        yield sock


def held_bytes(proxy: ProxyThread) -> int:
    """Return how much waits to be sent, on all connections."""

    def count() -> int:
        transports = [connection._transport for connection in proxy.server._connections]
        return sum(t.get_write_buffer_size() for t in transports if t is not None)

    return proxy.call(count)


def wait_until_full(proxy: ProxyThread) -> None:
    """Wait until a client's transport has said so; what it holds may be less again by then."""

    def is_any() -> bool:
        return any(connection.is_writing_paused for connection in proxy.server._connections)

    wait_until(lambda: proxy.call(is_any), DEADLINE_S, "the client is full")


def receive(client: socket.socket) -> bytes:
    """Return all that comes until the connection ends."""
    got = bytearray()
    while part := client.recv(NARROW_BYTES):
        got += part
    return bytes(got)


def test_a_connection_that_waited_for_a_slow_client_serves_the_next_one() -> None:
    first, last = answer_with(b"x" * READ_BYTES), b"y" * (FULL_BYTES + READ_BYTES // 8)
    first = first.replace(b"%d" % READ_BYTES, b"%d" % (READ_BYTES + len(last)))
    is_full, is_whole = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(first)
        is_full.wait(DEADLINE_S)
        connection.sendall(last)  # one read, which fills the client again
        is_whole.set()
        while True:
            read_head(connection)
            connection.sendall(answer_with(b"ok"))

    with ScriptedMember(script) as member, ProxyThread([member.url]) as proxy:
        with narrow(proxy) as slow:
            slow.sendall(GET)
            wait_until_full(proxy)
            is_full.set()
            assert is_whole.wait(DEADLINE_S)
            left = len(first + last)
            while left > 0:
                left -= len(slow.recv(NARROW_BYTES))
            assert get(proxy.port) == (200, b"ok")
        assert member.connections_count == 1
        assert proxy.errors == []


def test_no_request_is_taken_of_a_client_that_does_not_read_its_answers() -> None:
    count = 300
    with ProxyThread([]) as proxy, narrow(proxy) as slow:
        slow.sendall(METRICS * count)
        slow.shutdown(socket.SHUT_WR)
        wait_until_full(proxy)
        assert held_bytes(proxy) < 2 * FULL_BYTES
        assert receive(slow).count(b"HTTP/1.1 200 OK") == count
        assert proxy.errors == []


def test_one_answer_of_a_member_at_most_waits_for_a_client_that_does_not_read() -> None:
    with (
        ScriptedMember(Answering(answer_with(BODY))) as member,
        ProxyThread([member.url]) as proxy,
        narrow(proxy) as slow,
    ):
        slow.sendall(GET * 20)
        wait_until_full(proxy)
        for _ in range(5):
            assert get(proxy.port)[0] == 200
        assert held_bytes(proxy) < FULL_BYTES + len(BODY) + NARROW_BYTES
        slow.shutdown(socket.SHUT_WR)
        assert receive(slow).count(b"x") == 20 * len(BODY)
        assert proxy.errors == []


def test_a_member_waits_even_if_the_head_alone_fills_the_client() -> None:
    large = answer_with(b"x" * (32 << 20), b"X-Large: %b\r\n" % BODY)
    is_large = threading.Event()

    def script(connection: socket.socket) -> None:
        while True:
            read_head(connection)
            connection.sendall(answer_with(BODY) if is_large.is_set() else large)

    with (
        ScriptedMember(script) as member,
        ProxyThread([member.url]) as proxy,
        narrow(proxy) as slow,
    ):
        slow.sendall(GET)
        wait_until_full(proxy)
        is_large.set()
        for _ in range(20):
            assert get(proxy.port)[0] == 200
        assert held_bytes(proxy) < len(BODY) + 3 * READ_BYTES


def test_a_client_that_takes_nothing_of_its_answers_is_cut_off() -> None:
    with ProxyThread([], send_timeout_ms=100) as proxy, narrow(proxy) as slow:
        slow.sendall(METRICS * 300)
        reached = proxy.members.figures.reached
        wait_until(lambda: reached[Limit.SEND_TIMEOUT] == 1, DEADLINE_S, "it is cut off")
        wait_until(lambda: not proxy.server._connections, DEADLINE_S, "it is forgotten")
        _, body = get(proxy.port, "/metrics")
        assert b'etcdpy_limit_reached_total{flag="send-timeout"} 1\n' in body


def test_the_last_answer_reaches_a_client_however_slow_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downstream, "_LINGER_S", 0.001)
    answer = answer_with(b"x" * 4 * READ_BYTES)
    with (
        ScriptedMember(Answering(answer)) as member,
        ProxyThread([member.url]) as proxy,
        narrow(proxy) as slow,
    ):
        slow.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert receive(slow).count(b"x") == 4 * READ_BYTES
