"""/v2/auth/users, /v2/auth/roles and /v2/auth/enable: who there is, what they may, and the switch.

Each face has a guard, which answers what can be refused before a body is read: the shape of the
path, then the method, then who asks.
Source: spec/auth.md section 3.
"""

from collections.abc import Awaitable

from etcdpy.errors import RAFT_INTERNAL, TOO_MANY_REQUESTS, EtcdError
from etcdpy.http import failures, form, wire
from etcdpy.http.auth import documents as auth_json
from etcdpy.http.auth.rules import AuthError, Role, User, no_such_role
from etcdpy.http.auth.store import AuthStore
from etcdpy.http.backend import Backend
from etcdpy.http.events import render_error
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.gojson.reader import JsonError
from etcdpy.http.wire import JSON_TYPE, Request, Response

USERS_PATH = b"/v2/auth/users"
ROLES_PATH = b"/v2/auth/roles"
SWITCH_PATH = b"/v2/auth/enable"
SWITCH_ALLOWED = ITEM_ALLOWED = b"GET,PUT,DELETE"
LIST_ALLOWED = b"GET"

METHODS_WITH_BODY = frozenset(("PUT",))
# A thousand patterns; etcd has no bound.  The worst of JSON of that length takes a tenth of a
# second to read, in which the loop does nothing else.
BODY_BYTES_MAX = 64 * 1024
BODY_TOO_LARGE = b"http: request body too large"

_BAD_PATH = wire.message(400, b'"Invalid path"')
_ITEM_METHODS = frozenset(ITEM_ALLOWED.decode().split(","))


