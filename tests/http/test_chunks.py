"""Chunked bodies in any portions, and Go's words for broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http.chunks import LINE_BYTES_MAX, ChunkReader


def feed_all(data: bytes, portion: int) -> tuple[ChunkReader, bytes, bytes]:
    """Return the reader, the body, and what was left over."""
    reader, body, left = ChunkReader(), b"", b""
    for position in range(0, len(data), portion):
        part = data[position : position + portion]
        if reader.is_done:
            left += part
            continue
        parts, rest = reader.feed(part)
        assert reader.is_done or not rest
        body += b"".join(parts)
        left += rest
    return reader, body, left


@pytest.mark.parametrize("portion", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"\r\n\r\n", b""),
        (b"3\r\nabc\r\nA;x\n0123456789\r\n00;y\r\n\r\n", b"abc0123456789"),
        (b"1 \t\r\na\r\n0\r\nX: y\r\nZ: \r\n\r\n", b"a"),
    ],
)
def test_a_body_is_the_same_in_any_portions(data: bytes, body: bytes, portion: int) -> None:
    reader, found, left = feed_all(data + b"next", portion)
    assert (reader.is_done, reader.fault, found, left) == (True, b"", body, b"next")


def test_a_trailer_ends_with_its_first_empty_line() -> None:
    reader, body, left = feed_all(b"1\r\na\r\n0\r\nX: y\n\n\r\n\r\nnext", 1000)
    assert (reader.is_done, body, left) == (True, b"a", b"\r\n\r\nnext")


@pytest.mark.parametrize("portion", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"zz\r\n", b"invalid byte in chunk length"),
        (b"7 ;x\r\n", b"invalid byte in chunk length"),
        (b"f" * 16 + b"z\r\n", b"invalid byte in chunk length"),
        (b"f" * 17 + b"z\r\n", b"http chunk length too large"),
        (b"1;" + b"x" * LINE_BYTES_MAX + b"\r\n", b"header line too long"),
        (b"1\r\naXX0\r\n", b"malformed chunked encoding"),
        (b"1\na\n0\n", b"malformed chunked encoding"),
        (b"0\r\nX y\r\n\r\n", b'malformed MIME header: missing colon: "X y"'),
        (
            b"0\r\nX: " + b"y" * LINE_BYTES_MAX + b"\r\n\r\n",
            b"http: suspiciously long trailer after chunked body",
        ),
    ],
)
def test_a_broken_body_is_named_in_gos_words(data: bytes, fault: bytes, portion: int) -> None:
    reader, _, _ = feed_all(data, portion)
    assert (reader.is_done, reader.fault) == (True, fault)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", b"unexpected EOF"),
        (b"3\r\na", b"unexpected EOF"),
        (b"0\r\n", b"http: unexpected EOF reading trailer"),
        (b"0\r\n\r", b"http: unexpected EOF reading trailer"),
        (b"0\r\nX: y\r\n", b"http: suspiciously long trailer after chunked body"),
    ],
)
def test_an_end_in_the_middle_has_words_too(data: bytes, words: bytes) -> None:
    reader = ChunkReader()
    reader.feed(data)
    assert not reader.is_done
    assert reader.truncation == words


@given(st.lists(st.binary(min_size=1), max_size=5), st.integers(1, 20))
def test_what_is_encoded_is_decoded(parts: list[bytes], portion: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    reader, body, left = feed_all(data, portion)
    assert (reader.is_done, body, left) == (True, b"".join(parts), b"")


@given(st.binary(), st.integers(1, 5))
def test_any_bytes_are_taken(data: bytes, portion: int) -> None:
    whole, body, _ = feed_all(data, max(1, len(data)))
    pieces, body_of_pieces, _ = feed_all(data, portion)
    assert (pieces.fault, pieces.is_done, body_of_pieces) == (whole.fault, whole.is_done, body)
