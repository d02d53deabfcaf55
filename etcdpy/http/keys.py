"""The keys API: from a request's values to what is to be done, from its outcome to a response.

Pure functions, called by whatever protocol stands in front: `parse` says what a request wants
(or raises the refusal that needs no state), the caller lets the member do it, and `respond_*`
make the answer.  No sockets, no awaiting, no aiohttp here.
Source: spec/keys.md sections 6, 7, 9, 11 and 16.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from etcdpy.errors import ERROR_TEXTS, EtcdError
from etcdpy.http import form, params, wire
from etcdpy.http.backend import RaftStatus
from etcdpy.http.events import KEYS_ROOT, render_action, render_error, render_event
from etcdpy.http.form import FORM_TYPE, FormError, media_type
from etcdpy.http.params import Params
from etcdpy.http.wire import JSON_TYPE, Request, Response
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import CREATE, SET, Event

PREFIX = b"/v2/keys"
ALLOWED = b"HEAD,GET,PUT,POST,DELETE"
METHODS = frozenset(("HEAD", "GET", "PUT", "POST", "DELETE"))
METHODS_WITH_FORM = frozenset(("PUT", "POST"))

FORM_TOO_LARGE = b"http: POST too large"

_NS_PER_S = 1_000_000_000
_PREFIX_SIZE = len(PREFIX)
_STARTS_MAX = 64
_SET = CommandKind.SET
# Looked for as numbers: `in` takes a bytes object for one first, and makes an error of it.
_AMPERSAND, _SEMICOLON, _PLUS, _PERCENT = b"&;+%"


# A value from the tuple of all its fields: half the time of the class's own constructor.
_new_command = cast("Callable[[tuple[Any, ...]], Command]", partial(tuple.__new__, Command))
_NOTHING_ELSE = tuple(Command(_SET, 0))[4:]


class Write(NamedTuple):
    """A change to propose."""

    command: Command
    is_value_hidden: bool = False
    is_recursive: bool = False  # of interest to who may do it, not to how it is done


_new_write = cast("Callable[[tuple[Command, bool, bool]], Write]", partial(tuple.__new__, Write))


class Read(NamedTuple):
    """A look-up in the local tree; a quorum one waits for `linearized` first."""

    path: bytes
    is_recursive: bool = False
    is_sorted: bool = False
    is_quorum: bool = False


class Watch(NamedTuple):
    """A request to be told of changes from `since` on (0: from now)."""

    path: bytes
    is_recursive: bool
    is_stream: bool
    since: int


Plan = Write | Read | Watch


def parse(request: Request, now_ns: int) -> Plan:
    """Return what the request wants; its path is clean and under `PREFIX`, its verb allowed.

    Only a PUT or POST brings its media type and body: those of other verbs are not looked at.

    Raises: EtcdError with index 0 for parameters that cannot be.
    """
    asked = params.parse(request)
    method = request.method
    path = KEYS_ROOT + request.path[_PREFIX_SIZE:].rstrip(b"/")
    if method == "GET":
        if asked.is_wait and not asked.is_quorum:
            return Watch(path, asked.is_recursive, asked.is_stream, asked.wait_index)
        return Read(path, asked.is_recursive, asked.is_sorted, asked.is_quorum)
    if method == "HEAD":
        return Read(path, asked.is_recursive, asked.is_sorted)
    command = _command(method, path, asked, now_ns)
    return Write(command, asked.is_value_hidden, asked.is_recursive)


def find_plain_put(path: bytes, body: bytes, now_ns: int) -> Write | None:
    """Return what `parse` makes of a PUT without a query whose form has a value and no more.

    None for any other form.
    """
    if body[:6] != b"value=" or _AMPERSAND in body or _SEMICOLON in body:
        return None
    value = body[6:]
    if _PLUS in value:
        value = value.replace(b"+", b" ")
    if _PERCENT in value:
        try:
            value = form.unescape(value)
        except FormError:
            return None
    inside = KEYS_ROOT + path[_PREFIX_SIZE:].rstrip(b"/")
    return _new_write((_new_command((_SET, now_ns, inside, value, *_NOTHING_ELSE)), False, False))


def key_of(path: bytes) -> bytes:
    """Return the key of a request's path, by which it is decided who may: not put right."""
    return path[_PREFIX_SIZE:]


