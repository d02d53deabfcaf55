"""Framing: lengths, chunks, HEAD, HTTP/1.0, Connection."""

import email.utils

import pytest

from etcdpy.http import wire
from etcdpy.http.wire import Framing, Response

DATE = b"Date: now\r\n"
SHORT = b"x" * 2048
LONG = b"x" * 2049


def encode(response: Response, framing: Framing = wire.PLAIN) -> bytes:
    return wire.encode(response, framing, DATE)


def head_and_body(data: bytes) -> tuple[bytes, bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def test_a_short_body_has_a_length() -> None:
    data = encode(Response(200, b"A: b\r\n", b"hi"))
    expected = b"HTTP/1.1 200 OK\r\n%bA: b\r\n%bContent-Length: 2\r\n\r\nhi"
    assert data == expected % (wire.CORS, DATE)


def test_more_than_2048_bytes_are_chunked() -> None:
    assert b"Content-Length: 2048\r\n" in encode(Response(200, b"", SHORT))
    head, body = head_and_body(encode(Response(200, b"", LONG)))
    assert b"Transfer-Encoding: chunked\r\n" in head
    assert b"Content-Length" not in head
    assert body == b"801\r\n" + LONG + b"\r\n0\r\n\r\n"


def test_head_has_the_length_but_not_the_body() -> None:
    framing = Framing(is_head=True)
    head, body = head_and_body(encode(Response(200, b"", SHORT), framing))
    assert b"Content-Length: 2048\r\n" in head
    assert body == b""
    head, body = head_and_body(encode(Response(200, b"", LONG), framing))
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head
    assert body == b""


def test_http_1_0_is_never_chunked_and_closes_what_has_no_length() -> None:
    kept = Framing(is_http10=True, is_keep_alive=True)
    head, body = head_and_body(encode(Response(200, b"", LONG), kept))
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length" not in head
    assert b"Connection" not in head
    assert body == LONG
    assert not wire.is_kept(Response(200, b"", LONG), kept)
    assert wire.is_kept(Response(200, b"", SHORT), kept)
    assert b"Connection: keep-alive\r\n" in encode(Response(200, b"", SHORT), kept)
    closed = Framing(is_http10=True, is_keep_alive=False)
    assert b"Connection" not in encode(Response(200, b"", SHORT), closed)


def test_a_closing_response_says_so() -> None:
    response = Response(417, is_bare=True, is_closing=True)
    assert b"Connection: close\r\n" in encode(response)
    assert b"Access-Control" not in encode(response)
    assert not wire.is_kept(response, wire.PLAIN)
    assert b"Connection: close\r\n" in encode(Response(200), Framing(is_keep_alive=False))
    assert b"Connection" not in encode(Response(200))


def test_a_hidden_length_is_left_out() -> None:
    assert b"Content-Length" not in encode(Response(301, is_length_hidden=True))
    assert b"Content-Length: 0\r\n" in encode(Response(301))


@pytest.mark.parametrize("is_keep_alive", [False, True])
def test_the_head_of_a_stream(is_keep_alive: bool) -> None:
    framing = Framing(is_keep_alive=is_keep_alive)
    head = wire.encode_stream_head(b"A: b\r\n", framing, DATE)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n" + wire.CORS + b"A: b\r\n" + DATE)
    assert head.endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    assert (b"Connection: close\r\n" in head) is not is_keep_alive
    old = wire.encode_stream_head(b"", Framing(is_http10=True), DATE)
    assert b"Transfer-Encoding" not in old


def test_a_chunk_has_its_size_in_hexadecimal() -> None:
    assert wire.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_refusals_are_text_and_repeat_their_reason() -> None:
    assert wire.refusal(400, ": why") == (
        b"HTTP/1.1 400 Bad Request: why\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Connection: close\r\n\r\n400 Bad Request: why"
    )


@pytest.mark.parametrize("second", [0, 784_111_777, 1_795_223_807])
def test_dates_are_those_of_the_standard(second: int) -> None:
    expected = email.utils.formatdate(second, usegmt=True)
    assert wire.http_date(second) == f"Date: {expected}\r\n".encode()


def test_the_date_moves_with_the_clock() -> None:
    seconds = iter([0.0, 0.9, 1.0])
    line = wire.DateLine(lambda: next(seconds))
    first = line()
    assert line() is first
    assert line() == wire.http_date(1)
