"""What the parser refuses, told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http import refused, wire
from etcdpy.http.refused import Understood

HOST = b"Host: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "understood"),
    [
        (b"FOO /a HTTP/1.1\r\n" + HOST, Understood("FOO", b"/a", False)),
        (b"get /a?b HTTP/1.0\r\n\r\n", Understood("get", b"/a?b", True)),
        (b"M-SEARCH * HTTP/1.1\r\n" + HOST + b"more", Understood("M-SEARCH", b"*", False)),
    ],
)
def test_a_head_that_go_would_take_is_understood(head: bytes, understood: Understood) -> None:
    assert refused.judge(head) == understood


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        (b"", b""),
        (b"hello\r\n\r\n", b""),
        (b"GET /a b HTTP/1.1\r\n" + HOST, b""),
        (b"GET /a HTTP/2.0\r\n" + HOST, b""),
        (b"FOO /a HTTP/1.1\r\nHost: x\r\n", wire.refusal(400)),
        (b"F(O /a HTTP/1.1\r\n" + HOST, wire.refusal(400)),
        (b"FOO /a HTTP/1.1\r\nx\r\n\r\n", wire.refusal(400)),
        (b"FOO /a HTTP/1.1\r\n: x\r\n\r\n", wire.refusal(400, ": invalid header name")),
        (b"FOO /a HTTP/1.1\r\nA: b\r\n\r\n", wire.refusal(400, ": missing required Host header")),
        (b"FOO /a HTTP/1.1\r\nHOST: b\r\n" + HOST, wire.refusal(400)),
        (b"PUT /a HTTP/1.1\r\nTransfer-Encoding: x\r\n" + HOST, wire.UNSUPPORTED_ENCODING),
    ],
)
def test_anything_else_gets_gos_refusal_or_silence(head: bytes, refusal: bytes) -> None:
    assert refused.judge(head) == refusal


@given(st.binary())
def test_any_bytes_are_judged(data: bytes) -> None:
    assert isinstance(refused.judge(data), bytes | Understood)


def test_raw_bytes_of_a_target_are_escaped_and_nothing_else() -> None:
    data = b"GET /\xc3\xa9?\xff HTTP/1.1\r\nX: \xff\r\n\r\n\xff"
    assert refused.escape_target(data, is_start=True) == (
        b"GET /%c3%a9?%ff HTTP/1.1\r\nX: \xff\r\n\r\n\xff"
    )
    assert refused.escape_target(data, is_start=False) == data
    assert refused.escape_target(b"GET /\xff", is_start=True) == b"GET /%ff"
    headers = b"GET / HTTP/1.1\r\nX: \xff"
    assert refused.escape_target(headers, is_start=True) == headers
