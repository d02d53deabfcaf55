"""Frames survive any cut of the bytes, and nothing else."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import PeerError
from etcdpy.http.peers.frames import HEAD_BYTES, Frame, FrameDecoder, FrameEncoder, FrameKind

ALL = frozenset(FrameKind)
FRAMES = [
    Frame(FrameKind.PING, b"12345678"),
    Frame(FrameKind.MESSAGES, b""),
    Frame(FrameKind.MESSAGES, bytes(range(256)) * 3),
    Frame(FrameKind.GOODBYE, b"why"),
]


def encoded(seed: int = 7) -> bytes:
    encoder = FrameEncoder(seed)
    return b"".join(encoder.encode(kind, payload) + payload for kind, payload in FRAMES)


@given(st.lists(st.integers(0, len(encoded())), max_size=8))
def test_frames_come_out_whole_however_they_are_cut(cuts: list[int]) -> None:
    data = encoded()
    decoder = FrameDecoder(7, ALL, 1024)
    got: list[Frame] = []
    edges = [0, *sorted(cuts), len(data)]
    for low, high in itertools.pairwise(edges):
        got += decoder.feed(data[low:high])
    assert got == FRAMES
    assert decoder.is_between_frames


@given(st.integers(0, len(encoded()) - 1), st.integers(1, 255))
def test_no_damaged_byte_gets_through(position: int, flip: int) -> None:
    data = bytearray(encoded())
    data[position] ^= flip
    decoder = FrameDecoder(7, ALL, 1024)
    try:
        got = decoder.feed(bytes(data))
    except PeerError:
        return
    # A length that grew leaves the frame waiting for bytes that never come.
    assert not decoder.is_between_frames
    assert got == FRAMES[: len(got)]


@given(st.binary(min_size=HEAD_BYTES, max_size=200))
def test_random_bytes_are_no_frames(data: bytes) -> None:
    decoder = FrameDecoder(7, ALL, 1024)
    try:
        got = decoder.feed(data)
    except PeerError:
        return
    assert got == []


def test_a_frame_of_another_stream_is_no_frame_of_this_one() -> None:
    with pytest.raises(PeerError, match="checksum"):
        FrameDecoder(8, ALL, 1024).feed(encoded(7))


def test_frames_do_not_change_places() -> None:
    encoder = FrameEncoder(7)
    first = encoder.encode(FrameKind.PING, b"a") + b"a"
    second = encoder.encode(FrameKind.PING, b"b") + b"b"
    with pytest.raises(PeerError, match="checksum"):
        FrameDecoder(7, ALL, 1024).feed(second + first)


def test_a_length_is_refused_before_its_bytes_come() -> None:
    head = FrameEncoder(7).encode(FrameKind.MESSAGES, bytes(1025))
    with pytest.raises(PeerError, match="1025 bytes, more than 1024"):
        FrameDecoder(7, ALL, 1024).feed(head)
