"""The proxy keeps the messages of a stream's accepting side back, and nothing else of it."""

import pytest

from etcdpy.http.peers.frames import Frame, FrameDecoder, FrameEncoder, FrameKind
from tests.harness.answers import Answers

SEED = 0x1234
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: etcdpy-peer\r\nX-Etcdpy-Stream: 1234\r\n\r\n"
MESSAGE, PONG = Frame(FrameKind.MESSAGES, b"m" * 300), Frame(FrameKind.PONG, b"12345678")


def said(*frames: Frame) -> bytes:
    encoder = FrameEncoder(SEED ^ 0xFFFFFFFF)
    return b"".join(encoder.encode(kind, payload) + payload for kind, payload in frames)


def heard(data: bytes) -> list[Frame]:
    decoder = FrameDecoder(SEED ^ 0xFFFFFFFF, frozenset(FrameKind), 1000)
    return decoder.feed(data)


def test_all_passes_while_nothing_is_cut_in_whatever_pieces() -> None:
    answers, passed = Answers(), b""
    data = HEAD + said(PONG, MESSAGE, PONG)
    for start in range(0, len(data), 7):
        passed += answers.take(data[start : start + 7])
    assert passed == data


def test_messages_are_held_until_they_are_released() -> None:
    answers = Answers()
    passed = answers.take(HEAD + said(PONG, MESSAGE, PONG), is_held=True)
    assert passed.startswith(HEAD)
    passed += answers.release()
    assert heard(passed.removeprefix(HEAD)) == [PONG, PONG, MESSAGE]
    assert answers.release() == b""


def test_messages_are_counted() -> None:
    answers = Answers()
    answers.take(HEAD + said(PONG), is_held=True)
    assert answers.message_count == 0
    answers = Answers()
    answers.take(HEAD + said(MESSAGE, PONG, MESSAGE), is_held=True)
    assert answers.message_count == 2


@pytest.mark.parametrize("status", [b"HTTP/1.1 410 Gone", b"HTTP/1.1 101 X"])
def test_what_is_no_stream_passes(status: bytes) -> None:
    answers = Answers()
    data = status + b"\r\nContent-Length: 3\r\n\r\nabc"
    passed = answers.take(data[:20], is_held=True)
    assert passed + answers.take(data[20:], is_held=True) == data
