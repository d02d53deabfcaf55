"""Responses as values and as bytes: status lines, header blocks and framing of HTTP/1.x.

A file of its own because every protocol in front of the handlers (aiohttp's today) must send the
same bytes.  It knows HTTP but neither sockets nor etcd's store.
Source: spec/keys.md sections 16 and 17.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple


def cors_lines(origin: str) -> bytes:
    """Return the lines that let pages of `origin` read an answer."""
    return (
        b"Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
        b"Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
        b"Access-Control-Allow-Origin: %b\r\n"
    ) % origin.encode("utf-8", "surrogateescape")


CORS = cors_lines("*")
JSON_TYPE = b"Content-Type: application/json\r\n"
TEXT_TYPE = b"Content-Type: text/plain; charset=utf-8\r\n"
NOSNIFF = b"X-Content-Type-Options: nosniff\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# A longer body is sent chunked: etcd's writer learns its length only after its buffer is full.
UNCHUNKED_BYTES_MAX = 2048

LAST_CHUNK = b"0\r\n\r\n"


class Caller(NamedTuple):
    """Who sends a request, as far as the connection tells.

    `authorization` is that header as it came.  `certificate_names` are the common names of the
    client's verified certificates, its own first, on a listener where these stand for users.
    """

    authorization: bytes = b""
    certificate_names: tuple[str, ...] = ()


ANONYMOUS = Caller()


class Request(NamedTuple):
    """A request as the handlers see it: path decoded, query and form as they came.

    `accept_encoding` and `asked_at`, the URL of the server by which the client knows it, are there
    for routes that want them.
    """

    method: str
    path: bytes
    raw_query: bytes = b""
    content_type: bytes = b""
    body: bytes = b""
    body_error: bytes = b""
    caller: Caller = ANONYMOUS
    accept_encoding: str = ""
    asked_at: str = ""


class Response(NamedTuple):
    """An answer.  `headers` holds whole lines; framing, Date and CORS lines are added by `encode`.

    A bare one is of the connection, not of a resource: no CORS lines, and a refusal ends it.
    """

    status: int
    headers: bytes = b""
    body: bytes = b""
    is_bare: bool = False
    is_closing: bool = False
    is_length_hidden: bool = False


class Framing(NamedTuple):
    """How the request wants to be answered."""

    is_head: bool = False
    is_http10: bool = False
    is_keep_alive: bool = True


PLAIN = Framing()

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES = {
    (status, is_http10): f"HTTP/1.{0 if is_http10 else 1} {status} {phrase}\r\n".encode()
    for status, phrase in _REASONS.items()
    for is_http10 in (False, True)
}


def status_line(status: int) -> bytes:
    """Return the first line of an answer of HTTP/1.1."""
    return _STATUS_LINES[status, False]


def encode(response: Response, framing: Framing, date: bytes, cors: bytes = CORS) -> bytes:
    """Return the whole response as bytes; `date` is a Date header line."""
    body = response.body
    size = len(body)
    tail = b""
    if framing is not PLAIN or response.is_closing:
        tail = _connection_line(response, framing)
    if response.is_length_hidden:
        length = b""
    elif size <= UNCHUNKED_BYTES_MAX:
        length = b"Content-Length: %d\r\n" % size
    elif framing.is_http10 or framing.is_head:
        length = b""
    else:
        tail += b"Transfer-Encoding: chunked\r\n"
        length = b""
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    return b"%b%b%b%b%b%b\r\n%b" % (
        _STATUS_LINES[response.status, framing.is_http10],
        b"" if response.is_bare else cors,
        response.headers,
        date,
        length,
        tail,
        b"" if framing.is_head else body,
    )


def _connection_line(response: Response, framing: Framing) -> bytes:
    """Return the Connection header that tells what `is_kept` decides, where etcd sends one."""
    if framing.is_http10:
        return b"Connection: keep-alive\r\n" if is_kept(response, framing) else b""
    return b"" if is_kept(response, framing) else b"Connection: close\r\n"


def is_kept(response: Response, framing: Framing) -> bool:
    """Tell whether the connection can take another request after this response."""
    if response.is_closing or not framing.is_keep_alive:
        return False
    return not framing.is_http10 or len(response.body) <= UNCHUNKED_BYTES_MAX


def encode_stream_head(headers: bytes, framing: Framing, date: bytes, cors: bytes = CORS) -> bytes:
    """Return the head of a response whose body comes in chunks, as events happen."""
    tail = b""
    if not framing.is_http10:
        tail = b"" if framing.is_keep_alive else b"Connection: close\r\n"
        tail += b"Transfer-Encoding: chunked\r\n"
    status_line = _STATUS_LINES[200, framing.is_http10]
    return b"%b%b%b%b%b\r\n" % (status_line, cors, headers, date, tail)


def chunk(data: bytes) -> bytes:
    """Return `data` (not empty) as one chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(status: int, detail: str = "") -> bytes:
    """Return the whole answer to a request that is not HTTP enough for a handler; it ends all."""
    reason = f"{status} {_REASONS[status]}{detail}"
    return (
        f"HTTP/1.1 {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Connection: close\r\n\r\n{reason}"
    ).encode("latin-1")


UNSUPPORTED_ENCODING = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\nUnsupported transfer encoding"
)


def text(status: int, body: bytes, headers: bytes = b"") -> Response:
    """Return a plain-text error, as http.Error of Go words its headers."""
    return Response(status, headers + TEXT_TYPE + NOSNIFF, body)


def message(status: int, words: bytes, headers: bytes = b"") -> Response:
    """Return the error object of the routes other than keys; `words` is a JSON string."""
    return Response(status, JSON_TYPE + headers, b'{"message":%b}' % words)


NOT_FOUND = text(404, b"404 page not found\n")


def method_not_allowed(allowed: bytes) -> Response:
    """Return the 405 that names the methods a path has."""
    return text(405, b"Method Not Allowed\n", b"Allow: %b\r\n" % allowed)


class DateLine:
    """The Date header, made anew once a second."""

    __slots__ = ("_clock", "_line", "_second")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        """Return the header line of now."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._line = http_date(second)
        return self._line


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(second: int) -> bytes:
    """Return a Date line; not by strftime, whose names follow the process's locale."""
    now = time.gmtime(second)
    day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
    clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    return f"Date: {day}, {now.tm_mday:02} {month} {now.tm_year} {clock} GMT\r\n".encode()
