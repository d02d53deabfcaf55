"""Bytes that no honest client sends: a clear answer or a clean close, and the server goes on.

Each test ends with a look at the server: it answers, and its loop has reported no error.
"""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcdpy.http.form import FORM_BYTES_MAX
from etcdpy.http.heads import HEAD_BYTES_MAX
from etcdpy.http.limits import Limits
from tests.http.rawsocket import (
    FORM_HEAD,
    connect,
    exchange,
    put,
    read_all,
    read_response,
    request,
)
from tests.http.server import ServerThread

SHORT = Limits(head_s=0.2, body_s=0.2)


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "aiohttp"])
def shared(request: pytest.FixtureRequest) -> Iterator[ServerThread]:
    with ServerThread(limits=SHORT, is_fast=request.param) as server:
        yield server


@pytest.fixture
def server(shared: ServerThread, caplog: pytest.LogCaptureFixture) -> Iterator[ServerThread]:
    yield shared
    assert exchange(shared.port, request()).status == 200
    assert shared.errors == []
    assert [record for record in caplog.get_records("call") if record.exc_info] == []


def cause_of(data: bytes) -> str:
    cause: str = json.loads(data.partition(b"\r\n\r\n")[2])["cause"]
    return cause


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2/keys/a\r\n\r\n",
        b"GET /v2/keys/a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/keys/a HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_http_1_is_closed_without_a_word(server: ServerThread, data: bytes) -> None:
    assert exchange(server.port, data).data == b""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET /v2/keys/%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET /v2/keys/% HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET /v2/keys/a\x01b HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET /v2/keys/a\x7fb HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET foo HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"400 Bad Request: missing required Host header"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400 Bad Request"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", b"400 Bad Request"),
        (
            b"GET /a HTTP/1.1\r\nHost: x\r\nb d: x\r\n\r\n",
            b"400 Bad Request: invalid header name",
        ),
        (b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: bad\r\n\r\n", b"400 Bad Request"),
        (b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
        (b"P(T /a HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_a_broken_head_gets_a_plain_400_without_any_etcd_header(
    server: ServerThread, data: bytes, reason: bytes
) -> None:
    head = b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    assert exchange(server.port, data).data == head % reason + reason


def test_an_unknown_transfer_encoding_is_not_implemented(server: ServerThread) -> None:
    data = request(b"PUT", b"/v2/keys/a", FORM_HEAD + b"Transfer-Encoding: foo\r\n") + b"zz\r\n"
    reply = exchange(server.port, data)
    assert reply.status == 501
    assert reply.body == b"Unsupported transfer encoding"


def test_an_unknown_expectation_fails(server: ServerThread) -> None:
    reply = exchange(server.port, put(b"/v2/keys/a", b"value=1", b"Expect: foo\r\n"))
    assert reply.status == 417
    assert reply.body == b""
    assert b"Access-Control" not in reply.data


def test_continue_is_sent_when_the_form_is_read(server: ServerThread) -> None:
    with connect(server.port) as sock:
        data = put(b"/v2/keys/expect", b"value=1", b"Expect: 100-continue\r\n")
        sock.sendall(data[: -len(b"value=1")])
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"value=1")
        assert read_all(sock).startswith(b"HTTP/1.1 201 Created")


def test_continue_is_not_sent_for_a_body_that_nobody_reads(server: ServerThread) -> None:
    headers = b"Content-Type: text/plain\r\nExpect: 100-continue\r\n"
    reply = exchange(server.port, request(b"PUT", b"/v2/keys/expect2", headers, b"value=1"))
    assert reply.status == 201
    assert b'"value":""' in reply.body


@pytest.mark.parametrize("method", [b"get", b"FOO", b"M-SEARCH", b"PROPFIND"])
def test_a_method_that_only_the_parser_does_not_know_gets_405(
    server: ServerThread, method: bytes
) -> None:
    reply = exchange(server.port, request(method, b"/v2/keys/a"))
    assert reply.status == 405
    assert b"Allow: HEAD,GET,PUT,POST,DELETE\r\n" in reply.data


def test_asterisk_targets(server: ServerThread) -> None:
    options = exchange(server.port, request(b"OPTIONS", b"*"))
    assert options.status == 200
    assert b"Access-Control" not in options.data
    assert exchange(server.port, request(b"GET", b"*")).status == 400


def test_a_head_of_100_kb_is_read(server: ServerThread) -> None:
    many = b"".join(b"X-%d: %b\r\n" % (n, b"v" * 100) for n in range(900))
    assert exchange(server.port, request(headers=many)).status == 200
    assert exchange(server.port, request(headers=b"X: %b\r\n" % (b"v" * 100_000))).status == 200


def test_a_name_of_1_mb_can_be_looked_up(server: ServerThread) -> None:
    name = b"/v2/keys/" + b"n" * 1_000_000
    reply = exchange(server.port, request(target=name))
    assert reply.status == 404
    assert reply.data.count(b"n" * 1000) > 0


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_over_1_mib_is_refused(server: ServerThread, start: bytes) -> None:
    data = (start or b"GET /v2/keys/") + b"x" * (HEAD_BYTES_MAX + 100_000)
    reply = exchange(server.port, data)
    assert reply.status == 431
    assert reply.body == b"431 Request Header Fields Too Large"


def test_many_short_lines_over_1_mib_are_refused(server: ServerThread) -> None:
    lines = b"".join(b"X-%d: v\r\n" % n for n in range(120_000))
    assert exchange(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n" + lines).status == 431


def test_a_form_of_the_largest_size_is_stored(server: ServerThread) -> None:
    body = b"value=" + b"v" * (FORM_BYTES_MAX - 6)
    reply = exchange(server.port, put(b"/v2/keys/big?noValueOnSuccess=true", body))
    assert (reply.status, reply.body) == (201, b'{"action":"set"}\n')
    exchange(server.port, request(b"DELETE", b"/v2/keys/big"))


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_a_longer_form_is_refused_and_not_kept(server: ServerThread) -> None:
    before = rss_bytes()
    with connect(server.port) as sock:
        size = 400 * 1024 * 1024
        head = b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\n" + FORM_HEAD
        sock.sendall(head + b"Content-Length: %d\r\n\r\nvalue=" % size)
        part = b"v" * (1 << 20)
        try:
            for _ in range(30):
                sock.sendall(part)
        except OSError:
            pass
        data = read_response(sock)
    assert data.startswith(b"HTTP/1.1 400 ")
    assert cause_of(data) == "http: POST too large"
    assert rss_bytes() - before < 60 * 1024 * 1024


def test_a_longer_chunked_form_is_refused(server: ServerThread) -> None:
    with connect(server.port) as sock:
        head = b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\n" + FORM_HEAD
        sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        part = b"100000\r\n" + b"v" * (1 << 20) + b"\r\n"
        for _ in range(11):
            sock.sendall(part)
        assert cause_of(read_response(sock)) == "http: POST too large"


def test_a_body_that_breaks_off_is_an_unexpected_eof(server: ServerThread) -> None:
    head = b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\n" + FORM_HEAD
    for framing in (
        b"Content-Length: 10\r\n\r\nval",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nval",
    ):
        reply = exchange(server.port, head + framing, half_close=True)
        assert reply.status == 400
        assert cause_of(reply.data) == "unexpected EOF"


def test_a_bad_chunk_after_the_head_is_named(server: ServerThread) -> None:
    with connect(server.port) as sock:
        head = b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + FORM_HEAD
        sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the head has been read
        sock.sendall(b"3\r\nval\r\nzz\r\n")
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 400 ")
    assert cause_of(data) == "invalid byte in chunk length"


def test_a_put_followed_by_half_close_is_answered(server: ServerThread) -> None:
    data = put(b"/v2/keys/half", b"value=1", is_last=False)
    reply = exchange(server.port, data, half_close=True)
    assert reply.status == 201
    assert reply.body.endswith(b"}\n")


def test_pipelined_requests_before_a_half_close_are_all_answered(server: ServerThread) -> None:
    data = b"".join(put(b"/v2/keys/p%d" % n, b"value=1", is_last=False) for n in range(50))
    reply = exchange(server.port, data, half_close=True)
    assert reply.data.count(b"HTTP/1.1 201 Created\r\n") == 50


def test_pipelined_requests_are_answered_in_order(server: ServerThread) -> None:
    with connect(server.port) as sock:
        targets = [b"/v2/keys/none%d" % n for n in range(100)]
        lasts = [False] * 99 + [True]
        for target, is_last in zip(targets, lasts, strict=True):
            sock.sendall(request(target=target, is_last=is_last))
        data = read_all(sock)
    positions = [data.index(b'"/none%d"' % n) for n in range(100)]
    assert positions == sorted(positions)


def test_a_connection_can_be_used_again_after_an_error(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/a", b"value=%zz", is_last=False))
        assert cause_of(read_response(sock)) == 'invalid URL escape "%zz"'
        sock.sendall(request(b"PATCH", b"/v2/keys/a", is_last=False))
        assert read_response(sock).startswith(b"HTTP/1.1 405 ")
        sock.sendall(request(is_last=True))
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"identity", b"nonsense"])
def test_a_content_encoding_changes_nothing(server: ServerThread, encoding: bytes) -> None:
    header = b"Content-Encoding: %b\r\n" % encoding
    reply = exchange(server.port, put(b"/v2/keys/enc", b"value=plain", header))
    assert reply.status in (200, 201)
    assert b'"value":"plain"' in reply.body


def test_a_compressed_body_is_not_unpacked(server: ServerThread) -> None:
    body = b"value=" + gzip.compress(b"v" * 1000).replace(b"%", b"").replace(b";", b"")
    reply = exchange(server.port, put(b"/v2/keys/gz", body, b"Content-Encoding: gzip\r\n"))
    assert reply.status == 201
    assert b"\\u001f" in reply.body


def test_binary_keys_and_values_are_kept(server: ServerThread) -> None:
    name = b"/v2/keys/bin%00%FF%0A"
    value = b"value=" + b"".join(b"%%%02X" % byte for byte in range(256))
    assert exchange(server.port, put(name, value)).status == 201
    raw = put(b"/v2/keys/raw\xff\xfe", b"value=\x00\x80\xff")
    assert exchange(server.port, raw).status == 201
    shown = exchange(server.port, request(target=b"/v2/keys/raw%FF%FE"))
    assert b'"value":"\\u0000\\ufffd\\ufffd"' in shown.body


def test_a_path_of_10000_levels_is_written_listed_and_removed(server: ServerThread) -> None:
    top = b"/v2/keys/deep"
    path = top + b"/a" * 10_000
    assert exchange(server.port, put(path, b"value=x")).status == 201
    listed = exchange(server.port, request(target=top + b"?recursive=true"))
    assert listed.status == 200
    assert listed.data.count(b'"nodes":[') == 10_000
    assert exchange(server.port, request(b"DELETE", top + b"?recursive=true")).status == 200
    assert exchange(server.port, request(target=path)).status == 404


def test_a_slow_head_is_cut(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET /v2/keys/ HTTP/1.1\r\nHos")
        assert sock.recv(100) == b""


def test_a_slow_head_after_a_served_request_is_cut(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(request(is_last=False))
        read_response(sock)
        sock.sendall(b"GET /v2")
        assert sock.recv(100) == b""


def test_a_slow_body_is_cut(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/a", b"value=12345")[:-3])
        assert sock.recv(100) == b""


def test_an_idle_connection_is_kept(server: ServerThread) -> None:
    with connect(server.port) as first, connect(server.port) as second:
        second.sendall(request(is_last=False))
        read_response(second)
        for _ in range(2):  # the time that a half sent head is given, twice
            with connect(server.port) as slow:
                slow.sendall(b"GET")
                assert slow.recv(100) == b""
        for sock in (first, second):
            sock.sendall(request())
            assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_a_head_in_single_bytes_is_read(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in put(b"/v2/keys/slowly", b"value=1"):
            sock.sendall(bytes([byte]))
        assert read_all(sock).startswith(b"HTTP/1.1 201 ")


def test_a_body_that_nobody_reads_does_not_block(server: ServerThread) -> None:
    headers = b"Content-Length: 1000000\r\n"
    with connect(server.port) as sock:
        sock.sendall(request(b"GET", b"/v2/keys/", headers))
        assert read_response(sock).startswith(b"HTTP/1.1 200 ")


def test_clients_that_vanish_at_any_point_leave_nothing(server: ServerThread) -> None:
    data = put(b"/v2/keys/gone", b"value=12345678")
    for size in range(0, len(data), 7):
        with connect(server.port) as sock:
            sock.sendall(data[:size])
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # a reset, not a close


def test_many_connections_at_once(server: ServerThread) -> None:
    statuses: list[int] = []

    def ask(number: int) -> None:
        for _ in range(5):
            statuses.append(exchange(server.port, put(b"/v2/keys/m%d" % number, b"value=1")).status)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 80 + [201] * 20


def test_http_1_0_is_answered_as_1_0(server: ServerThread) -> None:
    exchange(server.port, put(b"/v2/keys/long", b"value=" + b"v" * 5000))
    short = exchange(server.port, b"GET /v2/keys/ HTTP/1.0\r\n\r\n")
    assert short.data.startswith(b"HTTP/1.0 200 OK\r\n")
    long = exchange(server.port, b"GET /v2/keys/long HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"Transfer-Encoding" not in long.data
    assert b"Content-Length" not in long.data
    assert long.body.startswith(b'{"action":"get"')
    assert long.body.endswith(b"}\n")


def test_http_1_0_keep_alive_is_granted_for_a_known_length(server: ServerThread) -> None:
    with connect(server.port) as sock:
        for _ in range(2):
            sock.sendall(b"GET /v2/keys/none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert b"Connection: keep-alive\r\n" in read_response(sock)


def test_an_absolute_target_is_a_path(server: ServerThread) -> None:
    reply = exchange(server.port, request(target=b"http://else.where:1/v2/keys/none?x=1"))
    assert reply.status == 404
    assert b'"/none"' in reply.body
    redirect = exchange(server.port, request(target=b"http://else.where"))
    assert redirect.status == 301
    assert b"Location: /\r\n" in redirect.data


def test_an_upgrade_is_not_taken(server: ServerThread) -> None:
    headers = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    with connect(server.port) as sock:
        sock.sendall(request(headers=headers, is_last=False))
        assert read_response(sock).startswith(b"HTTP/1.1 200 ")
        sock.sendall(request(is_last=True))
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_sends_nothing_and_half_closes_is_closed(server: ServerThread) -> None:
    for _ in range(50):  # the end may come before the connection's first turn
        assert exchange(server.port, b"", half_close=True).data == b""


def test_a_half_close_inside_a_body_that_nobody_reads_closes(server: ServerThread) -> None:
    data = request(b"GET", headers=b"Content-Length: 5\r\n", is_last=False)
    for _ in range(50):  # before, while and after the answer is written
        reply = exchange(server.port, data, half_close=True)
        assert reply.data.count(b"HTTP/1.1 200 OK\r\n") == 1


def test_nothing_is_answered_after_a_refusal(server: ServerThread) -> None:
    bad = request(target=b"/v2/keys/%zz", is_last=False)
    for follower in (bad, request(), put(b"/v2/keys/after", b"value=1"), b"garbage\r\n\r\n"):
        reply = exchange(server.port, bad + follower)
        assert reply.body == b"400 Bad Request"
    assert exchange(server.port, request(target=b"/v2/keys/after")).status == 404
