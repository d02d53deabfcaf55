"""From a request target to a path: decoding, cleaning, redirects, as Go's net/http does it.

A file of its own because the path of a key is data: it must be taken from the raw bytes of the
request line, decoded exactly once, and never be put right by a framework on its way.
Source: spec/keys.md sections 1 and 2.
"""

import html
import re
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from etcdpy.http.form import EscapeError, unescape

_BAD_BYTE = re.compile(rb"[\x00-\x20\x7f]")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
# By Go's rules, by which escapes in a host are for bytes above ASCII and the percent sign only.
_USER = re.compile(rb"(?:[A-Za-z0-9\-._:~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\x80-\xff]|%25|%[89A-Fa-f][0-9A-Fa-f])*"
)
_PORT = re.compile(rb"(?::[0-9]*)?")
_PATH_SAFE = "-_.~$&+,/:;=@"


class Target(NamedTuple):
    """A request target, taken apart: the decoded path and the query as it came."""

    path: bytes
    raw_query: bytes


class TargetError(ValueError):
    """The target is not one that a request line may carry."""


def split(raw: bytes, method: str = "GET") -> Target:
    """Take a target apart; the host of an absolute one is ignored.

    `method` matters for CONNECT only, whose target may be a host.

    Raises: TargetError for control bytes, bad escapes, and what is neither path nor URL.
    """
    if _BAD_BYTE.search(raw):
        raise TargetError("control byte or space in the target")
    path, _, query = raw.partition(b"?")
    if path[:1] != b"/":
        path = _path_of_url(b"http://" + path if method == "CONNECT" else path)
    if b"%" in path:
        try:
            path = unescape(path)
        except EscapeError as error:
            raise TargetError(str(error)) from error
    return Target(path, query)


def host_of(raw: bytes, method: str) -> bytes:
    """Return the host that a good target names itself, maybe with a port; empty for a path.

    It goes before that of the header, by RFC 9112 section 3.2.2.
    """
    text = raw.partition(b"?")[0]
    if text[:1] == b"/":
        return b""
    if method == "CONNECT":
        text = b"http://" + text
    _, mark, rest = text.partition(b"://")
    return unescape(rest.partition(b"/")[0].rpartition(b"@")[2]) if mark else b""


def _path_of_url(text: bytes) -> bytes:
    """Return the path of `*` or of an absolute URL; what has a scheme and no slash has none."""
    if text == b"*":
        return text
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise TargetError("neither a path nor a URL")
    rest = text[scheme.end() :]
    if not rest.startswith(b"//"):
        return rest if rest[:1] == b"/" else b""
    authority, slash, path = rest[2:].partition(b"/")
    _check_authority(authority)
    return slash + path


def _check_authority(text: bytes) -> None:
    """Raise TargetError unless `text` is a host, perhaps with a user before and a port after."""
    user, _, host = text.rpartition(b"@")
    mark = b"]" if host[:1] == b"[" else b":"
    place = host.rfind(mark)
    if mark == b"]":
        if place < 0:
            raise TargetError("an open bracket in the host of a URL")
        place += 1
    port = host[place:] if place >= 0 else b""
    if not (_USER.fullmatch(user) and _HOST.fullmatch(host) and _PORT.fullmatch(port)):
        raise TargetError("no host in the URL")


def clean(path: bytes) -> bytes:
    """Return the shortest equal path; a trailing slash stays."""
    if path[:1] == b"/" and b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if kept:
                kept.pop()
        elif part not in (b"", b"."):
            kept.append(part)
    cleaned = b"/" + b"/".join(kept)
    return cleaned + b"/" if path.endswith(b"/") and kept else cleaned


class Redirect(NamedTuple):
    """Where an unclean path points, for the header and for the page."""

    location: bytes
    page: bytes


def redirect_to(path: bytes, raw_query: bytes) -> Redirect:
    """Return the redirect to a cleaned path, which keeps the query as it came."""
    url = quote_from_bytes(path, _PATH_SAFE).encode()
    if raw_query:
        url += b"?" + raw_query
    location = b"".join(b"%c" % byte if byte < 0x80 else b"%%%02x" % byte for byte in url)
    text = html.escape(url.decode("latin-1")).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return Redirect(location, b'<a href="%b">Moved Permanently</a>.\n\n' % text.encode("latin-1"))
