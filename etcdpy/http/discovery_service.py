"""GET /new: makes a URL under which the founders of another cluster can meet.

What discovery.etcd.io did for everybody.  A file of its own because it is the one face that is no
part of etcd: it writes the few keys of which `--discovery` wants to find the first.  The URL is
that of the keys themselves, at the address that was asked, so that nothing more than the keys API
is needed to use it.  What nobody needs any more goes by itself: a token lives for a week, as it
did there.
Source: https://github.com/etcd-io/discoveryserver for the path, the default and the texts.
"""

import logging
import re
import secrets

from etcdpy.errors import UNAUTHORIZED, EtcdError
from etcdpy.http import form, keys, wire
from etcdpy.http.auth.access import REFUSAL
from etcdpy.http.backend import Backend
from etcdpy.http.events import KEYS_ROOT
from etcdpy.http.wire import TEXT_TYPE, Request, Response
from etcdpy.tree.command import Command, CommandKind

log = logging.getLogger("etcdpy.discovery")

PATH = b"/new"
REGISTRY = b"/_etcd/registry/"
TOKEN_BYTES = 16
TTL_S = 7 * 24 * 3600

DEFAULT_SIZE = 3
#: More members than a cluster can sensibly have, and fewer than a slip of the keyboard asks for.
SIZE_MAX = 256

_NUMBER = re.compile(rb"[+-]?[0-9]+")
_DIGITS_MAX = 20
_INT64_MAX = 2**63 - 1


class _SizeError(ValueError):
    """No size of a cluster; the text is for the client."""


async def make_token(backend: Backend, request: Request) -> Response:
    """Answer GET /new with a URL for `--discovery`."""
    if not request.asked_at:
        return wire.text(400, b"missing required Host header\n")
    try:
        size = _read_size(request.raw_query)
    except _SizeError as refusal:
        return wire.text(400, b"%b\n" % str(refusal).encode("utf-8", "replace"))
    key = REGISTRY + secrets.token_hex(TOKEN_BYTES).encode()
    try:
        await _create(backend, request, key, size)
    except EtcdError as error:
        log.warning("cannot make a discovery token: %s", error)
        if error.code == UNAUTHORIZED:
            return wire.text(401, REFUSAL + b"\n")
        return wire.text(500, b"unable to generate token\n")
    log.info("made a discovery token for %d members: %s", size, key.decode())
    url = request.asked_at.encode("utf-8", "surrogateescape") + keys.PREFIX + key
    return Response(200, TEXT_TYPE, url)


def _read_size(raw_query: bytes) -> int:
    """Return the wanted number of members.  Raises: _SizeError."""
    values: dict[bytes, bytes] = {}
    form.parse(raw_query, values)  # what cannot be read of it is not there, as in Go
    text = values.get(b"size", b"")
    if not text:
        return DEFAULT_SIZE
    if not _NUMBER.fullmatch(text):
        raise _SizeError(f"strconv.Atoi: parsing {_quoted(text)}: invalid syntax")
    size = int(text) if len(text) <= _DIGITS_MAX else _INT64_MAX + 1
    if not -_INT64_MAX - 1 <= size <= _INT64_MAX:
        raise _SizeError(f"strconv.Atoi: parsing {_quoted(text)}: value out of range")
    if not 1 <= size <= SIZE_MAX:
        raise _SizeError(f"size {size}: a cluster has from 1 to {SIZE_MAX} members")
    return size


def _quoted(text: bytes) -> str:
    return form.go_quote(text).decode("utf-8", "replace")


async def _create(backend: Backend, request: Request, key: bytes, size: int) -> None:
    """Write what a registry begins with, if the caller may.  Raises: EtcdError."""
    if backend.authority.is_enabled():
        await backend.authority.check_key(request.caller, key, is_write=True, is_recursive=True)
    now_ns = backend.now_ns()
    path = KEYS_ROOT + key
    end_ns = keys.expiration(now_ns, TTL_S)
    create = CommandKind.CREATE
    await backend.propose(Command(create, now_ns, path, is_dir=True, expiration_ns=end_ns))
    await backend.propose(Command(create, now_ns, path + b"/_config/size", b"%d" % size))
