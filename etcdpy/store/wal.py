"""The write-ahead log: append a batch, durable on return; cut to a new segment; purge old ones.

Rules for changing this file:

- One append is one frame, one write, one fdatasync.  The next frame is not begun before.  Who does
  the fdatasync is the caller's choice: `append` waits for it; between `begin` and `end_begun`
  it goes on beside.
- A write or fsync that failed is never tried again: what the system then holds in memory and what
  is on the disk are not known to be the same, and a second fsync that succeeds says nothing of
  pages that the first one dropped.  The log refuses everything from then on; the process must end,
  and the next start reads back what there is and makes the last frame durable by writing it anew.
- Frames are written over zeros, which are there by the quarter of a megabyte: a file that neither
  grows nor needs new blocks is made durable in two thirds of the time.  Nothing but zeros may
  follow the last frame when the next one is begun.
- A new segment is complete under its name, and its name durable, before a frame goes into it.

What an append costs beside its fdatasync, with entries of 350 bytes on a 2-core machine: 6 µs for a
frame of one entry, 30 µs for one of 64, 120 µs for one of 256; about half of it is the copy into
the system's memory.

Which segments `purge` removes: the oldest, while there are more than `--max-wals`, and only such as
the newest snapshot does not need.  That snapshot has been read back, and normally the segments
that are kept reach back to the one before it too; that an older snapshot can replace a rotten one
is not promised beyond that, as in etcd, so that disk use stays what the operator asked for.
"""

from collections.abc import Sequence

import msgpack

from etcdpy.errors import FatalError
from etcdpy.store.files import Files, Flusher, reason, refused
from etcdpy.store.record import (
    BATCH,
    INSTALL,
    EntryTuple,
    HardStateTuple,
    Link,
    encode_frame,
)
from etcdpy.store.replay import LogEnd
from etcdpy.store.segments import (
    OpenSegment,
    Scan,
    Segment,
    create_segment,
    first_head,
    next_head,
)

SEGMENT_BYTES = 64_000_000  # a segment that has reached this is followed by a new one, as in etcd
AHEAD_BYTES = 256 * 1024  # zeros written behind a frame that does not fit before the file's end

_CLOSED = "the write-ahead log is closed"


