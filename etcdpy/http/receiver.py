"""What a client sends, as events: heads, parts of bodies, or the words that end the connection.

A file of its own because it is the automaton of one connection's incoming side, without I/O: it
is fed bytes in any portions and gives one event after the other, so that a request is known
before anything behind it is looked at, and a bad one spoils none before it.
Source: RFC 9112.
"""

from typing import NamedTuple

from etcdpy.http import wire
from etcdpy.http.chunks import TRUNCATED, ChunkReader
from etcdpy.http.heads import CHUNKED, HEAD_BYTES_MAX, Head, HeadReader, find_end

# So many CR and LF after the body of a POST are skipped, for the sake of very old clients.
_STRAY_BYTES_MAX = 4


class BodyPart(NamedTuple):
    """Some of the body of the request that began last; a `fault` ends it before its end."""

    data: bytes
    is_last: bool
    fault: bytes = b""


class Refusal(NamedTuple):
    """The end: what comes is no request; `data` are the last words, maybe none."""

    data: bytes
    is_too_long: bool = False


Event = Head | BodyPart | Refusal


class Receiver:
    """The incoming side of one connection.  `feed` it, then take events until there is none."""

    __slots__ = (
        "_chunks",
        "_data",
        "_head",
        "_head_bytes_max",
        "_heads",
        "_is_first",
        "_is_line_seen",
        "_is_over",
        "_left",
        "_position",
        "_stray_bytes",
    )

    def __init__(self, heads: HeadReader, head_bytes_max: int = HEAD_BYTES_MAX) -> None:
        self._heads = heads
        self._head_bytes_max = head_bytes_max
        self._is_first = True  # no request has been read
        self._is_over = False  # after a refusal or fault: no boundary is known any more
        self._data = b""
        self._position = 0  # in `_data`: what is before it has been given out
        self._head = bytearray()  # one that has begun in an earlier portion
        self._is_line_seen = False  # the first line of `_head`, and found good
        self._stray_bytes = 0  # CR and LF that may still be skipped
        self._left = 0  # bytes of the body that have not come
        self._chunks: ChunkReader | None = None

    @property
    def has_begun_head(self) -> bool:
        """Whether there is a head that is not whole."""
        return bool(self._head)

    @property
    def unread_bytes(self) -> int:
        """How much has come that was not looked at, and may hold the next event."""
        return 0 if self._is_over else len(self._data) - self._position

    @property
    def is_chunked(self) -> bool:
        """Whether the body that is being received comes in chunks."""
        return self._chunks is not None

    @property
    def truncation(self) -> bytes:
        """Go's words for a body that ends here."""
        return TRUNCATED if self._chunks is None else self._chunks.truncation

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0

    def end(self) -> Refusal | None:
        """Hear that nothing more comes; returns what is to be said of a head that is not whole."""
        if self._is_over or not self._head:
            return None
        line = bytes(self._head).partition(b"\n")[0]
        refusal = self._heads.refuse_line(line, is_first=self._is_first)
        return self._refuse(wire.refusal(400) if refusal is None else refusal)

    def next_event(self) -> Event | None:
        """Return what comes next, None when that needs more bytes."""
        if self._is_over or self._position >= len(self._data):
            return None
        if self._chunks is not None:
            return self._next_chunks(self._chunks)
        if self._left:
            part = self._data[self._position : self._position + self._left]
            self._position += len(part)
            self._left -= len(part)
            return BodyPart(part, not self._left)
        return self._next_head()

    def take_whole_body(self) -> bytes | None:
        """Return the body of the head that was the last event, None if it is not all here."""
        end = self._position + self._left
        if end > len(self._data) or self._chunks is not None:
            return None
        body = self._data[self._position : end]
        self._position = end
        self._left = 0
        return body

    def _next_chunks(self, chunks: ChunkReader) -> BodyPart | None:
        parts, self._data = chunks.feed(self._data[self._position :])
        self._position = 0
        if chunks.is_done:
            self._chunks = None
            self._is_over = bool(chunks.fault)
        elif not parts:
            return None
        return BodyPart(b"".join(parts), chunks.is_done, chunks.fault)

    # Heads

    def _next_head(self) -> Head | Refusal | None:
        if self._stray_bytes:
            self._skip_stray_bytes()
        if self._head:
            whole = self._go_on()
        else:
            end = find_end(self._data, self._position)
            whole = None if end < 0 else self._data[self._position : end]
            if whole is None:
                self._head += self._data[self._position :]
            self._position = len(self._data) if end < 0 else end
        if len(self._head if whole is None else whole) > self._head_bytes_max:
            return self._refuse(wire.refusal(431), is_too_long=True)
        return self._wait() if whole is None else self._begin(whole)

    def _skip_stray_bytes(self) -> None:
        while self._stray_bytes and self._data[self._position : self._position + 1] in b"\r\n":
            self._position += 1
            self._stray_bytes -= 1
            if self._position == len(self._data):
                return
        self._stray_bytes = 0

    def _go_on(self) -> bytes | None:
        """Add what has come to the head that has begun; returns it when it is whole."""
        searched = max(0, len(self._head) - 2)
        self._head += self._data[self._position :]
        self._position = len(self._data)
        end = find_end(self._head, searched)
        if end < 0:
            return None
        whole = bytes(self._head[:end])
        self._data = bytes(self._head[end:])
        self._position = 0
        self._head = bytearray()
        return whole

    def _wait(self) -> Refusal | None:
        """Look at the first line of a head that is not whole, once it is there."""
        if self._is_line_seen or not self._head:
            return None
        newline = self._head.find(b"\n")
        if newline < 0:
            return None
        self._is_line_seen = True
        line = bytes(self._head[:newline])
        refusal = self._heads.refuse_line(line, is_first=self._is_first)
        return None if refusal is None else self._refuse(refusal)

    def _begin(self, whole: bytes) -> Head | Refusal:
        head = self._heads.read(whole, is_first=self._is_first)
        self._is_line_seen = False
        if isinstance(head, bytes):
            return self._refuse(head)
        self._is_first = False
        self._stray_bytes = _STRAY_BYTES_MAX if head.method == "POST" else 0
        size = head.fields.body_size
        if size == CHUNKED:
            self._chunks = ChunkReader()
        else:
            self._left = size
        return head

    def _refuse(self, data: bytes, *, is_too_long: bool = False) -> Refusal:
        self._is_over = True
        self._head.clear()
        return Refusal(data, is_too_long)
