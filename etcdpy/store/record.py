"""The bytes of the write-ahead log: the head of a segment, and frames.

A file of its own because this is a disk format: whatever changes here needs a new
`FORMAT_VERSION` and a way to read the old one.

A frame is what one fsync makes durable, whole or not at all.  Each segment draws a random salt
and begins each of its frames with it: nobody who does not read our disk can store a value that
looks like a frame.  A frame also carries the end of the previous durable frame, which is where
it begins itself, because no frame is written before the one before it is durable.  So a bad
frame that is followed by another frame's head had been durable, and is rot; a bad frame that is
followed by none is a tear.  Behind the last frame there may be zeros, for the next ones.

    segment  = "etcdpyWL" version:u32 length:u32 crc:u32 body   (crc over version, length, body)
    frame    = salt:8 kind:u32 length:u32 previous_end:u64 crc:u32 body   (crc over the rest)
    body     = msgpack: a SegmentHead; of a BATCH [hard_state | nil, [[term, index, kind, data]..]];
               of an INSTALL [hard_state, index, term]
All numbers little-endian.
"""

import struct
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from etcdpy.errors import FatalError

FORMAT_VERSION = 1
SEGMENT_MAGIC = b"etcdpyWL"
SALT_BYTES = 8

BATCH = 1  # entries and, or, a hard state
INSTALL = 2  # a snapshot from another member replaced the log

_SEGMENT = struct.Struct("<8sIII")
_FRAME = struct.Struct("<8sIIQ")
_CRC = struct.Struct("<I")
FRAME_HEAD_BYTES = _FRAME.size + _CRC.size

EntryTuple = tuple[int, int, int, bytes]  # term, index, kind, data
HardStateTuple = tuple[int, int, int]  # term, vote, commit

# Everything that unpacking arbitrary bytes, or taking apart what came out, can raise.
BAD_SHAPE = (ValueError, TypeError, msgpack.UnpackException)


class Link(NamedTuple):
    """Where a segment ended: what the next one's head says of it.  All 0 before the first."""

    sequence: int
    end: int
    crc: int  # of the last frame, or of the head if there was none


class SegmentHead(NamedTuple):
    """What a segment says of itself and of all that came before it.

    `last_index` and `last_term` are those of the last entry before the segment (of the snapshot
    if the log begins after one), `hard_state` is what was in force when the segment began.
    """

    sequence: int
    salt: bytes
    store_id: bytes
    metadata: bytes
    previous: Link
    last_index: int
    last_term: int
    hard_state: HardStateTuple


class Frame(NamedTuple):
    """A good frame in a segment's bytes; its body is at [end - length, end)."""

    kind: int
    offset: int
    length: int
    end: int
    crc: int


def encode_segment_head(head: SegmentHead) -> bytes:
    """Return the first bytes of a segment."""
    body: bytes = msgpack.packb(head)
    crc = crc32(body, crc32(struct.pack("<II", FORMAT_VERSION, len(body))))
    return _SEGMENT.pack(SEGMENT_MAGIC, FORMAT_VERSION, len(body), crc) + body


def decode_segment_head(data: bytes, path: str) -> tuple[SegmentHead, Link]:
    """Return the head at the start of a segment's bytes, and the link that ends right after it.

    Raises: FatalError naming the file: a head is made durable before the segment gets its name,
        so one that is damaged is never a tear.
    """
    if len(data) < _SEGMENT.size or not data.startswith(SEGMENT_MAGIC):
        raise FatalError(f"{path}: not a write-ahead log segment: its head is damaged at offset 0")
    _, version, length, crc = _SEGMENT.unpack_from(data)
    if version != FORMAT_VERSION:
        raise FatalError(
            f"{path}: unknown format version {version} at offset {len(SEGMENT_MAGIC)}: "
            f"this program reads version {FORMAT_VERSION}"
        )
    end = _SEGMENT.size + length
    body = data[_SEGMENT.size : end]
    if len(body) != length or crc != crc32(body, crc32(struct.pack("<II", version, length))):
        raise FatalError(f"{path}: the segment's head is damaged at offset 0")
    try:
        return _segment_head(msgpack.unpackb(body, use_list=False)), Link(0, end, crc)
    except BAD_SHAPE as error:
        raise FatalError(f"{path}: the segment's head at offset 0 makes no sense") from error


