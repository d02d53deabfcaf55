"""Bodies that come in chunks: their data, their end, and Go's words for what is wrong with them.

A file of its own because it is a small automaton over bytes with no I/O, and because the words
reach clients: the cause of error 210 is the chunk reader's error text.
Source: spec/errors.md section 4; RFC 9112 section 7.1.
"""

import re
from enum import Enum

from etcdpy.http import heads
from etcdpy.http.heads import FieldError

TRUNCATED = b"unexpected EOF"
_TRUNCATED_TRAILER = b"http: unexpected EOF reading trailer"
_BAD_DIGIT = b"invalid byte in chunk length"
_TOO_LARGE = b"http chunk length too large"
_TOO_LONG = b"header line too long"
_MALFORMED = b"malformed chunked encoding"
_LONG_TRAILER = b"http: suspiciously long trailer after chunked body"

# Go's read buffer: a line of a size, and a whole trailer, must fit.
LINE_BYTES_MAX = 4096
_DIGITS_MAX = 16
_HEX = re.compile(rb"[0-9a-fA-F]*")
_PLAIN_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_SPACE = b" \t\r\n"


class _Part(Enum):
    """What comes next."""

    SIZE = 1
    DATA = 2
    DATA_END = 3
    TRAILER = 4
    NOTHING = 5


class ChunkReader:
    """One chunked body.

    `is_done` when nothing more of it can come: it is whole, or `fault` says what is wrong, and
    then nobody knows where the next request begins.
    """

    __slots__ = ("_left", "_part", "_rest", "_steps", "fault")

    def __init__(self) -> None:
        self.fault = b""
        self._part = _Part.SIZE
        self._left = 0  # bytes of the chunk that have not come
        self._rest = b""  # of a line or trailer that has begun: less than LINE_BYTES_MAX
        self._steps = {
            _Part.SIZE: self._read_size,
            _Part.DATA_END: self._read_data_end,
            _Part.TRAILER: self._read_trailer,
        }

    @property
    def is_done(self) -> bool:
        """Whether nothing more of this body can come."""
        return self._part is _Part.NOTHING

    @property
    def truncation(self) -> bytes:
        """Go's words for an end of the connection here."""
        if self._part is not _Part.TRAILER:
            return TRUNCATED
        return _TRUNCATED_TRAILER if len(self._rest) < len(b"\r\n") else _LONG_TRAILER

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take what has come; returns parts of the body, and what follows its end."""
        parts: list[bytes] = []
        if self._rest:
            data, self._rest = self._rest + data, b""
        position, size = 0, len(data)
        while position < size and not self.is_done:
            if self._part is _Part.SIZE:
                position = self._take_whole(data, position, parts)
                if position == size:
                    break
            if self._part is _Part.DATA:
                part = data[position : position + self._left]
                parts.append(part)
                position += len(part)
                self._left -= len(part)
                if not self._left:
                    self._part = _Part.DATA_END
                continue
            end = self._steps[self._part](data, position)
            if end < 0:
                self._rest = data[position:]
                return parts, b""
            position = end
        return parts, data[position:]

    @staticmethod
    def _take_whole(data: bytes, position: int, parts: list[bytes]) -> int:
        """Take chunks that are whole and without extensions; returns where another kind begins.

        A client can send millions of small ones, so they must cost little.
        """
        match = _PLAIN_SIZE.match
        while (found := match(data, position)) is not None:
            begin = found.end()
            end = begin + int(found[1], 16)
            if end == begin or data[end : end + 2] != b"\r\n":
                break
            parts.append(data[begin:end])
            position = end + 2
        return position

    # Each of these reads one thing at a position; returns the position after it, -1 for more.

    def _read_size(self, data: bytes, position: int) -> int:
        newline = data.find(b"\n", position, position + LINE_BYTES_MAX - 1)
        if newline < 0:
            return self._need(data, position, _TOO_LONG)
        digits = data[position:newline].rstrip(_SPACE).partition(b";")[0]
        if not _HEX.fullmatch(digits[: _DIGITS_MAX + 1]):
            return self._break(_BAD_DIGIT)
        if len(digits) > _DIGITS_MAX:
            return self._break(_TOO_LARGE)
        self._left = int(digits or b"0", 16)
        self._part = _Part.DATA if self._left else _Part.TRAILER
        return newline + 1

    def _read_data_end(self, data: bytes, position: int) -> int:
        end = data[position : position + 2]
        if len(end) < 2:
            return -1
        if end != b"\r\n":
            return self._break(_MALFORMED)
        self._part = _Part.SIZE
        return position + 2

    def _read_trailer(self, data: bytes, position: int) -> int:
        start = data[position : position + 2]
        if len(start) < 2:
            return -1
        if start == b"\r\n":
            self._part = _Part.NOTHING
            return position + 2
        if data.find(b"\r\n\r\n", position, position + LINE_BYTES_MAX) < 0:
            return self._need(data, position, _LONG_TRAILER)
        end = heads.find_end(data, position)
        try:
            list(heads.split_fields(data[position:end]))
        except FieldError as error:
            return self._break(error.cause)
        self._part = _Part.NOTHING
        return end

    def _need(self, data: bytes, position: int, complaint: bytes) -> int:
        """Wait for more of a line or trailer, unless it is too long already."""
        return -1 if len(data) - position < LINE_BYTES_MAX else self._break(complaint)

    def _break(self, fault: bytes) -> int:
        self.fault = fault
        self._part = _Part.NOTHING
        return 0
