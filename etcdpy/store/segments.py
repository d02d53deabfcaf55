"""The segments of the write-ahead log as files: how one comes to be, and what is in all of them.

Apart from `wal`, which appends: this file only creates, lists and reads, and changes nothing that
is already durable.

A segment is written aside with its head, synced, and only then given its name: no segment can
have a torn head, and what a crash leaves of a creation is a file whose name ends in `.tmp`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from etcdpy.errors import FatalError
from etcdpy.store.files import Files, join, read_whole, refused
from etcdpy.store.notes import Note, StrangeFile, TailCut
from etcdpy.store.record import (
    SALT_BYTES,
    Frame,
    HardStateTuple,
    Link,
    SegmentHead,
    decode_segment_head,
    encode_segment_head,
    find_frame,
    find_later_head,
)

SEGMENT_SUFFIX = ".segment"
ASIDE_SUFFIX = SEGMENT_SUFFIX + ".tmp"
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})" + re.escape(SEGMENT_SUFFIX))


class Segment(NamedTuple):
    """A segment that has been read from end to end."""

    path: str
    head: SegmentHead
    head_end: int  # offset of the first frame


class Tail(NamedTuple):
    """How the last segment ends."""

    last_frame: bytes  # its last good frame, empty if it has none
    link: Link
    size: int  # of the file: all that follows `link.end` is zeros, if nothing is to be cut
    cut: TailCut | None  # what follows `link.end` and must go


class Scan(NamedTuple):
    """All segments, in order, their frames and links good."""

    segments: list[Segment]
    tail: Tail
    leftovers: list[str]  # paths of unfinished creations
    notes: list[Note]


class OpenSegment(NamedTuple):
    """A segment to append to."""

    segment: Segment
    handle: int
    link: Link
    size: int  # of the file, zeros behind `link.end`


def create_segment(files: Files, directory: str, head: SegmentHead) -> OpenSegment:
    """Create a segment, durable on return, and leave it open.

    Raises: OSError; what is left then has no segment's name.
    """
    path = join(directory, f"{head.sequence:016x}-{head.last_index + 1:016x}{SEGMENT_SUFFIX}")
    aside = path + ".tmp"
    data = encode_segment_head(head)
    handle = files.create(aside)
    files.write(handle, 0, data)
    files.fdatasync(handle)
    files.rename(aside, path)
    files.fsync_dir(directory)
    _, link = decode_segment_head(data, path)
    link = link._replace(sequence=head.sequence)
    return OpenSegment(Segment(path, head, link.end), handle, link, len(data))


def first_head(files: Files, store_id: bytes, metadata: bytes) -> SegmentHead:
    """Return the head of the first segment of a new log."""
    salt = files.random_bytes(SALT_BYTES)
    return SegmentHead(1, salt, store_id, metadata, Link(0, 0, 0), 0, 0, (0, 0, 0))


def next_head(
    files: Files, head: SegmentHead, link: Link, last: tuple[int, int], hard_state: HardStateTuple
) -> SegmentHead:
    """Return the head of the segment that follows the one that began with `head` and ended at
    `link`; `last` is the last entry's index and term.
    """
    salt = files.random_bytes(SALT_BYTES)
    return head._replace(
        sequence=head.sequence + 1,
        salt=salt,
        previous=link,
        last_index=last[0],
        last_term=last[1],
        hard_state=hard_state,
    )


def scan(files: Files, directory: str, store_id: bytes) -> Scan:
    """Read all segments and check each byte of each; changes nothing.

    Raises: FatalError naming file and offset for anything but a torn end of the last segment:
        a damaged head or frame, a segment missing, of another store, or cut short.
    """
    found, leftovers, notes = _list_segments(files, directory)
    segments: list[Segment] = []
    tail: Tail | None = None
    for position, (sequence, path) in enumerate(found):
        data = read_whole(files, path)
        head, link = decode_segment_head(data, path)
        if head.sequence != sequence:
            raise FatalError(f"{path}: its head at offset 0 says it is segment {head.sequence:x}")
        if head.store_id != store_id:
            raise FatalError(f"{path}: belongs to another data directory")
        if tail is not None:
            _check_link(segments[-1], tail.link, path, head)
        segments.append(Segment(path, head, link.end))
        tail = _read_tail(path, data, head.salt, link._replace(sequence=sequence))
        if tail.cut is not None and position + 1 < len(found):
            raise _damaged(path, tail.cut.offset, f"{found[position + 1][1]} follows it")
    if tail is None:
        raise FatalError(f"no write-ahead log segment in {directory}")
    return Scan(segments, tail, leftovers, notes)


def frames(data: bytes, salt: bytes, offset: int) -> Iterator[Frame]:
    """Yield the good frames from `offset` on, up to the first that is not."""
    frame = find_frame(data, offset, salt)
    while frame is not None:
        yield frame
        frame = find_frame(data, frame.end, salt)


def _list_segments(
    files: Files, directory: str
) -> tuple[list[tuple[int, str]], list[str], list[Note]]:
    """Return sequence and path of each segment in order, leftovers, and notes of strangers."""
    try:
        names = files.list_names(directory)
    except OSError as error:
        raise refused("read", directory, error) from error
    found: list[tuple[int, str]] = []
    leftovers: list[str] = []
    notes: list[Note] = []
    for name in names:
        path = join(directory, name)
        match = _NAME.fullmatch(name)
        if match:
            found.append((int(match[1], 16), path))
        elif name.endswith(ASIDE_SUFFIX):
            leftovers.append(path)
        else:
            notes.append(StrangeFile(path))
    return found, leftovers, notes


def _check_link(before: Segment, link: Link, path: str, head: SegmentHead) -> None:
    """Raise FatalError unless the segment at `path` follows the one before, ended at `link`."""
    expected = before.head.sequence + 1
    if head.sequence != expected:
        raise FatalError(
            f"write-ahead log segment {expected:016x} is missing between {before.path} and {path}"
        )
    if head.previous != link:
        raise FatalError(
            f"{before.path}: ends at offset {link.end}, not as {path} says "
            f"(at offset {head.previous.end}): frames are missing or are not its own"
        )


def _read_tail(path: str, data: bytes, salt: bytes, link: Link) -> Tail:
    """Walk a segment's frames from `link.end` to the end.

    Raises: FatalError if a bad frame has another one after it.
    """
    last: Frame | None = None
    for frame in frames(data, salt, link.end):
        last = frame
    if last is not None:
        link = link._replace(end=last.end, crc=last.crc)
    later = find_later_head(data, link.end, salt)
    if later is not None:
        raise _damaged(path, link.end, f"the frame at offset {later} follows it")
    end = len(data.rstrip(b"\0"))
    cut = TailCut(path, link.end, end - link.end) if link.end < end else None
    last_frame = b"" if last is None else data[last.offset : last.end]
    return Tail(last_frame, link, len(data), cut)


def _damaged(path: str, offset: int, proof: str) -> FatalError:
    return FatalError(
        f"{path}: damaged frame at offset {offset}: it had been durable, for {proof}; "
        f"restore this member's data or remove the member and add it anew"
    )
