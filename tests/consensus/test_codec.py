"""codec: what is written is read back, and nothing else is believed."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdpy.consensus import codec
from etcdpy.consensus.codec import (
    decode_conf_change,
    decode_messages,
    encode_conf_change,
    encode_messages,
)
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
)
from etcdpy.errors import PeerError

numbers = st.integers(0, 2**64 - 1)
places = st.integers(0, 2**62)
ids = st.integers(1, 2**64 - 1)
changes = st.builds(ConfChange, st.sampled_from(ConfChangeKind), ids, st.binary(max_size=20))


def append(index: int, log_term: int, terms: list[int], data: bytes) -> Message:
    entries = tuple(
        Entry(term, at, EntryKind.NORMAL, data) for at, term in enumerate(sorted(terms), index + 1)
    )
    return Message(MessageKind.APPEND, 1, 2, 9, index, log_term, 5, entries)


appends = st.builds(
    append,
    st.integers(0, 2**62),
    st.integers(0, 3),
    st.lists(st.integers(3, 9), max_size=4),
    st.binary(max_size=9),
)
answers = st.builds(
    Message,
    st.sampled_from([MessageKind.APPEND_RESPONSE, MessageKind.VOTE, MessageKind.READ_INDEX]),
    ids,
    ids,
    st.integers(1, 2**62),
    places,
    places,
    places,
    st.just(()),
    st.booleans(),
    numbers,
    numbers,
    st.none(),
)
PROPOSAL = Message(MessageKind.PROPOSE, 1, 2, 3, entries=(Entry(0, 0, 0, b"x"),), context=7)
SNAPSHOT = Message(
    MessageKind.SNAPSHOT, 1, 2, 3, snapshot=SnapshotMeta(5, 2, ConfState((1, 2), (3,)))
)
HEARTBEAT = Message(MessageKind.HEARTBEAT, 1, 2, 3)


@settings(max_examples=60, deadline=None)
@given(changes)
def test_a_change_is_read_back(change: ConfChange) -> None:
    assert decode_conf_change(encode_conf_change(change)) == change


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(appends, answers, st.just(PROPOSAL), st.just(SNAPSHOT)), max_size=4))
def test_messages_are_read_back(messages: list[Message]) -> None:
    read = decode_messages(encode_messages(messages))
    assert read == messages
    assert all(isinstance(message.kind, MessageKind) for message in read)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_anything_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_messages, decode_conf_change):
        try:
            decode(data)
        except PeerError:
            continue


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3), st.integers(0, 60))
def test_a_damaged_batch_is_read_or_refused(junk: bytes, at: int) -> None:
    data = encode_messages([PROPOSAL, SNAPSHOT])
    try:
        decode_messages(data[:at] + junk + data[at + len(junk) :])
    except PeerError:
        return


def with_field(message: Message, name: str, value: object) -> list[object]:
    return [value if field == name else getattr(message, field) for field in Message._fields]


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        (HEARTBEAT, "kind", 99),
        (HEARTBEAT, "kind", True),
        (HEARTBEAT, "kind", "APPEND"),
        (HEARTBEAT, "to", 0),
        (HEARTBEAT, "sender", 0),
        (HEARTBEAT, "sender", True),
        (HEARTBEAT, "term", -1),
        (HEARTBEAT, "term", 0),
        (HEARTBEAT, "index", "1"),
        (HEARTBEAT, "term", 2**62 + 1),
        (HEARTBEAT, "index", 2**62 + 1),
        (HEARTBEAT, "log_term", 2**62 + 1),
        (HEARTBEAT, "commit", 2**62 + 1),
        (HEARTBEAT, "commit", None),
        (HEARTBEAT, "context", 1.5),
        (HEARTBEAT, "hint", b""),
        (HEARTBEAT, "is_rejected", 1),
        (HEARTBEAT, "entries", None),
        (HEARTBEAT, "entries", [[1, 1, 0, b""]]),
        (HEARTBEAT, "snapshot", [5, 2, [[1], []]]),
        (SNAPSHOT, "snapshot", None),
        (SNAPSHOT, "snapshot", [5, 2]),
        (SNAPSHOT, "snapshot", [0, 2, [[1], []]]),
        (SNAPSHOT, "snapshot", [5, 0, [[1], []]]),
        (SNAPSHOT, "snapshot", [2**62 + 1, 2, [[1], []]]),
        (SNAPSHOT, "snapshot", [5, 4, [[1], []]]),  # of a later term than its sender's
        (SNAPSHOT, "snapshot", [5, -2, [[1], []]]),
        (SNAPSHOT, "snapshot", [5, 2, [[], [1]]]),
        (SNAPSHOT, "snapshot", [5, 2, [[1], [1]]]),
        (SNAPSHOT, "snapshot", [5, 2, [[2, 1], []]]),
        (SNAPSHOT, "snapshot", [5, 2, [[1]]]),
        (SNAPSHOT, "snapshot", [5, 2, [1, 2]]),
        (PROPOSAL, "entries", []),
        (PROPOSAL, "entries", [[3, 0, 0, b""]]),
        (PROPOSAL, "entries", [[0, 3, 0, b""]]),
        (PROPOSAL, "entries", [[0, 0, 7, b""]]),
        (PROPOSAL, "entries", [[0, 0, 0, "text"]]),
        (PROPOSAL, "entries", [[0, 0, 0]]),
        (PROPOSAL, "entries", [[0, -1, 0, b""]]),
        (PROPOSAL, "entries", [[0, 0, 1, b"no change"]]),
    ],
)
def test_a_malformed_message_is_refused(message: Message, name: str, value: object) -> None:
    with pytest.raises(PeerError):
        decode_messages(msgpack.packb([with_field(message, name, value)]))


@pytest.mark.parametrize(
    ("log_term", "entries"),
    [
        (4, []),
        (2, [[2, 7, 0, b""]]),
        (2, [[2, 6, 0, b""], [2, 8, 0, b""]]),
        (2, [[1, 6, 0, b""]]),
        (2, [[9, 6, 0, b""]]),
        (0, [[0, 6, 0, b""]]),
    ],
)
def test_an_append_must_follow_on_itself(log_term: int, entries: list[object]) -> None:
    fields = with_field(Message(MessageKind.APPEND, 1, 2, 3, 5, log_term), "entries", entries)
    with pytest.raises(PeerError):
        decode_messages(msgpack.packb([fields]))


@pytest.mark.parametrize(
    "batch",
    [b"", b"\xc1", msgpack.packb(5), msgpack.packb([5]), msgpack.packb([[1, 2]]), b"\x81\x01\x02"],
)
def test_what_is_no_batch_is_refused(batch: bytes) -> None:
    with pytest.raises(PeerError):
        decode_messages(batch)


@pytest.mark.parametrize(
    "fields", [5, [], [9, 1, b""], [True, 1, b""], [0, 0, b""], [0, "1", b""], [0, 1, "text"]]
)
def test_what_is_no_change_is_refused(fields: object) -> None:
    with pytest.raises(PeerError):
        decode_conf_change(msgpack.packb(fields))


def test_a_batch_is_bounded_in_bytes_and_count(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_messages([HEARTBEAT] * 3)
    monkeypatch.setattr(codec, "MESSAGES_COUNT_MAX", 2)
    with pytest.raises(PeerError, match="too many"):
        decode_messages(data)
    monkeypatch.setattr(codec, "MESSAGES_BYTES_MAX", 10)
    with pytest.raises(PeerError, match="more than 10"):
        decode_messages(data)


def test_an_entry_and_a_configuration_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "ENTRY_BYTES_MAX", 0)
    with pytest.raises(PeerError, match="bad data"):
        decode_messages(encode_messages([PROPOSAL]))
    monkeypatch.setattr(codec, "MEMBERS_COUNT_MAX", 1)
    with pytest.raises(PeerError, match="not a list of ids"):
        decode_messages(encode_messages([SNAPSHOT]))


def test_who_was_removed_may_be_told_without_a_term() -> None:
    told = Message(MessageKind.REMOVED, 1, 2)
    assert decode_messages(encode_messages([told])) == [told]


def test_the_id_of_a_transfer_may_be_any() -> None:
    transfer = Message(MessageKind.TRANSFER, 1, 2, 3, 2**64 - 1)
    assert decode_messages(encode_messages([transfer])) == [transfer]
