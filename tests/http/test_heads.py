"""Heads, judged by Go's rules: what is taken, and what is refused with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http import wire
from etcdpy.http.heads import (
    CHUNKED,
    SILENCE,
    FieldError,
    Fields,
    Head,
    HeadReader,
    find_end,
    read_fields,
    split_fields,
)

HOST = b"Host: x\r\n\r\n"
BAD = wire.refusal(400)


def read(head: bytes, *, is_first: bool = True, is_muxed: bool = True) -> Head | bytes:
    return HeadReader(is_muxed=is_muxed).read(head, is_first=is_first)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1),
        (b"a\r\n", -1),
        (b"a\r\n\r", -1),
        (b"a\r\n\r\nb", 5),
        (b"a\n\nb", 3),
        (b"a\n\r\nb", 4),
        (b"a\n\nb\r\n\r\n", 3),
        (b"a\r\n\r\n\n\n", 5),
        (b"a\n\n\r\n", 3),
        (b"a\r\n \r\n\r\n", 8),
    ],
)
def test_a_head_ends_with_the_first_empty_line(data: bytes, end: int) -> None:
    assert find_end(data) == end


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (b"\r\n", []),
        (b"A: b\r\nc:d\n\n", [(b"A", b"b"), (b"c", b"d")]),
        (b"A: \t b \t\r\n\r\n", [(b"A", b"b")]),
        (b"A: b\r\n c\r\n\t d \r\n\r\n", [(b"A", b"b c d")]),
        (b"A:\r\n b\r\n\r\n", [(b"A", b"b")]),
        (b": b\r\nA:\r\n\r\n", [(b"A", b"")]),
        (b"A : b:c\r\n\r\n", [(b"A ", b"b:c")]),
        (b"A: b\rc\r\n\r\n", [(b"A", b"b\rc")]),
    ],
)
def test_a_block_is_split_into_fields(block: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    assert list(split_fields(block)) == fields


@pytest.mark.parametrize(
    ("block", "cause"),
    [
        (b" A: b\r\n\r\n", b"malformed MIME header initial line:  A: b"),
        (b'A: b\r\nc "d\r\n\r\n', b'malformed MIME header: missing colon: "c \\"d"'),
        (b"A\r\n : b\r\n\r\n", b'malformed MIME header: missing colon: "A"'),
    ],
)
def test_a_line_that_is_no_field_is_named(block: bytes, cause: bytes) -> None:
    with pytest.raises(FieldError) as caught:
        list(split_fields(block))
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("head", "method", "target", "is_http10"),
    [
        (b"FOO /a HTTP/1.1\r\n" + HOST, "FOO", b"/a", False),
        (b"get /\xc3?\xa9 HTTP/1.0\r\n\r\n", "get", b"/\xc3?\xa9", True),
        (b"M-SEARCH * HTTP/1.2\n" + HOST, "M-SEARCH", b"*", False),
        (b"CONNECT x:80 HTTP/1.1\r\n\r\n", "CONNECT", b"x:80", False),
    ],
)
def test_a_head_is_taken_as_it_came(
    head: bytes, method: str, target: bytes, is_http10: bool
) -> None:
    taken = read(head)
    assert isinstance(taken, Head)
    assert (taken.method, taken.target, taken.is_http10) == (method, target, is_http10)


@pytest.mark.parametrize(
    "line",
    [b"", b"hello", b"GET /a", b"GET /a b HTTP/1.1", b"GET  /a HTTP/1.1", b"GET /a HTTP/1.10"],
)
def test_what_is_no_request_line_gets_silence_first_and_400_later(line: bytes) -> None:
    head = line + b"\r\n" + HOST
    assert read(head) == SILENCE
    assert read(head, is_first=False) == BAD
    assert read(head, is_muxed=False) == BAD


def test_another_version_gets_silence_first_and_505_later() -> None:
    head = b"GET /a HTTP/2.0\r\n" + HOST
    assert read(head) == SILENCE
    assert read(head, is_first=False) == wire.refusal(505, ": unsupported protocol version")


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        (b"GET %zz HTTP/1.1\r\nA\r\n\r\n", BAD),
        (b"GET /%zz HTTP/1.1\r\n\r\n", BAD),
        (b"G(T /a HTTP/1.1\r\n\r\n", BAD),
        (b"GET /a HTTP/1.1\r\n\r\n", wire.refusal(400, ": missing required Host header")),
        (b"GET /a HTTP/1.1\r\nHOST: y\r\n" + HOST, BAD),
        (b"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n", wire.refusal(400, ": malformed Host header")),
        (b"GET /a HTTP/1.1\r\nb\r\n" + HOST, BAD),
        (b"GET /a HTTP/1.1\r\nb : c\r\n" + HOST, wire.refusal(400, ": invalid header name")),
        (b"GET /a HTTP/1.1\r\nb: \x7f\r\n" + HOST, wire.refusal(400, ": invalid header value")),
    ],
)
def test_the_first_check_that_fails_words_the_refusal(lines: bytes, refusal: bytes) -> None:
    assert read(lines) == refusal


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        (b"", 0),
        (b"Content-Length:\r\n", 0),
        (b"Content-Length: 7\r\ncontent-length: 7 \r\n", 7),
        (b"Content-Length: %b9\r\n" % (b"0" * 5000), 9),
        (b"Content-Length: 9223372036854775807\r\n", 9223372036854775807),
        (b"Transfer-Encoding: ChunkeD\r\n", CHUNKED),
    ],
)
def test_the_size_of_a_body_is_known(lines: bytes, size: int) -> None:
    fields = read_fields(lines + b"\r\n", is_http10=False, needs_host=False)
    assert (fields.body_size, fields.refusal) == (size, b"")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 7\r\nContent-Length: 07\r\n",
        b"Content-Length: 7,7\r\n",
        b"Content-Length: +7\r\n",
        b"Content-Length: -7\r\n",
        b"Content-Length: 9223372036854775808\r\n",
        b"Content-Length: %b\r\n" % (b"9" * 5000),
        b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTrailer: a, Trailer\r\n",
    ],
)
def test_a_body_of_doubtful_size_is_refused(lines: bytes) -> None:
    assert read_fields(lines + b"\r\n", is_http10=False, needs_host=False).refusal == BAD


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding: \r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"transfer-encoding: identity\r\n",
    ],
)
def test_only_chunked_is_an_encoding_and_none_for_1_0(lines: bytes) -> None:
    refused = read_fields(lines + b"\r\n", is_http10=False, needs_host=False)
    assert refused.refusal == wire.UNSUPPORTED_ENCODING
    ignored = read_fields(b"Content-Length: 3\r\n\r\n", is_http10=True, needs_host=False)
    assert (ignored.refusal, ignored.body_size) == (b"", 3)


@pytest.mark.parametrize(
    ("lines", "is_kept", "is_kept_by_10"),
    [
        (b"", True, False),
        (b"Connection: foo, Keep-Alive\r\n", True, True),
        (b"Connection: close, keep-alive\r\n", False, True),
        (b"Connection: foo\r\nConnection: CLOSE\r\n", False, False),
        (b"Connection: foo\r\nConnection: keep-alive\r\n", True, False),
    ],
)
def test_a_connection_is_kept_by_its_versions_rule(
    lines: bytes, is_kept: bool, is_kept_by_10: bool
) -> None:
    for is_http10, expected in ((False, is_kept), (True, is_kept_by_10)):
        fields = read_fields(lines + b"\r\n", is_http10=is_http10, needs_host=False)
        assert fields.is_kept == expected


def test_blocks_are_remembered_up_to_a_bound_and_by_what_they_depend_on() -> None:
    reader = HeadReader(is_muxed=False)
    for number in range(1000):
        head = b"GET / HTTP/1.1\r\nA: %d\r\n%b" % (number, HOST)
        first, second = (reader.read(head, is_first=False) for _ in range(2))
        assert isinstance(first, Head)
        assert isinstance(second, Head)
        assert first.fields is second.fields
        assert first.fields.headers["a"] == str(number)
        assert len(reader._usual) <= 256
    lines = b"Transfer-Encoding: chunked\r\n\r\n"
    old = reader.read(b"PUT / HTTP/1.0\r\n" + lines, is_first=False)
    connect = reader.read(b"CONNECT / HTTP/1.1\r\n" + lines, is_first=False)
    assert isinstance(old, Head)
    assert isinstance(connect, Head)
    assert (old.fields.body_size, connect.fields.body_size) == (0, CHUNKED)
    assert reader.read(b"PUT / HTTP/1.1\r\n" + lines, is_first=False) == wire.refusal(
        400, ": missing required Host header"
    )


def test_long_blocks_are_not_remembered() -> None:
    reader = HeadReader(is_muxed=False)
    reader.read(b"GET / HTTP/1.1\r\nA: %b\r\n%b" % (b"v" * 2000, HOST), is_first=False)
    assert not any(reader._blocks.values())


LINES = (
    b"Host: x",
    b"Authorization: Basic c2VjcmV0",
    b"AUTHORIZATION:c2VjcmV0 ",
    b"authorization : c2VjcmV0",
    b" authorization: c2VjcmV0",
    b"Authorization: c2VjcmV0\x01",
    b"Authorization:",
    b"authorization: Basic c2VjcmV0",
    b"Authorization:  c2VjcmV0",
    b"Authorization: c2VjcmV0 more",
    b"Authorization: c2VjcmV0 ",
    b"Authorization: c2VjcmV0\xff",
    b"A: Authorization: c2VjcmV0",
    b"\tfolded",
    b"A: b",
    b"no colon",
    b"Bad Name: b",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
)


def said(fields: Fields) -> tuple[object, ...]:
    """Return all that a block says, its headers first."""
    return (
        list(fields.headers.items()),
        fields.body_size,
        fields.is_kept,
        fields.refusal,
        fields.authorization,
        fields.content_type,
        fields.has_expectation,
    )


ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n"))


@given(st.lists(st.tuples(st.sampled_from(LINES), ENDS), max_size=5), ENDS)
def test_a_password_is_read_as_ever_and_never_remembered(
    lines: list[tuple[bytes, bytes]], end: bytes
) -> None:
    block = b"".join(line + its_end for line, its_end in [*lines, (b"", end)])
    reader = HeadReader(is_muxed=False)
    for _ in range(2):
        found = reader._find_guarded(block)
        if found is None:
            found = reader._read_fields(block, is_http10=False, needs_host=True)
        expected = read_fields(block, is_http10=False, needs_host=True)
        assert said(found)[1:] == said(expected)[1:]
        password = expected.headers.get("Authorization", "")
        assert found.authorization == password.encode("utf-8", "surrogateescape")
        for name in ("Host", "A"):
            assert found.headers.getall(name, []) == expected.headers.getall(name, [])
        remembered = [said(fields) for fields in reader._usual.values() if fields.headers]
        assert "c2VjcmV0" not in repr((list(reader._usual), remembered))


@pytest.mark.parametrize("name", [b"Authorization", b"authorization"])
def test_a_usual_block_with_a_password_is_found_by_its_rest(name: bytes) -> None:
    reader = HeadReader(is_muxed=False)
    head = b"GET / HTTP/1.1\r\n%b: %b\r\nHost: x\r\n\r\n"
    for password in (b"Basic first", b"Basic second"):
        found = reader.read(head % (name, password), is_first=False)
        assert isinstance(found, Head)
        assert found.fields.authorization == password
    guarded = reader._find_guarded(b"Host: x\r\n%b: Basic third\r\n\r\n" % name)
    assert guarded is not None
    assert said(guarded)[4] == b"Basic third"


@given(st.binary(), st.booleans())
def test_any_bytes_are_judged(data: bytes, is_first: bool) -> None:
    assert isinstance(read(data, is_first=is_first), bytes | Head)
