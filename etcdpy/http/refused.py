"""Requests that the parser below the handlers refuses: what etcd would have answered.

A file of its own because it mends one difference: llhttp knows a fixed list of methods and forms
of target, Go takes any token as a method, and a client sees 405 or 404 there.  What is no request
at all is told apart here too: Go's text, or silence.
Source: spec/keys.md section 1 and 19, spec/errors.md section 4.
"""

import re
from typing import NamedTuple

from etcdpy.http import wire

_REQUEST_LINE = re.compile(rb"(\S+) (\S+) HTTP/1\.([01])")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
_SILENCE = b""


def escape_target(data: bytes, *, is_start: bool) -> bytes:
    """Return bytes of a head with every byte above ASCII in its first line percent-encoded.

    llhttp takes no raw UTF-8 in a target, Go and curl do; decoded, both are the same.  `is_start`
    says that the head begins with `data`, so that its first line is there.
    """
    end = data.find(b"\r\n")
    line = data[:end] if end >= 0 else data
    if not is_start or line.isascii():
        return data
    escaped = _ABOVE_ASCII.sub(lambda match: b"%%%02x" % match[0][0], line)
    return escaped + data[len(line) :]


class Understood(NamedTuple):
    """The request line of a head that is right by Go's rules."""

    method: str
    target: bytes
    is_http10: bool


def judge(data: bytes) -> Understood | bytes:
    """Look at the bytes of a head that was refused.

    Returns the request line if Go would have taken it, else the bytes that end the connection:
    Go's refusal, or none for what is not HTTP/1.x.
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        return _SILENCE
    method, target, minor = match.groups()
    refusal = _refuse_fields(lines, is_http10=minor == b"0")
    if refusal:
        return refusal
    if not end or not _TOKEN.fullmatch(method):
        return wire.refusal(400)
    return Understood(method.decode("ascii"), target, minor == b"0")


def _refuse_fields(lines: list[bytes], *, is_http10: bool) -> bytes:
    """Return the refusal that the header lines deserve, empty for none."""
    host_count = 0
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            return wire.refusal(400)
        if not _TOKEN.fullmatch(name):
            return wire.refusal(400, ": invalid header name")
        lower = name.lower()
        host_count += lower == b"host"
        if lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return wire.UNSUPPORTED_ENCODING
    if host_count > 1:
        return wire.refusal(400)
    if not host_count and not is_http10:
        return wire.refusal(400, ": missing required Host header")
    return b""
