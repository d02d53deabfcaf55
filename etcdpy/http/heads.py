"""Request heads: where one ends, what etcd's HTTP server makes of it, and which words refuse it.

A file of its own because this decides what is a request at all, for every protocol in front of
the handlers.  Pure: bytes come in, a `Head` or the bytes of a refusal go out.  Rules for changing
it: Go's net/http is the measure, in what it takes, in what it refuses and in the order of its
checks; two readers of one stream that disagree about where a request ends are a security hole,
so nothing behind this file parses a head again.
Source: spec/keys.md sections 1 and 19, spec/errors.md section 4; RFC 9112.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from etcdpy.http import target as targets
from etcdpy.http import wire
from etcdpy.http.form import go_quote

# Go allows a head of 1 MiB and 4 KiB of slack for its own buffering.
HEAD_BYTES_MAX = 1024 * 1024 + 4096

#: The size of a body that comes in chunks.
CHUNKED = -1

# What a connection ends with when etcd's multiplexer finds no HTTP/1 in the first line.
SILENCE = b""

# Blocks of header lines repeat from request to request; so many are remembered, of so many bytes.
_BLOCKS_MAX = 256
_BLOCK_BYTES_MAX = 1024

# The lines of nearly all requests, without a regular expression.
_METHODS = {name: name.decode() for name in (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE")}
_VERSIONS = {b"HTTP/1.1": (1, 1), b"HTTP/1.0": (1, 0)}

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_HOST = re.compile(rb"[!$%&'()*+,\-.:;=\[\]_~0-9A-Za-z]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"0*[0-9]{0,19}")
_LENGTH_MAX = (1 << 63) - 1
_BAD_TRAILERS = frozenset((b"transfer-encoding", b"trailer", b"content-length"))
_BLANK = b" \t"
# What is never remembered.
_SECRET = b"authorization"
_SECRET_NAME = _SECRET + b":"
_PLAIN_SECRET = re.compile(rb"(?m)^[Aa]uthorization: ([!-~]+(?: [!-~]+)*)\r\n(?![ \t])")
_PLAIN_SECRET_PART = b"uthorization: "

_BAD_REQUEST = wire.refusal(400)
_NO_HOST = wire.refusal(400, ": missing required Host header")
_BAD_HOST = wire.refusal(400, ": malformed Host header")
_BAD_NAME = wire.refusal(400, ": invalid header name")
_BAD_VALUE = wire.refusal(400, ": invalid header value")
_BAD_VERSION = wire.refusal(505, ": unsupported protocol version")


class Fields:
    """A block of header lines; with a `refusal` nothing else counts.

    `authorization` is the first header of that name, which may be missing in `headers`;
    `content_type` is the first one as it came; `has_expectation` says that there is an `Expect`.
    Not to be changed: many requests share one.
    """

    __slots__ = (
        "authorization",
        "body_size",
        "content_type",
        "has_expectation",
        "headers",
        "is_kept",
        "refusal",
    )

    def __init__(
        self,
        headers: CIMultiDictProxy[str],
        body_size: int,
        *,
        is_kept: bool,
        refusal: bytes = b"",
        authorization: bytes = b"",
        content_type: bytes = b"",
        has_expectation: bool = False,
    ) -> None:
        self.headers = headers
        self.body_size = body_size
        self.is_kept = is_kept
        self.refusal = refusal
        self.authorization = authorization
        self.content_type = content_type
        self.has_expectation = has_expectation

    def with_authorization(self, value: bytes) -> "Fields":
        """Return the same fields with that header, which was taken out of the block."""
        return Fields(
            self.headers,
            self.body_size,
            is_kept=self.is_kept,
            refusal=self.refusal,
            authorization=value,
            content_type=self.content_type,
            has_expectation=self.has_expectation,
        )


class Head:
    """A request without its body, whose size is in bytes, or CHUNKED."""

    __slots__ = ("fields", "is_http10", "method", "target")

    def __init__(self, method: str, target: bytes, is_http10: bool, fields: Fields) -> None:
        self.method = method
        self.target = target
        self.is_http10 = is_http10
        self.fields = fields


class FieldError(ValueError):
    """A line that is no header line; `cause` is Go's text."""

    def __init__(self, cause: bytes) -> None:
        super().__init__(cause)
        self.cause = cause