def _segment_head(values: Any) -> SegmentHead:
    """Return the head that the unpacked values are.  Raises ValueError or TypeError if none."""
    sequence, salt, store_id, metadata, previous, index, term, hard_state = values
    for text in (salt, store_id, metadata):
        if not isinstance(text, bytes):
            raise TypeError("bytes expected")
    check_ints(sequence, index, term)
    check_ints(*previous)
    state = as_hard_state(hard_state)
    if state[2] > index:
        raise ValueError("commit past the log's end")
    return SegmentHead(sequence, salt, store_id, metadata, Link(*previous), index, term, state)


def encode_frame(salt: bytes, kind: int, previous_end: int, body: bytes) -> tuple[bytes, int]:
    """Return the frame's bytes and its CRC."""
    head = _FRAME.pack(salt, kind, len(body), previous_end)
    crc = crc32(body, crc32(head))
    return b"".join((head, _CRC.pack(crc), body)), crc


def find_frame(data: bytes, offset: int, salt: bytes) -> Frame | None:
    """Return the frame that begins at `offset`, None if what is there is not a good one."""
    body_at = offset + FRAME_HEAD_BYTES
    if body_at > len(data):
        return None
    found_salt, kind, length, previous_end = _FRAME.unpack_from(data, offset)
    end = body_at + length
    if found_salt != salt or previous_end != offset or end > len(data):
        return None
    with memoryview(data) as view:
        crc = crc32(view[body_at:end], crc32(view[offset : offset + _FRAME.size]))
    if crc != _CRC.unpack_from(data, offset + _FRAME.size)[0]:
        return None
    return Frame(kind, offset, length, end, crc)


def find_later_head(data: bytes, offset: int, salt: bytes) -> int | None:
    """Return where, after `offset`, another frame begins, be its body good or bad.

    Its existence proves that all before it had been durable, see the head of this file.
    """
    at = data.find(salt, offset + 1)
    while at >= 0:
        if at + _FRAME.size <= len(data) and _FRAME.unpack_from(data, at)[3] == at:
            return at
        at = data.find(salt, at + 1)
    return None


def check_ints(*values: object) -> None:
    """Raise TypeError unless all are whole numbers, ValueError if one is negative."""
    for value in values:
        if type(value) is not int:
            raise TypeError("a whole number expected")
        if value < 0:
            raise ValueError("a negative number")


def as_hard_state(values: Any) -> HardStateTuple:
    """Return the hard state that the unpacked values are.  Raises ValueError or TypeError."""
    term, vote, commit = values
    check_ints(term, vote, commit)
    return (term, vote, commit)


def decode_batch(data: bytes, frame: Frame) -> tuple[HardStateTuple | None, tuple[EntryTuple, ...]]:
    """Return what a BATCH frame holds.

    Raises: one of BAD_SHAPE, if its bytes are whole but are not a batch.
    """
    hard_state, entries = _unpack(data, frame)
    for term, index, kind, value in entries:
        if not (type(term) is type(index) is type(kind) is int and type(value) is bytes):
            raise TypeError("an entry is three whole numbers and bytes")
    return None if hard_state is None else as_hard_state(hard_state), entries


def decode_install(data: bytes, frame: Frame) -> tuple[HardStateTuple, int, int]:
    """Return the hard state, index and term that an INSTALL frame holds.

    Raises: one of BAD_SHAPE, if its bytes are whole but are not that.
    """
    hard_state, index, term = _unpack(data, frame)
    check_ints(index, term)
    return as_hard_state(hard_state), index, term


def _unpack(data: bytes, frame: Frame) -> Any:
    with memoryview(data) as view:
        return msgpack.unpackb(view[frame.end - frame.length : frame.end], use_list=False)
