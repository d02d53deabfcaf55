"""Values to bytes and back: what stands in the log and what travels between peers.

A file of its own because its rule is another one than that of the values: nothing that comes in
is believed.  Every decoder checks types, ranges and sizes, so that the core, which asserts, is
only ever given what a correct peer could have sent.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgpack

from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
    make_entries,
)
from etcdpy.errors import PeerError

# An id or an index is an unsigned 64-bit number everywhere, as msgpack's widest integer is.
NUMBER_MAX = 2**64 - 1
# Terms and indexes are counted up from what is believed, and must fit when they are packed again:
# more than anybody reaches, and far enough below the widest integer.
PLACE_MAX = 2**62
# One entry holds one request, and the largest body that the API takes is a fraction of this.
ENTRY_BYTES_MAX = 64 << 20
# Far above what one append may carry (RaftConfig.append_bytes_max plus one entry): a decoder's
# bound on memory, not a tuning knob.
MESSAGES_BYTES_MAX = 128 << 20
# A batch is what one turn of the loop made; more than this is no batch of ours.
MESSAGES_COUNT_MAX = 65_536
# Clusters have up to nine members by practice; this only bounds what is decoded.
MEMBERS_COUNT_MAX = 1_024

_MESSAGE_FIELDS = len(Message._fields)
_ENTRY_KINDS = frozenset(map(int, EntryKind))
_CONF_CHANGE = int(EntryKind.CONF_CHANGE)
_CONF_CHANGE_KINDS = frozenset(map(int, ConfChangeKind))
_MESSAGE_KINDS = {int(kind): kind for kind in MessageKind}


def encode_conf_change(change: ConfChange) -> bytes:
    """Return the data of a CONF_CHANGE entry."""
    assert change.kind in _CONF_CHANGE_KINDS
    assert 0 < change.member_id <= NUMBER_MAX
    packed: bytes = msgpack.packb(
        (int(change.kind), change.member_id, change.context), use_bin_type=True
    )
    return packed


def decode_conf_change(data: bytes) -> ConfChange:
    """Return the change that `data` holds.

    Raises: PeerError if it holds none; nothing in our own log may do that.
    """
    fields = _unpack(data, ENTRY_BYTES_MAX)
    _require(isinstance(fields, tuple) and len(fields) == 3, "conf change: not three fields")
    kind, member_id, context = fields
    _require(type(kind) is int and kind in _CONF_CHANGE_KINDS, "conf change: unknown kind")
    _require(_is_number(member_id) and member_id > 0, "conf change: bad member id")
    _require(type(context) is bytes, "conf change: context is not bytes")
    return ConfChange(ConfChangeKind(kind), member_id, context)


def encode_messages(messages: Sequence[Message]) -> bytes:
    """Return one batch of messages as bytes, for one write."""
    packed: bytes = msgpack.packb(messages, use_bin_type=True)
    assert len(packed) <= MESSAGES_BYTES_MAX
    return packed


def decode_messages(data: bytes) -> list[Message]:
    """Return the messages of one batch, each of a shape that a correct peer can send.

    Raises: PeerError if anything in it is not.
    """
    batch = _unpack(data, MESSAGES_BYTES_MAX)
    _require(isinstance(batch, tuple), "not a batch of messages")
    _require(len(batch) <= MESSAGES_COUNT_MAX, "too many messages in one batch")
    return [_message(fields) for fields in batch]


def _unpack(data: bytes, bytes_max: int) -> Any:
    _require(len(data) <= bytes_max, f"{len(data)} bytes, more than {bytes_max}")
    try:
        return msgpack.unpackb(data, raw=False, use_list=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:  # text that is not UTF-8 is the first
        raise PeerError(f"not msgpack: {error}") from error


def _require(is_right: bool, complaint: str) -> None:
    if not is_right:
        raise _malformed(complaint)


def _malformed(complaint: str) -> PeerError:
    return PeerError(f"malformed message: {complaint}")


def _is_number(value: object) -> bool:
    # `bool` is an `int` to isinstance, and True would travel on as a member id.
    return type(value) is int and 0 <= value <= NUMBER_MAX


def _message(fields: Any) -> Message:
    _require(type(fields) is tuple and len(fields) == _MESSAGE_FIELDS, "field count")
    kind, to, sender, term, index, log_term, commit, rows, is_rejected, hint, context, meta = fields
    numbers = (kind, to, sender, term, index, log_term, commit, hint, context)
    _require(_are_numbers(numbers), "not an unsigned number")
    _require(kind in _MESSAGE_KINDS, "unknown kind")
    _require(to > 0 and sender > 0, "without a member id")
    _require(type(is_rejected) is bool, "is_rejected is not a truth value")
    entries = _entries(rows)
    snapshot = None if meta is None else _snapshot_meta(meta)
    message = Message(
        _MESSAGE_KINDS[kind],
        to,
        sender,
        term,
        index,
        log_term,
        commit,
        entries,
        is_rejected,
        hint,
        context,
        snapshot,
    )
    _check_content(message)
    return message


def _are_numbers(values: Collection[Any]) -> bool:
    # In a set of types, `bool` is another one than `int`; msgpack has no wider numbers.
    return set(map(type, values)) == {int} and min(values) >= 0


def _entries(rows: Any) -> tuple[Entry, ...]:
    """Check what an entry is made of; what calls nothing for each costs a third."""
    _require(type(rows) is tuple, "entries are not a list")
    bytes_max = ENTRY_BYTES_MAX
    for row in rows:
        if type(row) is not tuple or len(row) != 4:
            raise _malformed("entry without its four fields")
        term, index, kind, data = row
        if not type(term) is type(index) is type(kind) is int or term < 0 or index < 0:
            raise _malformed("entry: not an unsigned number")
        if kind not in _ENTRY_KINDS:
            raise _malformed("entry: unknown kind")
        if type(data) is not bytes or len(data) > bytes_max:
            raise _malformed("entry: bad data")
        if kind == _CONF_CHANGE:
            decode_conf_change(data)
    return tuple(make_entries(rows))


def _snapshot_meta(fields: Any) -> SnapshotMeta:
    _require(isinstance(fields, tuple) and len(fields) == 3, "snapshot: field count")
    index, term, conf = fields
    _require(_is_number(index) and _is_number(term), "snapshot: not an unsigned number")
    _require(index > 0 and term > 0, "snapshot: of nothing")
    _require(max(index, term) <= PLACE_MAX, "snapshot: beyond any log")
    _require(isinstance(conf, tuple) and len(conf) == 2, "snapshot: no configuration")
    voters, learners = _ids(conf[0]), _ids(conf[1])
    _require(len(voters) > 0, "snapshot: no voters")
    _require(not set(voters) & set(learners), "snapshot: both voter and learner")
    return SnapshotMeta(index, term, ConfState(voters, learners))


def _ids(ids: Any) -> tuple[int, ...]:
    _require(isinstance(ids, tuple) and len(ids) <= MEMBERS_COUNT_MAX, "not a list of ids")
    previous = 0
    for member_id in ids:
        _require(_is_number(member_id) and member_id > previous, "ids do not ascend")
        previous = member_id
    return tuple(ids)


def _check_content(message: Message) -> None:
    """Check what a kind says of its fields."""
    kind = message.kind
    _require(message.term > 0 or kind is MessageKind.REMOVED, "without a term")
    _require(max(message.term, message.log_term, message.commit) <= PLACE_MAX, "beyond any log")
    # A transfer's is the id of a member.
    _require(message.index <= PLACE_MAX or kind is MessageKind.TRANSFER, "beyond any log")
    _require((message.snapshot is not None) == (kind is MessageKind.SNAPSHOT), "snapshot misplaced")
    if message.snapshot is not None:
        _require(message.snapshot.term <= message.term, "snapshot: of a later term")
    if kind is MessageKind.APPEND:
        _check_run(message)
    elif kind is MessageKind.PROPOSE:
        _require(len(message.entries) > 0, "nothing proposed")
        _require(all(e.term == 0 and e.index == 0 for e in message.entries), "proposal has a place")
    else:
        _require(len(message.entries) == 0, "entries misplaced")


def _check_run(message: Message) -> None:
    """Check that the entries of an append follow on each other, in index and term."""
    _require(message.log_term <= message.term, "log term after the message's")
    index, term = message.index, message.log_term
    for entry_term, entry_index, _, _ in message.entries:
        index += 1
        if entry_index != index:
            raise _malformed("entries with a gap")
        if entry_term < term or entry_term == 0:
            raise _malformed("terms do not ascend")
        term = entry_term
    _require(term <= message.term, "terms do not ascend")
