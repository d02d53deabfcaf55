"""What a request that changes members wants, or the refusal that needs no cluster.

Pure functions, apart from `members` because their order and words are a contract of their own:
whose id, which media type, is the body JSON, is it what Go's decoder puts into a list of strings,
are these URLs.  A body is read only when what stands before it is accepted.
Source: spec/members.md sections 3 and 3.1.
"""

import re
from typing import NamedTuple

from etcdpy.http.gojson import reader as gojson_reader
from etcdpy.http.gojson.fields import StringList, fields_of
from etcdpy.http.gojson.reader import JsonError, Value
from etcdpy.http.wire import Request
from etcdpy.urls import UrlError, parse_urls

PREFIX = b"/v2/members"
METHODS_WITH_BODY = frozenset(("POST", "PUT"))

# Hundreds of URLs, more than a member ever has; etcd has no bound.  The worst of JSON of that
# length takes tens of milliseconds to read, in which the loop does nothing else.
BODY_BYTES_MAX = 16 * 1024
BODY_TOO_LARGE = b"http: request body too large"

_ID_MAX = (1 << 64) - 1
_HEX = re.compile(rb"[0-9A-Fa-f]+")
# What Go calls the thing that the body is decoded into.
_TARGET = 'Go value of type struct { PeerURLs []string "json:\\"peerURLs\\"" }'
_FIELD = "Go struct field .peerURLs of type "
_FIELD_NAME = "peerurls"


class RequestError(Exception):
    """The request is refused before the cluster is asked; `words` are the answer's."""

    def __init__(self, status: int, words: bytes) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words


class Change(NamedTuple):
    """An accepted request: an addition has no id, a removal no URLs."""

    member_id: int
    peer_urls: tuple[str, ...]  # ascending, repeated as the caller repeated them


def parse(request: Request) -> Change:
    """Return what a POST, PUT or DELETE wants.  Raises: RequestError."""
    member_id = _check_head(request)
    if request.method not in METHODS_WITH_BODY:
        return Change(member_id, ())
    if request.body_error:
        raise RequestError(400, request.body_error)
    return Change(member_id, _parse_peer_urls(request.body))


def is_body_wanted(request: Request) -> bool:
    """Tell whether all that stands before the body is accepted."""
    try:
        _check_head(request)
    except RequestError:
        return False
    return True


def _check_head(request: Request) -> int:
    """Return the id that the path names, 0 for a POST, whose path says nothing."""
    member_id = 0 if request.method == "POST" else _parse_id(request.path)
    if request.method in METHODS_WITH_BODY:
        media_type = _media_type(request.content_type)
        if media_type != b"application/json":
            words = b"Bad Content-Type %b, accept application/json" % media_type
            raise RequestError(415, words)
    return member_id


def _parse_id(path: bytes) -> int:
    """Return the id behind the prefix, in hexadecimal digits of either case."""
    text = path.removeprefix(PREFIX).removeprefix(b"/")
    if not text:
        raise RequestError(405, b"Method Not Allowed\n")
    member_id = int(text, 16) if _HEX.fullmatch(text) else _ID_MAX + 1
    if member_id > _ID_MAX:
        raise RequestError(404, b"No such member: %b" % text)
    return member_id


def _media_type(content_type: bytes) -> bytes:
    """Return the media type as it is compared: only one with parameters is put right first."""
    name, semicolon, _ = content_type.partition(b";")
    if not semicolon:
        return content_type
    # One by one, and to one: Go's lower case knows neither context nor expansion.
    lower = "".join(char.lower()[0] for char in gojson_reader.decode(name))
    return lower.strip().encode()


def _parse_peer_urls(body: bytes) -> tuple[str, ...]:
    try:
        texts = _read_list(gojson_reader.parse(body))
        if not texts:
            raise RequestError(400, b"no valid URLs given")
        return parse_urls(texts)
    except (JsonError, UrlError) as error:
        raise RequestError(400, str(error).encode()) from error


def _read_list(value: Value) -> tuple[str, ...]:
    """Return the peer URLs of a body that is JSON.  Raises: JsonError for other kinds of values."""
    texts = StringList(_FIELD)
    for name, field in fields_of(value, _TARGET):
        if name == _FIELD_NAME:
            texts.assign(field)
    return texts.value() or ()
