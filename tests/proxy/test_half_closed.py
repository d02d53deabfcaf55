"""Clients that send nothing more, and are answered as by a member all the same."""

import socket

import pytest

from tests.conformance.test_proxy_live import shown
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.http.server import ServerThread
from tests.proxy.serving import ProxyThread, ScriptedMember, read_head, url_of
from tests.proxy.test_relay import ask, put

GET = b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n"
PAST = b"GET /v2/keys/a?wait=true&waitIndex=1 HTTP/1.1\r\nHost: x\r\n\r\n"
FUTURE = b"GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /v2/keys/a?wait=true&stream=true&waitIndex=1 HTTP/1.1\r\nHost: x\r\n\r\n"
OLD = b"GET /v2/keys/a?wait=true HTTP/1.0\r\n\r\n"
FORGOTTEN = b"GET /v2/keys/a?wait=true&waitIndex=x HTTP/1.1\r\nHost: x\r\n\r\n"
BROKEN = b"GET /v2/keys/a HTTP/1.1\r\nHo"


def answers(data: bytes) -> list[list[bytes]]:
    """Return the answers on one connection, as the comparison with etcd's proxy shows them."""
    return [shown(b"HTTP/1." + answer) for answer in data.split(b"HTTP/1.")[1:]]


@pytest.mark.parametrize("is_coalescing", [False, True])
@pytest.mark.parametrize(
    "requests",
    [PAST, FUTURE, STREAM, OLD, FORGOTTEN, GET + PAST, GET + FUTURE, PAST + GET, GET + BROKEN],
    ids=lambda data: data[:50].decode().replace("/", ":"),
)
def test_an_answer_is_that_of_a_member(requests: bytes, is_coalescing: bool) -> None:
    with (
        ServerThread() as member,
        ProxyThread([url_of(member.port)], proxy_coalesce=is_coalescing, cors=()) as proxy,
    ):
        put(member.port)
        assert answers(ask(proxy.port, requests)) == answers(ask(member.port, requests))
        assert proxy.errors == []


@pytest.mark.parametrize("requests", [PAST, FUTURE, GET + PAST, GET + FUTURE])
def test_no_connection_to_a_member_is_left_behind(requests: bytes) -> None:
    with ServerThread() as member, ProxyThread([url_of(member.port)]) as proxy:
        put(member.port)
        for _ in range(5):
            ask(proxy.port, requests)
        upstream = proxy.members.upstream
        wait_until(
            lambda: proxy.call(
                lambda: upstream.open_count == sum(map(len, upstream._idle.values()))
            ),
            DEADLINE_S,
            "no connection is in use",
        )
        assert upstream.open_count <= 1


def test_a_watch_whose_head_comes_late_has_the_event_that_comes_with_it() -> None:
    """And all of it: half an event must not be taken for one."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: now\r\n\r\n"

    def script(connection: socket.socket) -> None:
        read_head(connection)
        wait_until(is_half_closed, DEADLINE_S, "the client sends nothing more")
        connection.sendall(head + b"5\r\nevent\r\n")
        wait_until(is_begun, DEADLINE_S, "the answer has begun")
        connection.sendall(b"5\r\nends\n\r\n")
        connection.recv(1)

    with ScriptedMember(script) as member, ProxyThread([member.url]) as proxy:

        def is_half_closed() -> bool:
            return proxy.call(lambda: any(c.is_half_closed for c in proxy.server._connections))

        def is_begun() -> bool:
            return proxy.call(lambda: proxy.members.figures.handled["GET", 200] == 1)

        answer = ask(proxy.port, FUTURE)
        assert answer.endswith(b"\r\n\r\n5\r\nevent\r\n5\r\nends\n\r\n0\r\n\r\n")
