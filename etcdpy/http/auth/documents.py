"""Users and roles as JSON: as clients send them, as they are stored, and as they are shown.

Requests and stored values have one form, so one reader: it takes what Go's decoder takes (names in
any case, unknown names, null) and no more.
Source: spec/auth.md sections 2, 3.2 and 3.3.
"""

from collections.abc import Iterable
from typing import Any

from etcdpy.http.auth.rules import Permissions, Role, User
from etcdpy.http.gojson import reader as gojson_reader
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.gojson.fields import StringList, fields_of, string_of
from etcdpy.http.gojson.reader import Value


def read_user(data: bytes) -> User:
    """Return the user in front of `data`; what follows is not looked at.  Raises: JsonError."""
    strings = {"user": "", "password": ""}
    lists = {name: StringList() for name in ("roles", "grant", "revoke")}
    for name, field in fields_of(gojson_reader.parse_first(data)):
        if name in strings:
            strings[name] = string_of(field, strings[name])
        elif name in lists:
            lists[name].assign(field)
    return User(
        strings["user"],
        strings["password"],
        lists["roles"].value(),
        lists["grant"].value(),
        lists["revoke"].value(),
    )


def read_role(data: bytes) -> Role:
    """Return the role in front of `data`; what follows is not looked at.  Raises: JsonError."""
    role = ""
    permissions = _Permissions()
    changes = {"grant": _NONE, "revoke": _NONE}
    for name, field in fields_of(gojson_reader.parse_first(data)):
        if name == "role":
            role = string_of(field, role)
        elif name == "permissions":
            permissions.assign(field)
        elif name in changes:
            changes[name] = _assigned(changes[name], field)
    grant, revoke = changes["grant"], changes["revoke"]
    return Role(
        role,
        permissions.value(),
        None if grant is None else grant.value(),
        None if revoke is None else revoke.value(),
    )


class _Permissions:
    """Two lists in the making."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists = {"read": StringList(), "write": StringList()}

    def assign(self, value: Value) -> None:
        """Take the value of a field.  Raises: JsonError."""
        for name, kv in fields_of(value):
            if name != "kv":
                continue
            for verb, patterns in fields_of(kv):
                if verb in self._lists:
                    self._lists[verb].assign(patterns)

    def value(self) -> Permissions:
        """Return the permissions."""
        return Permissions(*(each.value() for each in self._lists.values()))


_NONE: _Permissions | None = None


def _assigned(before: _Permissions | None, field: Value) -> _Permissions | None:
    """Return what a field makes of permissions that need not be there: null takes them away."""
    if field is None:
        return None
    permissions = before or _Permissions()
    permissions.assign(field)
    return permissions


def render_user(user: User) -> bytes:
    """Return a user with the names of its roles; of `password` what it has, to be stored."""
    shown: dict[str, Any] = {"user": user.name}
    if user.password:
        shown["password"] = user.password
    shown["roles"] = user.roles
    return gojson.dumps(shown)


def render_role(role: Role) -> bytes:
    """Return a role; `grant` and `revoke` too, if the request that made it had any."""
    return gojson.dumps(_shown_role(role))


def render_user_with_roles(user: User, roles: Iterable[Role]) -> bytes:
    """Return a user with all of its roles, and without the password."""
    return gojson.dumps(_shown_user(user, roles))


def render_users(users: Iterable[tuple[User, list[Role]]]) -> bytes:
    """Return the list of all users with their roles; it is null when there are none."""
    shown = [_shown_user(user, roles) for user, roles in users]
    return gojson.dumps({"users": shown or None})


def render_roles(roles: Iterable[Role]) -> bytes:
    """Return the list of all roles."""
    return gojson.dumps({"roles": [_shown_role(role) for role in roles]})


def _shown_user(user: User, roles: Iterable[Role]) -> dict[str, Any]:
    shown: dict[str, Any] = {"user": user.name}
    listed = [_shown_role(role) for role in roles]
    return {**shown, "roles": listed} if listed else shown


def _shown_role(role: Role) -> dict[str, Any]:
    shown: dict[str, Any] = {"role": role.name, "permissions": _shown(role.permissions)}
    for name, value in (("grant", role.grant), ("revoke", role.revoke)):
        if value is not None:
            shown[name] = _shown(value)
    return shown


def _shown(permissions: Permissions) -> dict[str, Any]:
    return {"kv": {"read": permissions.read, "write": permissions.write}}