def find_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the position after the empty line that ends a head or trailer, -1 for none.

    Lines end with LF; a CR before it belongs to the end.
    """
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, end + 1 if end >= 0 else len(data))
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else -1


def split_fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values; a line that begins with a blank goes on with the one before.

    Names are as they came, but no name is empty: Go leaves such lines out.

    Raises: FieldError.
    """
    lines = [line.removesuffix(b"\r") for line in block.split(b"\n")]
    if lines[0][:1] in (b" ", b"\t"):
        raise FieldError(b"malformed MIME header initial line: %b" % lines[0])
    number, count = 0, len(lines)
    while number < count and lines[number]:
        line = lines[number].strip(_BLANK)
        if b":" not in line:
            raise FieldError(b"malformed MIME header: missing colon: %b" % go_quote(lines[number]))
        begin = number = number + 1
        while number < count and lines[number][:1] in (b" ", b"\t"):
            number += 1
        if number > begin:
            line = b" ".join([line, *(more.strip(_BLANK) for more in lines[begin:number])])
        name, _, value = line.partition(b":")
        if name:
            yield name, value.lstrip(_BLANK)


def read_fields(block: bytes, *, is_http10: bool, needs_host: bool) -> Fields:
    """Return what a block of header lines says; it ends with the empty line."""
    try:
        fields = list(split_fields(block))
    except FieldError:
        return _refused(_BAD_REQUEST)
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    size, refusal = _body_size(values, is_http10=is_http10)
    refusal = refusal or _refuse_names(fields, values.get(b"host", []), needs_host=needs_host)
    if refusal:
        return _refused(refusal)
    headers = CIMultiDict((_text(name), _text(value)) for name, value in fields)
    connection = values.get(b"connection", [])
    if is_http10:  # and then "close" beside it has no meaning to Go
        is_kept = b"keep-alive" in _options(connection[:1])
    else:
        is_kept = b"close" not in _options(connection)
    return Fields(
        CIMultiDictProxy(headers),
        size,
        is_kept=is_kept,
        authorization=values.get(_SECRET, [b""])[0],
        content_type=values.get(b"content-type", [b""])[0],
        has_expectation=b"expect" in values,
    )


def _refused(refusal: bytes) -> Fields:
    return Fields(CIMultiDictProxy(CIMultiDict()), 0, is_kept=False, refusal=refusal)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _options(values: list[bytes]) -> set[bytes]:
    """Return the lower-case members of headers that are lists."""
    return {option.strip(_BLANK).lower() for value in values for option in value.split(b",")}


def _body_size(values: dict[bytes, list[bytes]], *, is_http10: bool) -> tuple[int, bytes]:
    """Return the body's size, and the refusal of headers that leave it in doubt.

    HTTP/1.0 has no transfer encodings.  A length beside chunks is refused as RFC 9112 allows;
    Go drops it.
    """
    if len(values.get(b"host", [])) > 1:
        return 0, _BAD_REQUEST
    encodings = [] if is_http10 else values.get(b"transfer-encoding", [])
    lengths = {value.strip() for value in values.get(b"content-length", [])}
    if not encodings:
        return _read_length(lengths)
    if len(encodings) > 1 or encodings[0].lower() != b"chunked":
        return 0, wire.UNSUPPORTED_ENCODING
    if lengths or not _BAD_TRAILERS.isdisjoint(_options(values.get(b"trailer", []))):
        return 0, _BAD_REQUEST
    return CHUNKED, b""


def _read_length(lengths: set[bytes]) -> tuple[int, bytes]:
    """Return the one length that is given, 0 for none, or the refusal of several and of others."""
    if len(lengths) > 1:
        return 0, _BAD_REQUEST
    digits = lengths.pop() if lengths else b""
    if not _LENGTH.fullmatch(digits):
        return 0, _BAD_REQUEST
    size = int(digits.lstrip(b"0") or b"0")
    return (size, b"") if size <= _LENGTH_MAX else (0, _BAD_REQUEST)


def _refuse_names(
    fields: list[tuple[bytes, bytes]], hosts: list[bytes], *, needs_host: bool
) -> bytes:
    """Return the refusal that a host, a name or a value deserves, empty for none."""
    if needs_host and not hosts:
        return _NO_HOST
    if hosts and not _HOST.fullmatch(hosts[0]):
        return _BAD_HOST
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            return _BAD_NAME
        if _CONTROL.search(value):
            return _BAD_VALUE
    return b""


class _Line(NamedTuple):
    method: str
    target: bytes
    version: tuple[int, int]


def _read_line(line: bytes, *, is_muxed: bool) -> _Line | bytes:
    """Return a request line's parts, or its refusal."""
    name, _, rest = line.partition(b" ")
    target, _, protocol = rest.partition(b" ")
    version = _VERSIONS.get(protocol)
    if version is None:
        match = _VERSION.fullmatch(protocol)
        if match is None or (is_muxed and match[1] != b"1"):
            return SILENCE if is_muxed else _BAD_REQUEST
        version = int(match[1]), int(match[2])
    method = _METHODS.get(name)
    if method is None:
        if not _TOKEN.fullmatch(name):
            return _BAD_REQUEST
        method = name.decode("ascii")
    return _Line(method, target, version)


