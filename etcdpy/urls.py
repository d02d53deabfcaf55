"""URLs as etcd reads them: what is accepted, how it is written back, and what a refusal says.

A file of its own, and a leaf, because flags, the environment, the YAML file, `--initial-cluster`
and the members API all take the same lists and must refuse them with the same words.  The grammar
is that of Go's `net/url`, which differs from Python's `urllib` at most of its edges, so it is
spelt out here.  Nothing here resolves a name or opens a socket.
Source: spec/config.md section 4, spec/members.md section 3.1.
"""

import ipaddress
import string
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

SCHEMES = ("http", "https", "unix", "unixs")
TLS_SCHEMES = ("https", "unixs")

_LETTERS = frozenset(string.ascii_letters)
_SCHEME_TAIL = frozenset(string.ascii_letters + string.digits + "+-.")
_USERINFO = frozenset(string.ascii_letters + string.digits + "-._:~!$&'()*+,;=%@")
#: What may stand unescaped in a host: Go is lenient here, for the sake of old programs.
_HOST = frozenset(string.ascii_letters + string.digits + "-_.~!$&'()*+,;=:[]<>\"")
_FRAGMENT = frozenset(string.ascii_letters + string.digits + "-_.~$&+,/:;=?@!()*'[]%")
_HEX = frozenset(string.hexdigits)
_GO_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
#: To Go the separators of ASCII (0x1c to 0x1f) are no spaces, as they are to `str.strip`; the last
#: space is U+3000.
_SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")


class UrlError(ValueError):
    """A text that is no URL for us; the message is the one that etcd gives."""


class Url(NamedTuple):
    """A URL that was accepted: no path, a scheme that we know, a host with a port."""

    scheme: str
    userinfo: str | None  # user, or user:password, escaped
    host: str  # "host:port", unescaped, with the brackets of an IPv6 address
    query: str | None
    fragment: str  # escaped

    def __str__(self) -> str:
        """Write the URL as etcd shows it in logs and in the members list."""
        user = "" if self.userinfo is None else self.userinfo + "@"
        query = "" if self.query is None else "?" + self.query
        fragment = "#" + self.fragment if self.fragment else ""
        return f"{self.scheme}://{user}{_escape(self.host, ''.join(_HOST))}{query}{fragment}"


class HostPort(NamedTuple):
    """The two halves of `host:port`, without brackets; both may be empty."""

    host: str
    port: str


