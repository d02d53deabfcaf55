"""Heads on their way through: a client's request to a member, a member's answer to a client.

A file of its own because what a proxy keeps, drops and adds is etcd's rule, and pure.  Targets,
names and values pass as they came; what belongs to one hop stays there.
Source: spec/cluster.md section 9; the real proxy beside a member that records what it is sent.
"""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from operator import itemgetter
from typing import NamedTuple

from etcdpy.http import wire
from etcdpy.http.heads import CHUNKED, Head
from etcdpy.http.wire import Framing
from etcdpy.proxy.answers import AnswerHead

FORWARDED_FOR = b"x-forwarded-for"
#: Methods whose body is announced even when it is empty.
_METHODS_WITH_BODY = frozenset(("PUT", "POST", "PATCH"))
#: What is not handed on; `trailers` is etcd's spelling, and the others are read by us.
_SINGLE_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailers",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NOT_ASKED_ON = _SINGLE_HOP | {b"host", b"content-length", b"expect", b"authorization"}
_SINGLE_HOP_NAMES = frozenset(name.title() for name in _SINGLE_HOP)
#: The same few names come with every answer; so many are remembered.
_NAMES_MAX = 256
_NAME = itemgetter(0)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Outgoing(NamedTuple):
    """A request as it is sent to whichever member is asked, but for the name of that member."""

    line: bytes
    host: bytes  # empty where the client named none
    fields: bytes

    def head(self, endpoint_host: bytes, body_size: int) -> bytes:
        """Return the whole head; `body_size` may be CHUNKED, and 0 where there is no body."""
        length = b""
        if body_size == CHUNKED:
            length = b"Transfer-Encoding: chunked\r\n"
        elif body_size or self.line.partition(b" ")[0].decode("latin-1") in _METHODS_WITH_BODY:
            length = b"Content-Length: %d\r\n" % body_size
        host = self.host or endpoint_host
        return b"%bHost: %b\r\n%b%b\r\n" % (self.line, host, self.fields, length)


def outgoing(head: Head, client_host: str) -> Outgoing:
    """Return a request for a member; `client_host` is where it comes from, empty if unknown."""
    lines: list[bytes] = []
    prior: list[bytes] = []
    for name, value in head.fields.headers.items():
        raw_name, raw_value = _bytes(name), _bytes(value)
        lowered = raw_name.lower()
        if lowered == FORWARDED_FOR and client_host:
            prior.append(raw_value)
        elif lowered not in _NOT_ASKED_ON:
            lines.append(b"%b: %b\r\n" % (raw_name, raw_value))
    if head.fields.authorization:
        lines.append(b"Authorization: %b\r\n" % head.fields.authorization)
    if client_host:
        via = b", ".join([*prior, client_host.encode("latin-1")])
        lines.append(b"X-Forwarded-For: %b\r\n" % via)
    line = b"%b %b HTTP/1.1\r\n" % (head.method.encode("ascii"), target_of(head.target))
    return Outgoing(line, _bytes(head.fields.headers.get("Host", "")), b"".join(lines))


def target_of(raw: bytes) -> bytes:
    """Return a target in the form of a path; its path's bytes beyond ASCII are escaped."""
    path, mark, query = raw.partition(b"?")
    if not path.startswith(b"/"):
        _, _, rest = path.partition(b"//")
        path = b"/" + rest.partition(b"/")[2]
    if not path.isascii() or b"#" in path:
        path = b"".join(b"%c" % b if b < 0x80 and b != 0x23 else b"%%%02X" % b for b in path)
    return path + mark + query


def is_framed(answer: AnswerHead) -> bool:
    """Tell whether an answer says how long its body is."""
    return answer.find(b"content-length") is not None


def is_bodiless(answer: AnswerHead, framing: Framing) -> bool:
    """Tell whether an answer ends with its head."""
    return framing.is_head or answer.status in (204, 304)


def answer_head(answer: AnswerHead, framing: Framing, date: bytes, cors: bytes) -> bytes:
    """Return the head of an answer for the client, its lines in the order of their names.

    `date` is used where the member gave none.  What the member says to browsers stays beside what
    the proxy says to them, as with etcd.
    """
    lines = fields_of(answer.fields, cors)
    tail = b"" if answer.find(b"date") is not None else date
    has_length = is_framed(answer)
    if framing.is_http10:
        tail += b"Connection: keep-alive\r\n" if framing.is_keep_alive and has_length else b""
    else:
        tail += b"" if framing.is_keep_alive else b"Connection: close\r\n"
        if not has_length and not is_bodiless(answer, framing):
            tail += b"Transfer-Encoding: chunked\r\n"
    return status_line(answer.status, framing) + lines + tail + b"\r\n"


def fields_of(fields: Iterable[tuple[bytes, bytes]], cors: bytes = b"") -> bytes:
    """Return header lines without those of one hop, sorted by name, `cors` first among equals."""
    kept = [(canonical(name), value) for name, value in (*_split(cors), *fields)]
    kept = [field for field in kept if field[0] not in _SINGLE_HOP_NAMES]
    kept.sort(key=_NAME)
    return b"".join(b"%b: %b\r\n" % field for field in kept)


@lru_cache(_NAMES_MAX)
def _split(lines: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return header lines of ours as names and values."""
    fields = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in fields)


def status_line(status: int, framing: Framing) -> bytes:
    """Return the first line of an answer, in Go's words."""
    reason = _REASONS.get(status, f"status code {status}")
    return f"HTTP/1.{0 if framing.is_http10 else 1} {status} {reason}\r\n".encode()


@lru_cache(_NAMES_MAX)
def canonical(name: bytes) -> bytes:
    """Return a header's name as Go spells it: `X-Etcd-Index`."""
    return b"-".join(part.capitalize() for part in name.split(b"-"))


def error_message(status: int, words: str) -> wire.Response:
    """Return the answer to what no member has answered."""
    quoted = words.replace("\\", "\\\\").replace('"', '\\"')
    return wire.message(status, f'"httpproxy: {quoted}"'.encode())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