class Wal:
    """The log's files, open for appending.  One call at a time; most of them block.

    Invariant: `end` describes what is durable, and nothing more.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        segments: Sequence[Segment],
        current: OpenSegment,
        *,
        end: LogEnd,
        segment_bytes: int,
        ahead_bytes: int,
    ) -> None:
        self.end = end
        self._files = files
        self._directory = directory
        self._segments = list(segments)  # ascending, the last one is `current`
        self._segment_bytes = segment_bytes
        self._ahead_bytes = ahead_bytes
        self._packer = msgpack.Packer()
        self._failure = ""
        self._frame_bytes = 0  # of the last one
        self._begun: tuple[HardStateTuple | None, Sequence[EntryTuple]] | None = None
        self._use(current)

    @classmethod
    def create(
        cls,
        files: Files,
        directory: str,
        store_id: bytes,
        metadata: bytes,
        *,
        segment_bytes: int,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> "Wal":
        """Begin a new log in an empty directory.  Raises: FatalError if the disk refused."""
        try:
            current = create_segment(files, directory, first_head(files, store_id, metadata))
        except OSError as error:
            raise refused("create a write-ahead log in", directory, error) from error
        end = LogEnd(0, 0, (0, 0, 0))
        return cls(
            files,
            directory,
            [current.segment],
            current,
            end=end,
            segment_bytes=segment_bytes,
            ahead_bytes=ahead_bytes,
        )

    @classmethod
    def resume(
        cls,
        files: Files,
        directory: str,
        scan: Scan,
        end: LogEnd,
        *,
        segment_bytes: int,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> "Wal":
        """Go on with a log that was read back: cut its torn end, and make the rest durable.

        What was read may be only in the system's memory: the process may have been killed before
        its fsync, or that fsync failed.  Hence the last frame is written again, byte for byte.

        Raises: FatalError if the disk refused.
        """
        segment, tail = scan.segments[-1], scan.tail
        try:
            for path in scan.leftovers:
                files.unlink(path)
            files.fsync_dir(directory)
            handle = files.open(segment.path)
            files.write(handle, tail.link.end - len(tail.last_frame), tail.last_frame)
            if tail.cut:
                files.truncate(handle, tail.link.end)
            files.fdatasync(handle)
        except OSError as error:
            raise refused("make durable", segment.path, error) from error
        size = tail.link.end if tail.cut else tail.size
        return cls(
            files,
            directory,
            scan.segments,
            OpenSegment(segment, handle, tail.link, size),
            end=end,
            segment_bytes=segment_bytes,
            ahead_bytes=ahead_bytes,
        )

    @property
    def segment_count(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    def flusher(self) -> Flusher | None:
        """Return what can make the log's file durable beside this process, if there is such."""
        return self._files.flusher()

    def append(self, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]) -> None:
        """Write one frame and make it durable.  Entries may replace a tail that is not committed.

        Raises: FatalError if the disk refused, now or ever before, or if the batch breaks a rule
            that Raft never breaks (a gap, a committed entry replaced, a second vote, a term or
            a commit that cannot be); then nothing is written.
        """
        self._check(hard_state, entries)
        self._write(BATCH, self._packer.pack((hard_state, entries)))
        self.end.advance(hard_state, entries)

    def begin(self, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]) -> int | None:
        """Write what `append` would; return what is to be made durable before `end_begun`.

        None, and nothing written, where a new segment has to be made: that is for `append`.
        Raises: FatalError as `append`.
        """
        self._check(hard_state, entries)
        if self._link.end >= self._segment_bytes:
            return None
        self._put(BATCH, self._packer.pack((hard_state, entries)))
        self._begun = hard_state, entries
        return self._handle

    def end_begun(self, error: OSError | None) -> None:
        """Take note of how making it durable ended.  Raises: FatalError if the disk refused."""
        assert self._begun is not None
        if error is not None:
            raise self._not_durable(error) from error
        self.end.advance(*self._begun)
        self._begun = None

    def install(self, hard_state: HardStateTuple, index: int, term: int) -> None:
        """Let the log begin anew after a snapshot from another member, durable on return.

        The snapshot's file must be durable already.  Raises: FatalError as `append`.
        """
        self._refuse_after_failure()
        violation = LogEnd(index, term, self.end.hard_state).find_violation(hard_state, ())
        if violation or index <= self.end.hard_state[2] or hard_state[2] != index:
            raise FatalError(
                f"will not let the log in {self._directory} begin anew after entry {index}: "
                f"{violation or f'entry {self.end.hard_state[2]} is committed'}"
            )
        self._write(INSTALL, self._packer.pack((hard_state, index, term)))
        self.end.install(hard_state, index, term)

    def purge(self, snapshot_index: int, segments_max: int) -> list[str]:
        """Remove the oldest segments beyond `segments_max` (0 keeps all) that a snapshot at
        `snapshot_index` does not need, and return their paths.

        Each removal is durable before the next, so that no crash leaves a hole.
        Raises: FatalError if the disk refused.
        """
        self._refuse_after_failure()
        removed: list[str] = []
        while 0 < segments_max < len(self._segments):
            if self._segments[1].head.last_index > snapshot_index:
                break
            path = self._segments[0].path
            try:
                self._files.unlink(path)
                self._files.fsync_dir(self._directory)
            except OSError as error:
                raise self._failed("remove", path, error) from error
            del self._segments[0]
            removed.append(path)
        return removed

    def close(self) -> None:
        """Close the file; the log refuses everything from then on."""
        if self._failure != _CLOSED:
            self._failure = _CLOSED
            self._files.close(self._handle)

    def _use(self, current: OpenSegment) -> None:
        self._current = current.segment
        self._handle = current.handle
        self._link = current.link
        self._size = current.size  # of the file, zeros behind the last frame

    def _check(self, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]) -> None:
        """Raises: FatalError where `append` would before it writes."""
        self._refuse_after_failure()
        assert self._begun is None
        violation = self.end.find_violation(hard_state, entries)
        if violation:
            raise FatalError(f"will not write to the log in {self._directory}: {violation}")

    def _write(self, kind: int, body: bytes) -> None:
        if self._link.end >= self._segment_bytes:
            self._cut()
        self._put(kind, body)
        try:
            self._files.fdatasync(self._handle)
        except OSError as error:
            raise self._not_durable(error) from error

    def _put(self, kind: int, body: bytes) -> None:
        """Write one frame, not durable yet."""
        sequence, offset, _ = self._link
        frame, crc = encode_frame(self._current.head.salt, kind, offset, body)
        self._link = Link(sequence, offset + len(frame), crc)
        self._frame_bytes = len(frame)
        end = offset + len(frame)
        if end > self._size:
            frame += bytes(min(self._ahead_bytes, max(0, self._segment_bytes - end)))
            self._size = offset + len(frame)
        try:
            self._files.write(self._handle, offset, frame)
        except OSError as error:
            raise self._not_durable(error) from error

    def _cut(self) -> None:
        """Go on in a new segment."""
        end = self.end
        head = next_head(
            self._files, self._current.head, self._link, (end.index, end.term), end.hard_state
        )
        try:
            current = create_segment(self._files, self._directory, head)
            self._files.close(self._handle)
        except OSError as error:
            raise self._failed("create a segment in", self._directory, error) from error
        self._segments.append(current.segment)
        self._use(current)

    def _refuse_after_failure(self) -> None:
        if self._failure:
            raise FatalError(self._failure)

    def _not_durable(self, error: OSError) -> FatalError:
        """Refuse everything from now on: the last frame did not reach the disk."""
        offset = self._link.end - self._frame_bytes
        action = f"write {self._frame_bytes} bytes at offset {offset} of"
        return self._failed(action, self._current.path, error)

    def _failed(self, action: str, path: str, error: OSError) -> FatalError:
        """Refuse everything from now on; return the error that says so."""
        self._failure = f"cannot {action} {path}: {reason(error)}"
        return FatalError(self._failure)