class HeadReader:
    """Judges heads, and remembers what blocks of header lines say, for they repeat.

    One serves all connections of a port.  `is_muxed` says that etcd looks at the first line of a
    connection to this port itself, before Go does.
    """

    __slots__ = ("_blocks", "_is_muxed", "_usual")

    def __init__(self, *, is_muxed: bool) -> None:
        self._is_muxed = is_muxed
        # By whether it is of HTTP/1.0 and needs a host: block to its meaning.
        self._blocks: dict[tuple[bool, bool], dict[bytes, Fields]] = {
            (False, True): {},
            (False, False): {},
            (True, False): {},
        }
        self._usual = self._blocks[False, True]

    def read(self, head: bytes, *, is_first: bool) -> Head | bytes:
        """Return what a whole head says, or the bytes that end the connection, maybe none."""
        first, _, block = head.partition(b"\n")
        # The requests of nearly all clients, at a third of the cost (tests/http/measure.py).
        fields = self._usual.get(block) or self._find_guarded(block)
        if fields is not None and not fields.refusal:
            words = first.split(b" ")
            method = _METHODS.get(words[0])
            if len(words) == 3 and words[2] == b"HTTP/1.1\r" and method is not None:
                return Head(method, words[1], False, fields)
        line = _read_line(first.removesuffix(b"\r"), is_muxed=is_first and self._is_muxed)
        if isinstance(line, bytes):
            return line
        is_http10 = line.version == (1, 0)
        needs_host = not is_http10 and line.method != "CONNECT"
        if line.version[0] != 1:
            return _refuse_target(line) or _BAD_VERSION
        fields = self._read_fields(block, is_http10=is_http10, needs_host=needs_host)
        if fields.refusal:
            return _refuse_target(line) or fields.refusal
        return Head(line.method, line.target, is_http10, fields)

    def refuse_line(self, line: bytes, *, is_first: bool) -> bytes | None:
        """Return the refusal of a first line without its end, None for a good one."""
        read = _read_line(line.removesuffix(b"\r"), is_muxed=is_first and self._is_muxed)
        return read if isinstance(read, bytes) else _refuse_target(read) or None

    def _find_guarded(self, block: bytes) -> Fields | None:
        """Return what a block with one plain Authorization line says, None unless it is usual.

        Usual is a block whose rest is remembered: at a sixth of what `_read_fields` takes.
        """
        line = _PLAIN_SECRET.search(block) if _PLAIN_SECRET_PART in block else None
        if line is None:
            return None
        fields = self._usual.get(block[: line.start()] + block[line.end() :])
        if fields is None or fields.refusal:
            return None
        return fields.with_authorization(line[1])

    def _read_fields(self, block: bytes, *, is_http10: bool, needs_host: bool) -> Fields:
        """Return what a block says, remembering it without the password that it may hold."""
        blocks = self._blocks[is_http10, needs_host]
        fields = blocks.get(block)
        if fields is not None:
            return fields
        lowered = block.lower()
        if _SECRET in lowered:
            line = _find_secret(block, lowered)
            if line is None:
                return read_fields(block, is_http10=is_http10, needs_host=needs_host)
            rest = block[: line.start] + block[line.end :]
            fields = self._read_fields(rest, is_http10=is_http10, needs_host=needs_host)
            return fields if fields.refusal else fields.with_authorization(line.value)
        fields = read_fields(block, is_http10=is_http10, needs_host=needs_host)
        if len(block) <= _BLOCK_BYTES_MAX:
            if len(blocks) >= _BLOCKS_MAX:
                blocks.clear()
            blocks[block] = fields
        return fields


class _SecretLine(NamedTuple):
    """The one Authorization line of a block, from its first byte to behind its last."""

    start: int
    end: int
    value: bytes


def _find_secret(block: bytes, lowered: bytes) -> _SecretLine | None:
    """Return the line that can be taken out and leaves the rest of its block as it is."""
    start = lowered.find(b"\n" + _SECRET_NAME) + 1
    end = block.find(b"\n", start) + 1
    if not lowered.startswith(_SECRET_NAME, start) or lowered.count(_SECRET) > 1 or not end:
        return None
    value = block[start + len(_SECRET_NAME) : end - 1].removesuffix(b"\r")
    if _CONTROL.search(value) or block.startswith((b" ", b"\t"), end):
        return None
    return _SecretLine(start, end, value.strip(_BLANK))


def _refuse_target(line: _Line) -> bytes:
    """Return the refusal of a target, which Go looks at before any header; empty for none."""
    try:
        targets.split(line.target, line.method)
    except targets.TargetError:
        return _BAD_REQUEST
    return b""