def parse_urls(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the URLs in etcd's spelling, ascending; duplicates are kept.

    Raises: UrlError for the first that is refused.
    """
    return tuple(sorted(str(parse_url(text)) for text in texts))


def parse_url(text: str) -> Url:
    """Return one listen or advertise URL.  Raises: UrlError."""
    text = text.strip(_SPACES)
    url, path = split_url(text)
    if url.scheme not in SCHEMES:
        raise UrlError(f"URL scheme must be http, https, unix, or unixs: {text}")
    try:
        split_host_port(url.host)
    except ValueError:
        raise UrlError(f'URL address does not have the form "host:port": {text}') from None
    if path:
        raise UrlError(f"URL must not contain a path: {text}")
    return url


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Return name to peer URLs (ascending) from `name=url,name=url`; a name may repeat.

    Raises: UrlError; an entry without `=` has an empty URL.
    """
    urls: dict[str, list[str]] = {}
    for entry in text.split(","):
        if entry:
            name, _, url = entry.partition("=")
            urls.setdefault(name, []).append(url)
    return {name: parse_urls(own) for name, own in urls.items()}


def split_host_port(text: str) -> HostPort:
    """Split `host:port` or `[host]:port`.  Raises: ValueError where it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"missing port in address {text}")
    if host.startswith("["):
        if not host.endswith("]") or host.count("]") != 1:
            raise ValueError(f"too many colons in address {text}")
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"too many colons in address {text}")
    elif "]" in host:
        raise ValueError(f"unexpected ']' in address {text}")
    if "[" in host or "[" in port or "]" in port:
        raise ValueError(f"unexpected bracket in address {text}")
    return HostPort(host, port)


def can_bind(url: str) -> bool:
    """Tell whether a listener can be opened on `url` without asking a name server."""
    parsed = parse_url(url)
    if parsed.scheme.startswith("unix"):
        return True
    host = split_host_port(parsed.host).host
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def go_quote(text: str) -> str:
    """Return `text` between double quotes, escaped as Go's `%q` does."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _GO_ESCAPES:
        return _GO_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape(text: str, safe: str) -> str:
    """Return `text` with %XX for all but letters, digits and `safe`; bytes may be any."""
    return quote(text, safe=safe, errors="surrogateescape")


def split_url(text: str) -> tuple[Url, str]:
    """Return the parts and the path of any URL.  Raises: UrlError in Go's words."""
    body, _, fragment = text.partition("#")
    try:
        url, path = _split_body(body)
    except ValueError as refusal:
        raise UrlError(f"parse {go_quote(body)}: {refusal}") from None
    try:
        return url._replace(fragment=_rewrite_fragment(fragment)), path
    except ValueError as refusal:
        raise UrlError(f"parse {go_quote(text)}: {refusal}") from None


def _rewrite_fragment(text: str) -> str:
    """Return a fragment as it is if every byte of it may stand there, else escaped anew."""
    plain = _unescape(text)
    return text if set(text) <= _FRAGMENT else _escape(plain, "$&+,/:;=?@!()*~")


def _split_body(text: str) -> tuple[Url, str]:
    """Split what stands before the fragment.  Raises: ValueError with Go's reason."""
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError("net/url: invalid control character in URL")
    scheme, rest = _split_scheme(text)
    rest, has_query, query_text = rest.partition("?")
    query = query_text if has_query else None
    userinfo, host = None, ""
    if not rest.startswith("/"):
        if not scheme and ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
        # With a scheme this is Go's "opaque" form: it has no host, so it is refused later.
        path = "" if scheme else rest
        return Url(scheme, userinfo, host, query, ""), _unescape(path)
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, tail = rest[2:].partition("/")
        userinfo, host = _split_authority(authority)
        rest = slash + tail
    return Url(scheme, userinfo, host, query, ""), _unescape(rest)


def _split_scheme(text: str) -> tuple[str, str]:
    for at, char in enumerate(text):
        if char == ":":
            if at == 0:
                raise ValueError("missing protocol scheme")
            return text[:at].lower(), text[at + 1 :]
        if char not in _SCHEME_TAIL or (at == 0 and char not in _LETTERS):
            break
    return "", text


def _split_authority(text: str) -> tuple[str | None, str]:
    user, at, host_text = text.rpartition("@")
    host = _parse_host(host_text)
    if not at:
        return None, host
    if not set(user) <= _USERINFO:
        raise ValueError("net/url: invalid userinfo")
    # Only the first colon divides: another is written as an escape, as is one in the user's name.
    return ":".join(_escape(_unescape(part), "$&+,;=~") for part in user.split(":", 1)), host


def _parse_host(text: str) -> str:
    """Return the host with its port, unescaped.  Raises: ValueError."""
    if not text.startswith("["):
        _, colon, port = text.rpartition(":")
        _check_port(colon + port if colon else "")
        return _unescape_host(text)
    end = text.rfind("]")
    if end < 0:
        raise ValueError("missing ']' in host")
    _check_port(text[end + 1 :])
    zone = text.find("%25", 0, end)
    if zone < 0:
        return _unescape_host(text)
    return (
        _unescape_host(text[:zone])
        + _unescape_host(text[zone:end], is_zone=True)
        + _unescape_host(text[end:])
    )


def _check_port(text: str) -> None:
    """Refuse what follows a host and is neither nothing nor a colon with digits."""
    digits = text[1:]
    if text and (text[0] != ":" or not (digits == "" or (digits.isascii() and digits.isdigit()))):
        raise ValueError(f"invalid port {go_quote(text)} after host")


def _unescape(text: str) -> str:
    """Decode %XX anywhere.  Raises: ValueError for a `%` without two digits."""
    return _decode(text, is_host=False, is_zone=False)


def _unescape_host(text: str, *, is_zone: bool = False) -> str:
    """Decode a host: only non-ASCII bytes and, before a zone, `%25` may be escaped in it."""
    return _decode(text, is_host=True, is_zone=is_zone)


def _decode(text: str, *, is_host: bool, is_zone: bool) -> str:
    out = bytearray()
    at = 0
    while at < len(text):
        char = text[at]
        if char == "%":
            out.append(_decode_escape(text[at : at + 3], is_host=is_host, is_zone=is_zone))
            at += 3
            continue
        if is_host and char < "\x80" and char not in _HOST:
            raise ValueError(f"invalid character {go_quote(char)} in host name")
        out += char.encode("utf-8", "surrogateescape")
        at += 1
    return out.decode("utf-8", "surrogateescape")


def _decode_escape(escape: str, *, is_host: bool, is_zone: bool) -> int:
    """Return the byte of one `%XX`.  Raises: ValueError where it may not stand."""
    refusal = ValueError(f"invalid URL escape {go_quote(escape)}")
    if len(escape) < 3 or not set(escape[1:]) <= _HEX:
        raise refusal
    code = int(escape[1:], 16)
    if not is_host or escape == "%25":
        return code
    if is_zone:
        if code != 0x20 and not (code < 0x80 and chr(code) in _HOST):
            raise refusal
    elif code < 0x80:
        raise refusal
    return code
