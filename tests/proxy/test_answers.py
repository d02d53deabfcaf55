"""The reader of answers: every split of the bytes gives the same, and nonsense is refused."""

import pytest

from etcdpy.proxy.answers import (
    HEAD_BYTES_MAX,
    AnswerHead,
    AnswerPart,
    AnswerReader,
    BadAnswerError,
)

SIZED = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


def read(*pieces: bytes, is_for_head: bool = False) -> tuple[AnswerHead, bytes, bool]:
    """Return the head, the body, and whether the answer is done."""
    reader = AnswerReader(is_for_head=is_for_head)
    head, body, is_last = None, b"", False
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            if isinstance(event, AnswerHead):
                assert head is None
                head = event
            else:
                assert isinstance(event, AnswerPart)
                assert not is_last
                body += event.data
                is_last = event.is_last
    assert head is not None
    assert not is_last or reader.is_done
    return head, body, reader.is_done


@pytest.mark.parametrize("data", [SIZED, CHUNKED])
def test_every_split_gives_the_same(data: bytes) -> None:
    for at in range(1, len(data)):
        head, body, is_done = read(data[:at], data[at:])
        assert (head.status, body, is_done) == (200, b"hello", True)
    head, body, is_done = read(*(data[i : i + 1] for i in range(len(data))))
    assert (head.status, body, is_done) == (200, b"hello", True)
    assert head.is_kept


def test_headers_are_found_whatever_their_case() -> None:
    head, _, _ = read(SIZED)
    assert head.find(b"x-etcd-index") == b"7"
    assert head.find(b"missing") is None


def test_an_answer_to_head_and_a_204_have_no_body() -> None:
    _, body, is_done = read(SIZED.removesuffix(b"hello"), is_for_head=True)
    assert (body, is_done) == (b"", True)
    _, body, is_done = read(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (body, is_done) == (b"", True)


def test_a_preliminary_answer_is_skipped() -> None:
    head, body, _ = read(b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED)
    assert (head.status, body) == (200, b"hello")


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    reader = AnswerReader(is_for_head=False)
    reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhello")
    head, part = reader.next_event(), reader.next_event()
    assert isinstance(head, AnswerHead)
    assert not head.is_kept
    assert part == AnswerPart(b"hello", is_last=False)
    assert reader.end()


@pytest.mark.parametrize("data", [SIZED[:-1], CHUNKED[:-5], CHUNKED[:-1], SIZED[:20], b""])
def test_an_answer_that_breaks_off_is_not_whole(data: bytes) -> None:
    reader = AnswerReader(is_for_head=False)
    reader.feed(data)
    while reader.next_event() is not None:
        pass
    assert not reader.end()


@pytest.mark.parametrize(
    "data",
    [
        b"BAD\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        SIZED + b"more",
        b"x" * (HEAD_BYTES_MAX + 1),
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswerError):
        read(data)
