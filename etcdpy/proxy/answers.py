"""What a member sends back, as events: the head of its answer, parts of the body, its end.

A file of its own because it is the automaton of one connection's other side, without I/O: the twin
of `http.receiver`, for answers.  What is no HTTP/1 answer is refused, and everything is bounded.
Source: RFC 9112.
"""

from typing import NamedTuple

from etcdpy.http.chunks import ChunkReader
from etcdpy.http.heads import FieldError, find_end, split_fields

#: A longer head is no answer of a member.
HEAD_BYTES_MAX = 1 << 20

_CHUNKED = -1
_UNTIL_CLOSED = -2
_WITHOUT_BODY = frozenset((204, 304))
_LENGTH_DIGITS_MAX = 19


class AnswerHead(NamedTuple):
    """The first part of an answer; names and values are as they came.

    `is_kept` says whether the connection takes another request after it.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    is_kept: bool

    def find(self, name: bytes) -> bytes | None:
        """Return the value of the first header of that lower-case name, None for none."""
        return next((value for found, value in self.fields if found.lower() == name), None)


class AnswerPart(NamedTuple):
    """Some of the body; the last part may be empty."""

    data: bytes
    is_last: bool


class BadAnswerError(Exception):
    """What comes is no answer; the connection is of no use any more."""


class AnswerReader:
    """Reads one answer: `feed` it, then take events until there is none."""

    __slots__ = ("_chunks", "_data", "_is_done", "_is_for_head", "_is_head_read", "_left")

    def __init__(self, *, is_for_head: bool) -> None:
        """`is_for_head` says that HEAD was asked, whose answers have no body."""
        self._is_for_head = is_for_head
        self._is_head_read = False
        self._is_done = False
        self._data = b""
        self._left = 0  # bytes of the body that have not come, or one of the marks above
        self._chunks: ChunkReader | None = None

    @property
    def is_done(self) -> bool:
        """Whether the answer is complete."""
        return self._is_done

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._data = self._data + data if self._data else data

    def end(self) -> bool:
        """Hear that nothing more comes; tell whether the answer is complete with that."""
        if self._is_head_read and self._left == _UNTIL_CLOSED and self._chunks is None:
            self._is_done = True
        return self._is_done

    def next_event(self) -> AnswerHead | AnswerPart | None:
        """Return what comes next, None when that needs more bytes.  Raises: BadAnswerError."""
        if self._is_done:
            if self._data:
                raise BadAnswerError("bytes after the end of an answer")
            return None
        if not self._is_head_read:
            return self._next_head()
        if self._chunks is not None:
            return self._next_chunks(self._chunks)
        return self._next_bytes()

    def _next_head(self) -> AnswerHead | None:
        while True:
            end = find_end(self._data)
            if (len(self._data) if end < 0 else end) > HEAD_BYTES_MAX:
                raise BadAnswerError("the head of an answer is too long")
            if end < 0:
                return None
            block, self._data = self._data[:end], self._data[end:]
            line, _, rest = block.partition(b"\n")
            status, is_http10 = _read_status_line(line.removesuffix(b"\r"))
            if status >= 200:
                break
        try:
            fields = tuple(split_fields(rest))
        except FieldError as error:
            raise BadAnswerError(error.cause.decode("latin-1")) from error
        self._is_head_read = True
        return self._begin_body(status, fields, is_http10=is_http10)

    def _begin_body(
        self, status: int, fields: tuple[tuple[bytes, bytes], ...], *, is_http10: bool
    ) -> AnswerHead:
        self._left = _body_size(fields)
        if self._is_for_head or status in _WITHOUT_BODY:
            self._left = 0
        if self._left == _CHUNKED:
            self._chunks = ChunkReader()
        elif self._left == 0:
            self._is_done = True
        options = [v.lower() for n, v in fields if n.lower() == b"connection"]
        is_closing = any(b"close" in option for option in options)
        is_kept = not is_http10 and not is_closing and self._left != _UNTIL_CLOSED
        return AnswerHead(status, fields, is_kept)

    def _next_chunks(self, chunks: ChunkReader) -> AnswerPart | None:
        if not self._data:
            return None
        parts, self._data = chunks.feed(self._data)
        if chunks.fault:
            raise BadAnswerError(chunks.fault.decode("latin-1"))
        self._is_done = chunks.is_done
        if not parts and not self._is_done:
            return None
        return AnswerPart(b"".join(parts), self._is_done)

    def _next_bytes(self) -> AnswerPart | None:
        if not self._data:
            return None
        if self._left == _UNTIL_CLOSED:
            part, self._data = self._data, b""
            return AnswerPart(part, is_last=False)
        part, self._data = self._data[: self._left], self._data[self._left :]
        self._left -= len(part)
        self._is_done = not self._left
        return AnswerPart(part, self._is_done)


def _read_status_line(line: bytes) -> tuple[int, bool]:
    """Return the status, and whether it is of HTTP/1.0.  Raises: BadAnswerError."""
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    is_good = version in (b"HTTP/1.1", b"HTTP/1.0") and len(code) == 3 and code.isdigit()
    if not is_good or rest[3:4] not in (b"", b" ") or not b"100" <= code <= b"599":
        raise BadAnswerError(f"malformed HTTP response {line[:60]!r}")
    if code == b"101":
        raise BadAnswerError("the member speaks another protocol now, which nobody asked for")
    return int(code), version == b"HTTP/1.0"


def _body_size(fields: tuple[tuple[bytes, bytes], ...]) -> int:
    """Return how long the body is, or one of the marks.  Raises: BadAnswerError."""
    lengths, encodings = set(), []
    for name, value in fields:
        lowered = name.lower()
        if lowered == b"content-length":
            lengths.add(value.strip())
        elif lowered == b"transfer-encoding":
            encodings.append(value.strip().lower())
    if encodings:
        if encodings != [b"chunked"]:
            raise BadAnswerError(f"unsupported transfer encoding {encodings!r}")
        return _CHUNKED
    if not lengths:
        return _UNTIL_CLOSED
    digits = lengths.pop()
    if lengths or not digits.isdigit() or len(digits) > _LENGTH_DIGITS_MAX:
        raise BadAnswerError("bad Content-Length")
    return int(digits)
