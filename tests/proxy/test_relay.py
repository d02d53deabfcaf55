"""What happens to one request between a client and its members, over real sockets."""

import contextlib
import socket
import threading
import time

import pytest

from etcdpy.proxy.upstream import Timeouts
from tests.conformance.rawhttp import Wire
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.http.server import ServerThread
from tests.proxy.serving import (
    ProxyThread,
    ScriptedMember,
    dead_url,
    read_head,
    url_of,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOBODY = b'{"message":"httpproxy: zero endpoints currently available"}'


def ask(port: int, data: bytes, *, is_last: bool = True) -> bytes:
    """Return all that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(data)
        if is_last:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer


def get(port: int, path: str = "/v2/keys/a", fields: str = "") -> tuple[int, bytes]:
    """Return status and body of one GET."""
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode()
    head, _, body = ask(port, head, is_last=False).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def put(port: int, body: bytes = b"value=1", path: str = "/v2/keys/a") -> tuple[int, bytes]:
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer, _, got = ask(port, head.encode() + body, is_last=False).partition(b"\r\n\r\n")
    return int(answer.split(b" ")[1]), got


class Recorder:
    """A member's script that keeps the heads it was sent, and answers each."""

    def __init__(self, answer: bytes = OK) -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    def __call__(self, connection: socket.socket) -> None:
        while True:
            self.heads.append(read_head(connection))
            connection.sendall(self._answer)


def test_what_belongs_to_one_hop_stays_there_and_the_rest_passes() -> None:
    recorder = Recorder()
    request = (
        b"GET /v2/keys/a%2fb?x=1&y=a+b HTTP/1.1\r\nHost: who\r\nx-foo: 1\r\nTE: trailers\r\n"
        b"Connection: x-foo, close\r\nKeep-Alive: 1\r\nProxy-Authorization: secret\r\n"
        b"Upgrade: h2c\r\nAuthorization: Basic eDp5\r\nX-Forwarded-For: 1.2.3.4\r\n"
        b"X-Forwarded-For: 5.6.7.8\r\n\r\n"
    )
    with ScriptedMember(recorder) as member, ProxyThread([member.url]) as proxy:
        ask(proxy.port, request, is_last=False)
    assert recorder.heads == [
        b"GET /v2/keys/a%2fb?x=1&y=a+b HTTP/1.1\r\nHost: who\r\nx-foo: 1\r\n"
        b"Authorization: Basic eDp5\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\n\r\n"
    ]


def test_a_request_without_a_host_names_the_member() -> None:
    recorder = Recorder()
    with ScriptedMember(recorder) as member, ProxyThread([member.url]) as proxy:
        ask(proxy.port, b"GET http://foo/v2/keys/u HTTP/1.0\r\n\r\n")
        host = member.url.removeprefix("http://").encode()
    assert recorder.heads[0].startswith(b"GET /v2/keys/u HTTP/1.1\r\nHost: " + host + b"\r\n")


def test_an_answer_loses_what_belongs_to_one_hop_and_is_sorted() -> None:
    answer = (
        b"HTTP/1.1 404 Nothing Here\r\nzeta: 1\r\nAlpha: 2\r\nalpha: 3\r\nConnection: x-hop\r\n"
        b"Keep-Alive: 3\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    with ScriptedMember(Recorder(answer)) as member, ProxyThread([member.url], cors=()) as proxy:
        got = ask(proxy.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got == (
        b"HTTP/1.1 404 Not Found\r\nAlpha: 2\r\nAlpha: 3\r\nDate: then\r\nZeta: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )


def test_requests_share_a_connection_and_are_answered_in_order() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        for _ in range(3):
            assert put(proxy.port)[0] in (200, 201)
        request = b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n"
        answers = ask(proxy.port, request * 2000)
        assert answers.count(b"HTTP/1.1 200 OK") == 2000
        assert proxy.members.upstream.open_count == 1
        assert proxy.errors == []


def test_own_answers_to_many_requests_at_once() -> None:
    with ProxyThread([]) as proxy:
        answers = ask(proxy.port, b"OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        assert answers.count(b"HTTP/1.1 200 OK") == 3000
        assert proxy.errors == []


def test_members_are_tried_in_order_and_a_dead_one_is_left_alone() -> None:
    dead = dead_url()
    with ServerThread() as server, ProxyThread([dead, url_of(server.port)]) as proxy:
        assert put(proxy.port)[0] == 201  # nothing was sent to the dead one: this may be tried
        assert [e.url for e in proxy.members.available()] == [url_of(server.port)]
        assert get(proxy.port)[0] == 200
        status, body = get(proxy.port, "/v2/config/local/proxy")
        assert (status, body) == (200, b'{"endpoints":["%b"]}\n' % url_of(server.port).encode())
        assert proxy.members.figures.dropped["PUT", "failed_sending_request"] == 1


def test_without_members_there_is_an_answer_in_etcds_words() -> None:
    with ProxyThread([dead_url()]) as proxy:
        tried = b'{"message":"httpproxy: unable to get response from 1 endpoint(s)"}'
        assert get(proxy.port) == (502, tried)
        assert get(proxy.port) == (503, NOBODY)
        assert put(proxy.port) == (503, NOBODY)


def test_a_write_that_a_member_may_have_seen_is_not_sent_to_another() -> None:
    asked = []

    def die(connection: socket.socket) -> None:
        asked.append(read_head(connection))

    with (
        ServerThread() as server,
        ScriptedMember(die) as dying,
        ProxyThread([dying.url, url_of(server.port)]) as proxy,
    ):
        status, _ = put(proxy.port)
        assert status == 502
        assert len(asked) == 1
        assert get(proxy.port)[0] == 404  # it was not done a second time


def test_a_read_that_a_member_did_not_answer_is_asked_of_another() -> None:
    def die(connection: socket.socket) -> None:
        read_head(connection)

    with (
        ServerThread() as server,
        ScriptedMember(die) as dying,
        ProxyThread([dying.url, url_of(server.port)]) as proxy,
    ):
        assert get(proxy.port)[0] == 404
        assert [e.url for e in proxy.members.available()] == [url_of(server.port)]


def test_a_kept_connection_that_the_member_has_closed_says_nothing_of_the_member() -> None:
    def answer_one_then_die(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(OK)
        read_head(connection)

    with ScriptedMember(answer_one_then_die) as member, ProxyThread([member.url]) as proxy:
        for _ in range(4):
            assert get(proxy.port) == (200, b"ok")
        assert len(proxy.members.available()) == 1


def test_an_answer_that_breaks_off_is_cut_at_the_client_too() -> None:
    def break_off(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    with ScriptedMember(break_off) as member, ProxyThread([member.url]) as proxy:
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = ask(proxy.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", is_last=False)
        assert not answer.endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_ends_its_request_at_the_member() -> None:
    gone = threading.Event()

    def wait_for_the_end(connection: socket.socket) -> None:
        read_head(connection)
        with contextlib.suppress(OSError):
            connection.recv(1)
        gone.set()

    with ScriptedMember(wait_for_the_end) as member, ProxyThread([member.url]) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S) as client:
            client.sendall(b"GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: member.connections_count == 1, DEADLINE_S, "the member is asked")
        assert gone.wait(DEADLINE_S)


def test_a_watch_is_told_each_event_at_once_and_ends_with_its_client() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        with Wire(proxy.port) as watch:
            path = "/v2/keys/a?wait=true&stream=true"
            watch.send("GET", path, {}, None, is_last=False)
            assert watch.read_head().status == 200
            for number in range(3):
                put(proxy.port, b"value=%d" % number)
                assert b'"value":"%d"' % number in watch.read_chunk()
        wait_until(
            lambda: server.call(lambda: server.backend.tree.hub.count) == 0,
            DEADLINE_S,
            "the member's watcher is gone",
        )


def test_a_large_body_is_streamed_both_ways() -> None:
    size = 3 * 1024 * 1024
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        body = b"value=" + b"x" * size
        assert put(proxy.port, body)[0] == 201
        status, got = get(proxy.port)
        assert status == 200
        assert got.count(b"x") >= size


def test_a_large_body_in_chunks_that_breaks_off_is_not_taken_for_whole() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        head = (
            b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        body = b"value=" + b"x" * (2 << 20)
        answer = ask(proxy.port, head + b"%x\r\n%b\r\n" % (len(body), body))
        assert b" 50" in answer.partition(b"\r\n")[0]
        assert get(proxy.port)[0] == 404


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (b"Content-Length: 10\r\n\r\nabc", b"unexpected EOF"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"invalid byte in chunk length"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_in_etcds_words(rest: bytes, words: bytes) -> None:
    with ProxyThread([]) as proxy:
        answer = ask(proxy.port, b"PUT /v2/keys/u HTTP/1.1\r\nHost: a\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'{"message":"httpproxy: failed to read request body: %b"}' % words in answer


def test_a_connection_on_which_a_body_is_missing_serves_nobody_else() -> None:
    """A member that answers before it has the body takes what comes next for the rest of it."""

    def answer_at_once(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(OK)
        while connection.recv(65536):
            pass

    with ScriptedMember(answer_at_once) as member, ProxyThread([member.url]) as proxy:
        head = b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20))
        with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S) as client:
            client.sendall(head + chunk + chunk)
            wait_until(lambda: has_answered(proxy), DEADLINE_S, "the member has answered")
            client.sendall(chunk)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert get(proxy.port) == (200, b"ok")
        assert member.connections_count == 2


def has_answered(proxy: ProxyThread) -> bool:
    return proxy.call(lambda: any(c.has_answered for c in proxy.members.upstream._open))


def test_a_member_that_is_silent_for_too_long_is_given_up() -> None:
    def say_nothing(connection: socket.socket) -> None:
        read_head(connection)
        connection.recv(1)

    timeouts = Timeouts(dial_s=5.0, read_s=0.05)
    with (
        ScriptedMember(say_nothing) as member,
        ProxyThread([member.url], timeouts=timeouts) as proxy,
    ):
        began_s = time.monotonic()
        assert get(proxy.port)[0] == 502
        assert time.monotonic() - began_s >= 0.05


def test_a_readonly_proxy_hands_on_get_alone() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)], proxy="readonly") as proxy:
        assert get(proxy.port)[0] == 404
        for method in (b"PUT", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"FOO"):
            answer = ask(proxy.port, method + b" /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 501 Not Implemented\r\nDate: ")
            assert b"Access-Control" not in head
            assert body == b""


def test_more_connections_than_may_be_are_refused_and_no_member_is_blamed() -> None:
    def say_nothing(connection: socket.socket) -> None:
        read_head(connection)
        connection.recv(1)

    with (
        ScriptedMember(say_nothing) as member,
        ProxyThread([member.url], connections_max=2) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as held,
    ):
        proxy.members.upstream.connections_max = 1
        held.sendall(b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: member.connections_count == 1, DEADLINE_S, "the member is asked")
        assert get(proxy.port) == (503, b'{"message":"httpproxy: too many requests at once"}')
        assert len(proxy.members.available()) == 1


def test_its_metrics_are_a_proxys() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        get(proxy.port)
        status, body = get(proxy.port, "/metrics")
        lines = body.decode().splitlines()
        assert status == 200
        assert 'etcd_proxy_requests_total{method="GET"} 1' in lines
        assert 'etcd_proxy_handled_total{method="GET",code="404"} 1' in lines
        assert "etcdpy_proxy_endpoints 1" in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_a_method_that_http_has_not_is_counted_as_other() -> None:
    with ServerThread() as server, ProxyThread([url_of(server.port)]) as proxy:
        for method in (b"FOO", b"BAR", b"x" * 100_000):
            ask(proxy.port, method + b" /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n")
        figures = proxy.members.figures
        assert dict(figures.incoming) == {"other": 3}
        assert dict(figures.handled) == {("other", 405): 3}
        assert list(figures.durations) == ["other"]