class _RequestError(Exception):
    """The request is refused before the store is asked; `words` are the answer's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words


# Guards


async def guard_named(backend: Backend, request: Request) -> Response | None:
    """Refuse what needs no body to be refused: of the lists, and of a user or role by its name."""
    pieces = _pieces(request.path)
    if len(pieces) > 1:
        return _BAD_PATH
    if request.method not in (_ITEM_METHODS if pieces else (LIST_ALLOWED.decode(),)):
        return wire.method_not_allowed(ITEM_ALLOWED if pieces else LIST_ALLOWED)
    return await backend.authority.refuse(request)


async def guard_switch(backend: Backend, request: Request) -> Response | None:
    """Refuse to let others than root turn the switch; who looks at it is not asked."""
    if request.method == "GET":
        return None
    return await backend.authority.refuse(request)


def is_body_wanted(request: Request) -> bool:
    """Tell whether a body is read, which it is, whatever type it is said to have."""
    return True


def _pieces(path: bytes) -> list[str]:
    """Return what follows the kind in the path of a face: nothing, a name, or too much."""
    return [piece.decode("utf-8", "surrogateescape") for piece in path.rstrip(b"/").split(b"/")[4:]]


# Faces


async def serve_users(backend: Backend, request: Request) -> Response:
    """Answer what the guard let pass of the list of users and of each."""
    store = backend.authority.store
    pieces = _pieces(request.path)
    if not pieces:
        return await _answer(backend, _list_users(store, request))
    if request.method == "GET":
        return await _answer(backend, _get_user(store, request, pieces[0]))
    if request.method == "PUT":
        return await _answer(backend, _put_user(store, request, pieces[0]))
    return await _answer(backend, _done(store.delete_user(pieces[0])))


async def serve_roles(backend: Backend, request: Request) -> Response:
    """Answer what the guard let pass of the list of roles and of each."""
    store = backend.authority.store
    pieces = _pieces(request.path)
    if not pieces:
        return await _answer(backend, _list_roles(store, request))
    if request.method == "GET":
        return await _answer(backend, _get_role(store, pieces[0]))
    if request.method == "PUT":
        return await _answer(backend, _put_role(store, request, pieces[0]))
    return await _answer(backend, _done(store.delete_role(pieces[0])))


async def serve_switch(backend: Backend, request: Request) -> Response:
    """Answer what the guard let pass of the switch."""
    store = backend.authority.store
    is_enabled = store.is_enabled()
    if request.method == "GET":
        return await _answer(backend, _show(gojson.dumps({"enabled": is_enabled})))
    change = store.enable() if request.method == "PUT" else store.disable()
    return await _answer(backend, _done(change))


async def _answer(backend: Backend, work: Awaitable[Response]) -> Response:
    """Return the outcome of `work` or its refusal, with the headers that all of them have."""
    headers = b"X-Etcd-Cluster-Id: %x\r\n" % backend.cluster_id
    try:
        response = await work
    except _RequestError as refusal:
        return _refused(refusal.status, refusal.words, headers)
    except AuthError as refusal:
        return _refused(refusal.status, f"auth: {refusal.words}", headers)
    except EtcdError as error:
        if error.code not in (RAFT_INTERNAL, TOO_MANY_REQUESTS):  # what was to be changed is gone
            return Response(404, JSON_TYPE + headers, render_error(error))
        failures.note(error.cause.decode("utf-8", "replace"))
        return _refused(500, "Internal Server Error", headers)
    return response._replace(headers=JSON_TYPE + headers)


def _refused(status: int, words: str, headers: bytes) -> Response:
    return wire.message(status, gojson.quote(words.encode("utf-8", "surrogateescape")), headers)


async def _show(body: bytes, status: int = 200) -> Response:
    return Response(status, body=body + b"\n")


async def _done(change: Awaitable[None]) -> Response:
    await change
    return Response(200)


def _check_query(request: Request) -> None:
    """Refuse a query that is none, as etcd does where it has no use for it."""
    error = form.parse(request.raw_query, {})
    if error is not None:
        failures.note(error.cause.decode("utf-8", "replace"))
        raise _RequestError(500, "Internal Server Error")


# Users


async def _list_users(store: AuthStore, request: Request) -> Response:
    names = store.user_names()
    _check_query(request)
    users = [store.get_user(name) for name in names]
    return await _show(auth_json.render_users((user, _roles_of(store, user)) for user in users))


def _roles_of(store: AuthStore, user: User) -> list[Role]:
    """Return the roles of a user that exist."""
    found = [store.find_role(name) for name in user.roles or ()]
    return [role for role in found if role is not None]


async def _get_user(store: AuthStore, request: Request, name: str) -> Response:
    user = store.get_user(name)
    _check_query(request)
    roles = []
    for role_name in user.roles or ():
        role = store.find_role(role_name)
        if role is None:
            raise no_such_role(role_name)
        roles.append(role)
    return await _show(auth_json.render_user_with_roles(user, roles))


async def _put_user(store: AuthStore, request: Request, name: str) -> Response:
    """Make a user or change one; which of them is meant is seen by what is given."""
    try:
        asked = auth_json.read_user(_body(request))
    except JsonError:
        raise _BAD_JSON from None
    if asked.name != name:
        raise _RequestError(400, "User JSON name does not match the name in the URL")
    is_created = False
    if asked.is_update:
        if asked.roles:
            raise _RequestError(400, "User JSON contains both roles and grant/revoke")
        user = await store.update_user(asked)
    elif asked.roles:
        user = await store.create_user(asked)
    else:
        user, is_created = await store.create_or_update_user(asked)
    shown = auth_json.render_user(User(user.name, roles=user.roles))
    return await _show(shown, 201 if is_created else 200)


# Roles


async def _list_roles(store: AuthStore, request: Request) -> Response:
    names = store.role_names()
    _check_query(request)
    return await _show(auth_json.render_roles(store.get_role(name) for name in names))


async def _get_role(store: AuthStore, name: str) -> Response:
    return await _show(auth_json.render_role(store.get_role(name)))


async def _put_role(store: AuthStore, request: Request, name: str) -> Response:
    """Make a role, or change one where something is granted or revoked."""
    try:
        asked = auth_json.read_role(_body(request))
    except JsonError:
        raise _BAD_JSON from None
    if asked.name != name:
        raise _RequestError(400, "Role JSON name does not match the name in the URL")
    if not asked.is_update:
        await store.create_role(asked)
        return await _show(auth_json.render_role(asked), 201)
    if not asked.permissions.is_empty:
        raise _RequestError(400, "Role JSON contains both permissions and grant/revoke")
    return await _show(auth_json.render_role(await store.update_role(asked)))


def _body(request: Request) -> bytes:
    """Return the body, which may be followed by what nobody reads."""
    if request.body_error == BODY_TOO_LARGE:
        raise _RequestError(400, BODY_TOO_LARGE.decode())
    return request.body


_BAD_JSON = _RequestError(400, "Invalid JSON in request body.")
