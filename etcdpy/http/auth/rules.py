"""Users, roles and rights: what they are, how changes are merged into them, what they allow.

Pure: values in, values or etcd's refusals out; no hashing, no storage, no HTTP.  A list that was
never set is None, one that was emptied is empty: etcd shows the difference, stores it, and takes
the step from the one to the other for a change.
Source: spec/auth.md sections 1, 3 and 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

ROOT = "root"  # the user, and the role
GUEST = "guest"

Names = tuple[str, ...] | None


class AuthError(Exception):
    """A refusal that is a result of the auth API; `words` are the client's, without its prefix."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words


@dataclass(frozen=True, slots=True)
class Permissions:
    """Patterns of the keys that may be read and written; a last `*` stands for any rest."""

    read: Names = None
    write: Names = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no pattern."""
        return not self.read and not self.write


@dataclass(frozen=True, slots=True)
class Role:
    """A role as it is stored, or a request to make or change one, with `grant` and `revoke`."""

    name: str
    permissions: Permissions = Permissions()
    grant: Permissions | None = None
    revoke: Permissions | None = None

    @property
    def is_update(self) -> bool:
        """Whether this request changes a role; any other makes one."""
        return not all(part is None or part.is_empty for part in (self.grant, self.revoke))


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored, `password` being the hash, or a request with the password itself.

    Only a request has `grant` and `revoke`.
    """

    name: str
    password: str = ""
    roles: Names = None
    grant: Names = None
    revoke: Names = None

    @property
    def is_update(self) -> bool:
        """Whether this request changes the roles of a user."""
        return bool(self.grant or self.revoke)

    @property
    def is_root(self) -> bool:
        """Whether this user has the role that may do everything."""
        return ROOT in (self.roles or ())


_EVERYTHING = Permissions(("/*",), ("/*",))
ROOT_ROLE = Role(ROOT, _EVERYTHING)
NEW_GUEST_ROLE = Role(GUEST, _EVERYTHING)


def with_root_role(user: User) -> User:
    """Return the user as it counts: the one called root always has that role."""
    if user.name != ROOT or user.is_root:
        return user
    return User(user.name, user.password, (*(user.roles or ()), ROOT), user.grant, user.revoke)


# Changes


def merge_user(old: User, asked: User, hashed: str) -> User:
    """Return `old` with what is `asked` for; `hashed` is the new password's hash, empty for none.

    Grants come before revokes, and all is done or nothing.

    Raises: AuthError.
    """
    roles = set(old.roles or ())
    for role in asked.grant or ():
        if role in roles:
            raise AuthError(409, f"Granting duplicate role {role} for user {asked.name}")
        roles.add(role)
    for role in asked.revoke or ():
        if role not in roles:
            raise AuthError(409, f"Revoking ungranted role {role} for user {asked.name}")
        roles.remove(role)
    new = User(old.name, hashed or old.password, _sorted(roles))
    if new == old:
        words = "User not updated. Use grant/revoke/password to update the user."
        raise AuthError(400, words)
    return new


def merge_role(old: Role, asked: Role) -> Role:
    """Return `old` with what is `asked` for; revoking what was not granted is no mistake here.

    Raises: AuthError.
    """
    permissions = old.permissions
    if asked.grant is not None:
        permissions = Permissions(
            _granted(permissions.read, asked.grant.read, "read"),
            _granted(permissions.write, asked.grant.write, "write"),
        )
    if asked.revoke is not None:
        permissions = Permissions(
            _sorted(set(permissions.read or ()).difference(asked.revoke.read or ())),
            _sorted(set(permissions.write or ()).difference(asked.revoke.write or ())),
        )
    new = Role(old.name, permissions)
    if new == old:
        raise AuthError(400, "Role not updated. Use grant/revoke to update the role.")
    return new


def _granted(held: Names, asked: Names, verb: str) -> Names:
    patterns = set(held or ())
    for pattern in asked or ():
        if pattern in patterns:
            raise AuthError(409, f"Granting duplicate {verb} permission {pattern}")
        patterns.add(pattern)
    return _sorted(patterns)


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Return names in the order of their bytes, which is that of their code points."""
    return tuple(sorted(names))


# Refusals that need no more than what is asked for


def check_is_no_root_role(name: str) -> None:
    """Refuse to make, change or remove the role that is built in.  Raises: AuthError."""
    if name == ROOT:
        raise AuthError(403, f"Cannot modify role {name}: is root role.")


def no_such_user(name: str) -> AuthError:
    """Return the refusal for a user that is not there."""
    return AuthError(404, f"User {name} does not exist.")


def no_such_role(name: str) -> AuthError:
    """Return the refusal for a role that is not there."""
    return AuthError(404, f"Role {name} does not exist.")


# Rights


class Patterns(NamedTuple):
    """The patterns of a list, ready to be compared with keys."""

    keys: frozenset[bytes]
    prefixes: tuple[bytes, ...]

    def match(self, key: bytes, *, is_recursive: bool) -> bool:
        """Tell whether a key is allowed; with all below it, only a prefix can allow it."""
        return key.startswith(self.prefixes) or (not is_recursive and key in self.keys)


class Rights(NamedTuple):
    """What a role allows."""

    read: Patterns
    write: Patterns

    def allow(self, key: bytes, *, is_write: bool, is_recursive: bool) -> bool:
        """Tell whether the role may do that to a key."""
        patterns = self.write if is_write else self.read
        return patterns.match(key, is_recursive=is_recursive)


def rights_of(role: Role) -> Rights:
    """Return what a role allows."""
    if role.name == ROOT:
        return _ALL_RIGHTS
    return Rights(_patterns(role.permissions.read or ()), _patterns(role.permissions.write or ()))


def _patterns(texts: Sequence[str]) -> Patterns:
    """Return a list's patterns; an empty one, at which etcd stumbles, matches nothing."""
    encoded = [text.encode() for text in texts if text]
    return Patterns(
        frozenset(pattern for pattern in encoded if not pattern.endswith(b"*")),
        tuple(pattern[:-1] for pattern in encoded if pattern.endswith(b"*")),
    )


_ALL_RIGHTS = Rights(_patterns(["*"]), _patterns(["*"]))
