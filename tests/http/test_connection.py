"""One connection: what stands before a bad request is done, what follows an end is not."""

from collections.abc import Iterator

import pytest

from tests.http.rawsocket import FORM_HEAD, connect, exchange, put, read_all, read_response, request
from tests.http.server import ServerThread

BAD = b"GET /version HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "aiohttp"])
def shared(request: pytest.FixtureRequest) -> Iterator[ServerThread]:
    with ServerThread(is_fast=request.param) as one:
        yield one


@pytest.fixture
def server(shared: ServerThread, caplog: pytest.LogCaptureFixture) -> Iterator[ServerThread]:
    yield shared
    assert shared.errors == []
    assert [record for record in caplog.get_records("call") if record.exc_info] == []


def statuses(data: bytes) -> list[int]:
    """Return the status of each response; bodies must not hold a status line."""
    return [int(part[2:5]) for part in data.split(b"HTTP/1.")[1:]]


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_requests_before_a_bad_one_are_done_and_answered(server: ServerThread, count: int) -> None:
    good = b"".join(put(b"/v2/keys/n%d" % n, b"value=1", is_last=False) for n in range(count))
    exchange(server.port, request(b"DELETE", b"/v2/keys/n0"))
    reply = exchange(server.port, good + BAD + put(b"/v2/keys/never", b"value=1"))
    assert statuses(reply.data)[0] == 201
    assert statuses(reply.data)[-1] == 400
    assert len(statuses(reply.data)) == count + 1
    assert exchange(server.port, request(target=b"/v2/keys/n%d" % (count - 1))).status == 200
    assert exchange(server.port, request(target=b"/v2/keys/never")).status == 404


def test_a_refused_method_ends_no_connection(server: ServerThread) -> None:
    data = b"".join(
        request(method, b"/v2/keys/a", b"", b"value=1", is_last=False)
        for method in (b"get", b"FOO")
    )
    assert statuses(exchange(server.port, data + request()).data) == [405, 405, 200]


def test_raw_bytes_of_a_target_may_come_in_parts(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/u", b"value=1", is_last=False) + b"GET /v2/keys/\xc3")
        assert read_response(sock).startswith(b"HTTP/1.1 201 ")  # the first part has been read
        sock.sendall(b"\xa9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 404 ")
    assert '"cause":"/é"'.encode() in data


@pytest.mark.parametrize("encoding", [b"gzip, chunked", b"", b"identity", b"\x0bchunked"])
def test_only_chunked_bodies_are_stored(server: ServerThread, encoding: bytes) -> None:
    headers = FORM_HEAD + b"Transfer-Encoding: %b\r\n" % encoding
    data = request(b"PUT", b"/v2/keys/smuggled", headers) + b"7\r\nvalue=1\r\n0\r\n\r\n"
    assert exchange(server.port, data).status == 501
    assert exchange(server.port, request(target=b"/v2/keys/smuggled")).status == 404


def test_http_1_0_has_no_transfer_encoding(server: ServerThread) -> None:
    data = request(b"PUT", b"/v2/keys/old", FORM_HEAD + CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")
    reply = exchange(server.port, data + b"7\r\nvalue=1\r\n0\r\n\r\n")
    assert b'"value":""' in reply.body
    assert statuses(reply.data) == [201]


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        (b"PUT", b"/v2/keys/e", b"text/plain"),
        (b"PUT", b"/v2/keys/e", b"a/"),
        (b"GET", b"/version", b""),
        (b"PUT", b"/none", FORM_HEAD[14:-2]),
        (b"PUT", b"/v2/keys//e", FORM_HEAD[14:-2]),
    ],
)
def test_a_body_that_was_not_asked_for_is_no_request(
    server: ServerThread, method: bytes, target: bytes, kind: bytes
) -> None:
    inner = put(b"/v2/keys/inner", b"value=1", is_last=False)
    headers = b"Content-Type: %b\r\nExpect: 100-continue\r\nContent-Length: 9\r\n" % kind
    with connect(server.port) as sock:
        sock.sendall(request(method, target, headers, is_last=False))
        assert b"Connection: close\r\n" in read_response(sock)
        sock.sendall(inner)
        assert read_all(sock) == b""
    assert exchange(server.port, request(target=b"/v2/keys/inner")).status == 404


@pytest.mark.parametrize("lines", [b"Content-Length: 0\r\n", b""])
def test_an_empty_body_is_not_asked_for(server: ServerThread, lines: bytes) -> None:
    headers = FORM_HEAD + b"Expect: 100-continue\r\n" + lines
    data = request(b"PUT", b"/v2/keys/empty", headers, is_last=False)
    assert statuses(exchange(server.port, data + request()).data)[1:] == [200]


@pytest.mark.parametrize(("size", "is_kept"), [(200_000, True), (300_000, False)])
def test_a_large_body_that_nobody_reads_ends_the_connection(
    server: ServerThread, size: int, is_kept: bool
) -> None:
    data = request(b"PUT", b"/none", b"", b"v" * size, is_last=False)
    found = statuses(exchange(server.port, data + request()).data)
    assert found == ([404, 200] if is_kept else [404])


def test_only_the_last_answer_before_a_broken_body_says_close(server: ServerThread) -> None:
    broken = request(b"PUT", b"/v2/keys/b", FORM_HEAD + CHUNKED, is_last=False) + b"zz\r\n"
    data = exchange(server.port, request(is_last=False) * 3 + broken).data
    assert statuses(data) == [200, 200, 200, 400]
    assert data.count(b"Connection: close\r\n") == 1
    assert b'"cause":"invalid byte in chunk length"' in data


def test_a_bad_body_that_nobody_reads_does_not_hurt_its_request(server: ServerThread) -> None:
    data = request(b"GET", b"/v2/keys/", CHUNKED, is_last=False) + b"zz\r\n"
    reply = exchange(server.port, data)
    assert statuses(reply.data) == [200]
    assert b"Connection: close\r\n" in reply.data


def test_lines_may_end_without_carriage_returns(server: ServerThread) -> None:
    data = (
        b"PUT /v2/keys/lf HTTP/1.1\nHost: x\n" + FORM_HEAD[:-2] + b"\nContent-Length: 7\n\nvalue=1"
    )
    assert statuses(exchange(server.port, data + request()).data) == [201, 200]