def _command(method: str, path: bytes, asked: Params, now_ns: int) -> Command:
    """Return the change that a PUT, POST or DELETE stands for."""
    if method == "DELETE":
        return _removal(path, asked, now_ns)
    expiration_ns = None if asked.ttl_s is None else expiration(now_ns, asked.ttl_s)
    if method == "POST" or asked.prev_exist is False:
        return Command(
            CommandKind.CREATE,
            now_ns,
            path,
            asked.value,
            is_dir=asked.is_dir,
            is_unique=method == "POST",
            expiration_ns=expiration_ns,
        )
    is_compare = asked.prev_value is not None or asked.prev_index > 0
    if not is_compare and asked.prev_exist is None:
        # Positional: keyword arguments would double the cost of the commonest of writes.
        is_dir, is_refresh = asked.is_dir, asked.is_refresh
        return Command(
            _SET, now_ns, path, asked.value, is_dir, False, False, is_refresh, expiration_ns
        )
    return Command(
        CommandKind.COMPARE_AND_SWAP if is_compare else CommandKind.UPDATE,
        now_ns,
        path,
        asked.value,
        is_refresh=asked.is_refresh,
        expiration_ns=expiration_ns,
        prev_value=asked.prev_value,
        prev_index=asked.prev_index,
    )


def _removal(path: bytes, asked: Params, now_ns: int) -> Command:
    """Return the change that a DELETE stands for."""
    if asked.prev_value is not None or asked.prev_index > 0:
        return Command(
            CommandKind.COMPARE_AND_DELETE,
            now_ns,
            path,
            prev_value=asked.prev_value,
            prev_index=asked.prev_index,
        )
    return Command(
        CommandKind.DELETE,
        now_ns,
        path,
        is_dir=asked.is_dir or asked.is_recursive,
        is_recursive=asked.is_recursive,
    )


def expiration(now_ns: int, ttl_s: int) -> int:
    """Return when a TTL ends, in signed 64-bit nanoseconds that wrap as etcd's do."""
    return _int64(now_ns + _int64(ttl_s * _NS_PER_S))


def _int64(number: int) -> int:
    """Return `number` as 64 bits hold it."""
    return (number + 2**63) % 2**64 - 2**63


def has_form(request: Request) -> bool:
    """Tell whether the body is read: it is of a form's type, which a malformed type is not."""
    try:
        return media_type(request.content_type) == FORM_TYPE
    except FormError:
        return False


class KeysRenderer:
    """Turns outcomes into responses of one cluster, whose id is in every one of them."""

    __slots__ = ("_date", "_headers", "_raft", "_starts", "_tail")

    def __init__(self, cluster_id: int) -> None:
        self._headers = JSON_TYPE + b"X-Etcd-Cluster-Id: %x\r\n" % cluster_id
        # What answers have in common, made anew when it changes.
        self._starts: dict[tuple[int, bytes], bytes] = {}  # by status and CORS lines
        self._tail = b""
        self._raft: RaftStatus | None = None
        self._date = b""

    def encode_plain(
        self, status: int, index: int, raft: RaftStatus, body: bytes, *, date: bytes, cors: bytes
    ) -> bytes:
        """Return the bytes that `wire.encode` makes of a success, to be sent with plain framing.

        `body` is no longer than `wire.UNCHUNKED_BYTES_MAX`, `date` a Date line.  A fifth of the
        cost of the general way (tests/http/measure.py).
        """
        if raft is not self._raft or date is not self._date:
            self._raft, self._date = raft, date
            self._tail = b"\r\nX-Raft-Index: %d\r\nX-Raft-Term: %d\r\n%bContent-Length: " % (
                raft.commit,
                raft.term,
                date,
            )
        start = self._starts.get((status, cors))
        if start is None:
            start = b"%b%b%bX-Etcd-Index: " % (wire.status_line(status), cors, self._headers)
            if len(self._starts) >= _STARTS_MAX:
                self._starts.clear()
            self._starts[status, cors] = start
        return b"%b%d%b%d\r\n\r\n%b" % (start, index, self._tail, len(body), body)

    def respond_error(self, error: EtcdError) -> Response:
        """Return the answer to what was refused."""
        headers = b"%bX-Etcd-Index: %d\r\n" % (self._headers, error.index)
        return Response(ERROR_TEXTS[error.code].status, headers, render_error(error))

    def head_lines(self, index: int, raft: RaftStatus) -> bytes:
        """Return the header lines of a success (a watch's too) at a store index."""
        return b"%bX-Etcd-Index: %d\r\nX-Raft-Index: %d\r\nX-Raft-Term: %d\r\n" % (
            self._headers,
            index,
            raft.commit,
            raft.term,
        )


_ACTIONS_WITH_VALUE = frozenset(("set", "create", "update", "compareAndSwap"))


def status_of(event: Event) -> int:
    """Return the status of a success: whether something is new."""
    action = event.action
    return 201 if action == CREATE or (action == SET and event.prev_node is None) else 200


def body_of(event: Event, is_value_hidden: bool) -> bytes:
    """Return the body of a success."""
    is_short = is_value_hidden and event.action in _ACTIONS_WITH_VALUE
    return render_action(event) if is_short else render_event(event)
