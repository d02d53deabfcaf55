"""The bytes of the log: what is written is read, and what was not written is not."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import FatalError
from etcdpy.store.record import (
    BAD_SHAPE,
    BATCH,
    FORMAT_VERSION,
    FRAME_HEAD_BYTES,
    Link,
    SegmentHead,
    check_ints,
    decode_batch,
    decode_install,
    decode_segment_head,
    encode_frame,
    encode_segment_head,
    find_frame,
    find_later_head,
)

SALT = b"saltsalt"
HEAD = SegmentHead(3, SALT, b"store", b"meta", Link(2, 100, 7), 9, 2, (2, 1, 8))
entries_strategy = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 255),
        st.binary(max_size=50),
    ).map(tuple)
)


@given(entries_strategy, st.none() | st.tuples(*[st.integers(0, 2**64 - 1)] * 3))
def test_a_batch_comes_back(
    entries: list[tuple[int, int, int, bytes]], hard_state: tuple[int, int, int] | None
) -> None:
    data, crc = encode_frame(SALT, BATCH, 0, msgpack.packb((hard_state, entries)))
    frame = find_frame(data, 0, SALT)
    assert frame is not None
    assert (frame.kind, frame.end, frame.crc) == (BATCH, len(data), crc)
    assert decode_batch(data, frame) == (hard_state, tuple(entries))


@given(st.binary(max_size=200))
def test_random_bytes_are_no_frame(data: bytes) -> None:
    assert find_frame(data, 0, SALT) is None
    assert find_frame(SALT + data, 0, SALT) is None


def test_a_frame_is_good_only_where_it_was_written() -> None:
    data, _ = encode_frame(SALT, BATCH, 8, b"body")
    assert find_frame(bytes(8) + data, 8, SALT) is not None
    assert find_frame(bytes(9) + data, 9, SALT) is None
    assert find_frame(bytes(8) + data, 8, b"another!") is None


def test_a_later_head_counts_only_where_it_says_it_is() -> None:
    stale, _ = encode_frame(SALT, BATCH, 3, b"body")
    real, _ = encode_frame(SALT, BATCH, 10 + len(stale), b"body")
    assert find_later_head(bytes(10) + stale + real, 0, SALT) == 10 + len(stale)
    assert find_later_head(bytes(10) + stale, 0, SALT) is None
    assert find_later_head(bytes(10) + stale + SALT, 0, SALT) is None


def test_a_segments_head_comes_back() -> None:
    data = encode_segment_head(HEAD)
    head, link = decode_segment_head(data + b"frames", "path")
    assert head == HEAD
    assert link.end == len(data)


def test_an_unknown_version_is_refused_by_name() -> None:
    data = bytearray(encode_segment_head(HEAD))
    data[8] = FORMAT_VERSION + 1
    with pytest.raises(FatalError, match=r"^/p: unknown format version 2 at offset 8: "):
        decode_segment_head(bytes(data), "/p")


@pytest.mark.parametrize(
    "changed",
    [
        {"salt": 7},
        {"sequence": -1},
        {"sequence": True},
        {"previous": (1, 2)},
        {"last_term": "x"},
        {"hard_state": (1, 2, 10)},
    ],
)
def test_a_whole_head_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(FatalError, match=r"^/p: the segment's head at offset 0 makes no sense"):
        decode_segment_head(encode_segment_head(HEAD._replace(**changed)), "/p")


@pytest.mark.parametrize("length", range(20))
def test_too_few_bytes_for_a_head_are_refused(length: int) -> None:
    with pytest.raises(FatalError, match="its head is damaged at offset 0"):
        decode_segment_head(encode_segment_head(HEAD)[:length], "/p")


def decode_body(body: bytes, decode: object = decode_batch) -> object:
    data, _ = encode_frame(SALT, BATCH, 0, body)
    frame = find_frame(data, 0, SALT)
    assert frame is not None
    assert callable(decode)
    return decode(data, frame)


@pytest.mark.parametrize(
    "value",
    [
        None,
        (None,),
        (None, None),
        (None, [(1, 2, 3)]),
        (None, [(1, 2, 3, "text")]),
        (None, [(1, True, 0, b"")]),
        ((1, 2), []),
        ((1, -2, 3), []),
        ("abc", []),
    ],
)
def test_a_whole_frame_that_is_no_batch_raises_what_callers_expect(value: object) -> None:
    with pytest.raises(BAD_SHAPE):
        decode_body(msgpack.packb(value))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\xc0", b"\x92\xc0\x90\x00"])
def test_a_whole_frame_that_is_no_msgpack_raises_what_callers_expect(body: bytes) -> None:
    with pytest.raises(BAD_SHAPE):
        decode_body(body)


def test_an_install_comes_back() -> None:
    assert decode_body(msgpack.packb(((1, 2, 3), 3, 1)), decode_install) == ((1, 2, 3), 3, 1)


def test_numbers_are_whole_and_not_negative() -> None:
    check_ints(0, 2**64)
    with pytest.raises(TypeError):
        check_ints(1, 1.5)
    with pytest.raises(ValueError, match="negative"):
        check_ints(-1)


def test_a_frames_head_has_the_length_that_is_said() -> None:
    assert len(encode_frame(SALT, BATCH, 0, b"")[0]) == FRAME_HEAD_BYTES
