"""The incoming side of a connection: the same events in whatever portions the bytes come."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etcdpy.http import wire
from etcdpy.http.heads import HEAD_BYTES_MAX, Head, HeadReader
from etcdpy.http.receiver import BodyPart, Event, Receiver, Refusal
from tests.http.rawsocket import put, request
from tests.http.test_fuzz import PIECES

GET = request(is_last=False)
PUT = put(b"/a", b"value=1", is_last=False)
CHUNKED = request(b"PUT", b"/c", b"Transfer-Encoding: chunked\r\n") + b"3\r\nabc\r\n0\r\n\r\n"
ODD = "FOO /é HTTP/1.1\nHost: x\nA: b\n c\n\n".encode()
BAD = b"GET /%zz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"


def new_receiver() -> Receiver:
    return Receiver(HeadReader(is_muxed=True))


def drain(receiver: Receiver) -> list[Event]:
    events = []
    while (event := receiver.next_event()) is not None:
        events.append(event)
    return events


def merged(events: list[Event]) -> list[Event]:
    """Return events with the parts of each body as one."""
    whole: list[Event] = []
    for event in events:
        last = whole[-1] if whole else None
        if isinstance(event, BodyPart) and isinstance(last, BodyPart) and not last.is_last:
            whole[-1] = BodyPart(last.data + event.data, event.is_last, event.fault)
        else:
            whole.append(event)
    return whole


def receive(data: bytes, portion: int) -> list[Event]:
    receiver = new_receiver()
    events = []
    for position in range(0, len(data), portion):
        receiver.feed(data[position : position + portion])
        events += drain(receiver)
    return merged(events)


@given(st.lists(st.sampled_from((GET, PUT, CHUNKED, ODD, BAD, *PIECES))), st.integers(1, 40))
@example([GET, PUT, CHUNKED, ODD, BAD, GET], 1)
def test_portions_change_nothing(pieces: list[bytes], portion: int) -> None:
    data = b"".join(pieces)
    in_portions, at_once = receive(data, portion), receive(data, max(1, len(data)))
    assert [said(event) for event in in_portions] == [said(event) for event in at_once]


def said(event: Event) -> object:
    """Return an event as a value that can be compared."""
    if not isinstance(event, Head):
        return event
    fields = event.fields
    lines = (list(fields.headers.items()), fields.body_size, fields.is_kept)
    return event.method, event.target, event.is_http10, lines


@pytest.mark.parametrize("portion", [1, 3, 10_000])
def test_requests_before_a_bad_one_are_whole_and_none_comes_after_it(portion: int) -> None:
    events = receive(GET + PUT + CHUNKED + ODD + BAD + GET, portion)
    heads = [event for event in events if isinstance(event, Head)]
    assert [head.method for head in heads] == ["GET", "PUT", "PUT", "FOO"]
    assert events[2] == BodyPart(b"value=1", True)
    assert events[4] == BodyPart(b"abc", True)
    assert events[-1] == Refusal(wire.refusal(400))


def test_a_first_line_is_judged_before_the_head_is_whole() -> None:
    receiver = new_receiver()
    receiver.feed(b"GET")
    assert drain(receiver) == []
    assert receiver.has_begun_head
    receiver.feed(b" /a b HTTP/1.1\r\n")
    assert drain(receiver) == [Refusal(b"")]
    assert not receiver.has_begun_head


@pytest.mark.parametrize("portion", [1000, 65536, 10_000_000])
@pytest.mark.parametrize("is_ended", [False, True])
def test_a_head_over_the_limit_is_refused_in_any_portions(portion: int, is_ended: bool) -> None:
    start = b"GET / HTTP/1.1\r\nHost: x\r\nA: "
    filler = b"v" * (HEAD_BYTES_MAX - len(start) - 4)
    assert isinstance(receive(start + filler + b"\r\n\r\n", portion)[0], Head)
    over = start + filler + b"v" + b"\r\n\r\n" * is_ended + b"v" * 5 * (not is_ended)
    assert receive(over, portion) == [Refusal(wire.refusal(431), is_too_long=True)]


def test_nothing_follows_a_broken_body() -> None:
    broken = request(b"PUT", b"/c", b"Transfer-Encoding: chunked\r\n") + b"3\r\nabcd\r\n"
    events = receive(broken + GET, 10_000)
    assert events[1:] == [BodyPart(b"abc", True, b"malformed chunked encoding")]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", None),
        (b"GET /a", Refusal(b"")),
        (b"GET /a HTTP/1.1\r\nHost", Refusal(wire.refusal(400))),
        (GET, None),
        (GET + b"GET /a", Refusal(wire.refusal(400))),
        (PUT[:-1], None),
    ],
)
def test_the_end_inside_a_head_is_refused(data: bytes, refusal: Refusal | None) -> None:
    receiver = new_receiver()
    receiver.feed(data)
    drain(receiver)
    assert receiver.end() == refusal


def test_stray_line_ends_are_skipped_after_a_post_only() -> None:
    post = request(b"POST", b"/a", b"", b"v", is_last=False)
    for portion in (1, 10_000):
        assert len(receive(post + b"\r\n\r\n" + GET, portion)) == 3
        assert isinstance(receive(post + b"\r\n\r\n\n" + GET, portion)[2], Refusal)
        assert isinstance(receive(PUT + b"\r\n" + GET, portion)[2], Refusal)
