"""Users, roles and the switch in the replicated tree: how they are read, and how changed.

They are files below /2 that no client can reach, written by ordinary commands, so that they are
replicated, compacted and restored as keys are.  Which commands a change takes is part of the API:
the store's index and counters show it.
Source: spec/auth.md sections 2 and 3.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from etcdpy.errors import KEY_EXISTS, KEY_NOT_FOUND, EtcdError
from etcdpy.http.auth import documents as auth_json
from etcdpy.http.auth import rules as auth_rules
from etcdpy.http.auth.passwords import Passwords
from etcdpy.http.auth.rules import AuthError, Rights, Role, User
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event

_PART = b"/2"
_SWITCH = _PART + b"/enabled"
_USERS = _PART + b"/users"
_ROLES = _PART + b"/roles"

#: Between info and warning, as `logs.NOTICE`, which stands above this package.
NOTICE = 25

# Users and roles of which is kept where they are stored, and what the stored value means.
_READ_MAX = 4096
# Who has no password can name anybody, at any length: of such a name nothing is kept.
_NAME_KEPT_MAX = 256

_log = logging.getLogger("etcdpy.etcdserver.auth")


class File(Protocol):
    """What is stored under a path, until the next change: to be looked at, not to be kept."""

    @property
    def value(self) -> bytes:
        """What was written last."""

    @property
    def modified_index(self) -> int:
        """Where it was written."""


class Storage(Protocol):
    """The replicated tree, as this package's auth needs it; a Backend is one."""

    def now_ns(self) -> int:
        """Return the wall clock, Unix nanoseconds."""

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        """Replicate and apply `command`; the future has its event or its EtcdError."""

    def linearized(self) -> "asyncio.Future[int]":
        """Return a future, done when the local tree holds all acknowledged before now."""

    def find_file(self, path: bytes) -> File | None:
        """Return the file at `path` of the local tree, None if there is none; counted as a read."""

    def get(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Event:
        """Read the local tree.  Raises: EtcdError."""


class StoredUser(NamedTuple):
    """One version of a user: whatever is changed of it, another has another index."""

    name: str
    modified_index: int
    user: User


class AuthStore:
    """The users, roles and switch of a cluster, seen from one member.

    Reading is local and never waits; changing goes through the log.  Names that no file of the
    tree can have, or that would lead elsewhere in it, are names of nobody.
    """

    def __init__(self, storage: Storage, passwords: Passwords) -> None:
        self._storage = storage
        self._passwords = passwords
        self._read_user = lru_cache(_READ_MAX)(_read_user)
        self._read_role = lru_cache(_READ_MAX)(auth_json.read_role)
        self._read_rights = lru_cache(_READ_MAX)(_read_rights)
        self._path_of = lru_cache(_READ_MAX)(_path_of)
        # Whether this process has seen to it that the directories are there.
        self._is_founded = False
        # What one request here grants must not be lost to another that read the same before.
        self._merging = asyncio.Lock()

    # Reading

    def is_enabled(self) -> bool:
        """Tell whether auth is on."""
        switch = self._storage.find_file(_SWITCH)
        return switch is not None and switch.value == b"true"

    def find_user(self, name: str) -> StoredUser | None:
        """Return a user, None if there is none of that name."""
        return self._version(name, self._find(_USERS, name))

    def find_again(self, known: StoredUser) -> StoredUser | None:
        """Return a user as it is now, which is `known` itself unless it was changed."""
        file = self._find(_USERS, known.name)
        if file is not None and file.modified_index == known.modified_index:
            return known
        return self._version(known.name, file)

    def get_user(self, name: str) -> User:
        """Return a user.  Raises: AuthError."""
        found = self.find_user(name)
        if found is None:
            raise auth_rules.no_such_user(name)
        return found.user

    def find_role(self, name: str) -> Role | None:
        """Return a role, None if there is none of that name."""
        if name == auth_rules.ROOT:
            return auth_rules.ROOT_ROLE
        file = self._find(_ROLES, name)
        return None if file is None else self._read_role(file.value)

    def get_role(self, name: str) -> Role:
        """Return a role.  Raises: AuthError."""
        role = self.find_role(name)
        if role is None:
            raise auth_rules.no_such_role(name)
        return role

    def find_rights(self, name: str) -> Rights | None:
        """Return what a role allows, None if there is none of that name."""
        if name == auth_rules.ROOT:
            return auth_rules.rights_of(auth_rules.ROOT_ROLE)
        file = self._find(_ROLES, name)
        return None if file is None else self._read_rights(file.value)

    def user_names(self) -> list[str]:
        """Return the names of all users that are not hidden, in the order of their bytes."""
        return self._names(_USERS)

    def role_names(self) -> list[str]:
        """Return the names of all roles that are not hidden, in the order of their bytes."""
        return sorted([auth_rules.ROOT, *self._names(_ROLES)], key=_encode)

    def _version(self, name: str, file: File | None) -> StoredUser | None:
        if file is None:
            return None
        return StoredUser(name, file.modified_index, self._read_user(file.value))

    def _find(self, directory: bytes, name: str) -> File | None:
        path_of = self._path_of if len(name) <= _NAME_KEPT_MAX else _path_of
        path = path_of(directory, name)
        return None if path is None else self._storage.find_file(path)

    def _names(self, directory: bytes) -> list[str]:
        try:
            event = self._storage.get(directory, is_recursive=False, is_sorted=True)
        except EtcdError as error:
            if error.code != KEY_NOT_FOUND:
                raise
            return []
        prefix_size = len(directory) + 1
        return [_decode(node.key[prefix_size:]) for node in event.node.nodes or ()]

    # Users

    async def create_or_update_user(self, user: User) -> tuple[User, bool]:
        """Make a user, or give it another password; return it, and whether it was made.

        Raises: AuthError, EtcdError.
        """
        if await self._exists(self.get_user, user.name):
            return await self.update_user(user), False
        return await self.create_user(user), True

    async def create_user(self, user: User) -> User:
        """Make a user.  Raises: AuthError, EtcdError."""
        if not user.password:
            words = f"Cannot create user {user.name} with an empty password"
            raise AuthError(400, words)
        hashed = await self._passwords.hash(user.password)
        created = auth_rules.with_root_role(User(user.name, hashed, user.roles))
        exists = AuthError(409, f"User {user.name} already exists.")
        data = auth_json.render_user(created)
        await self._write(CommandKind.CREATE, _USERS, user.name, data, {KEY_EXISTS: exists})
        _log.log(NOTICE, "created user %s", user.name)
        return created

    async def update_user(self, user: User) -> User:
        """Change roles, or the password, or both.  Raises: AuthError, EtcdError."""
        await self._storage.linearized()
        async with self._merging:
            old = self.get_user(user.name)
            hashed = await self._passwords.hash(user.password) if user.password else ""
            new = auth_rules.merge_user(old, user, hashed)
            await self._write(CommandKind.UPDATE, _USERS, user.name, auth_json.render_user(new))
        _log.log(NOTICE, "updated user %s", user.name)
        return new

    async def delete_user(self, name: str) -> None:
        """Remove a user.  Raises: AuthError, EtcdError."""
        if self.is_enabled() and name == auth_rules.ROOT:
            raise AuthError(403, "Cannot delete root user while auth is enabled.")
        missing = AuthError(404, f"User {name} does not exist")
        await self._write(CommandKind.DELETE, _USERS, name, refusals={KEY_NOT_FOUND: missing})
        _log.log(NOTICE, "deleted user %s", name)

    # Roles

    async def create_role(self, role: Role) -> None:
        """Make a role.  Raises: AuthError, EtcdError."""
        auth_rules.check_is_no_root_role(role.name)
        exists = AuthError(409, f"Role {role.name} already exists.")
        data = auth_json.render_role(role)
        await self._write(CommandKind.CREATE, _ROLES, role.name, data, {KEY_EXISTS: exists})
        _log.log(NOTICE, "created new role %s", role.name)

    async def update_role(self, role: Role) -> Role:
        """Grant and revoke patterns.  Raises: AuthError, EtcdError."""
        auth_rules.check_is_no_root_role(role.name)
        await self._storage.linearized()
        async with self._merging:
            new = auth_rules.merge_role(self.get_role(role.name), role)
            await self._write(CommandKind.UPDATE, _ROLES, role.name, auth_json.render_role(new))
        _log.log(NOTICE, "updated role %s", role.name)
        return new

    async def delete_role(self, name: str) -> None:
        """Remove a role; users may keep its name.  Raises: AuthError, EtcdError."""
        auth_rules.check_is_no_root_role(name)
        missing = AuthError(404, f"Role {name} doesn't exist.")
        await self._write(CommandKind.DELETE, _ROLES, name, refusals={KEY_NOT_FOUND: missing})
        _log.log(NOTICE, "deleted role %s", name)

    # The switch

    async def enable(self) -> None:
        """Turn auth on; who has no credentials may do all until the guest role is changed.

        Raises: AuthError, EtcdError.
        """
        if self.is_enabled():
            raise AuthError(409, "already enabled")
        if not await self._exists(self.get_user, auth_rules.ROOT):
            raise AuthError(409, "No root user available, please create one")
        if not await self._exists(self.get_role, auth_rules.GUEST):
            _log.info("no guest role access found, creating default")
            try:
                await self.create_role(auth_rules.NEW_GUEST_ROLE)
            except (AuthError, EtcdError):
                _log.error("error creating guest role. aborting auth enable.")
                raise
        await self._turn(b"true", "enabl")

    async def disable(self) -> None:
        """Turn auth off.  Raises: AuthError, EtcdError."""
        if not self.is_enabled():
            raise AuthError(409, "already disabled")
        await self._turn(b"false", "disabl")

    async def _turn(self, value: bytes, verb: str) -> None:
        try:
            await self._write(CommandKind.UPDATE, _PART, "enabled", value)
        except EtcdError as error:
            _log.error("error %sing auth (%s)", verb, error)
            raise
        _log.log(NOTICE, "auth: %sed auth", verb)

    # Writing

    async def _exists(self, get: Callable[[str], object], name: str) -> bool:
        """Tell whether the cluster has a user or role; one that cannot be asked has none."""
        try:
            await self._storage.linearized()
            get(name)
        except (AuthError, EtcdError):
            return False
        return True

    async def _write(
        self,
        kind: CommandKind,
        directory: bytes,
        name: str,
        value: bytes = b"",
        refusals: dict[int, AuthError] | None = None,
    ) -> None:
        """Change one file; `refusals` has what to say for which error of the store.

        Raises: AuthError, EtcdError.
        """
        await self._found()
        path = _path_of(directory, name)
        assert path is not None  # it was a piece of a clean path
        try:
            await self._storage.propose(Command(kind, self._storage.now_ns(), path, value))
        except EtcdError as error:
            if refusals and error.code in refusals:
                raise refusals[error.code] from None
            raise

    async def _found(self) -> None:
        """Make the directories and the switch, once in this process's life, as etcd does."""
        if self._is_founded:
            return
        for path, value in ((_PART, None), (_USERS, None), (_ROLES, None), (_SWITCH, b"false")):
            command = Command(
                CommandKind.CREATE,
                self._storage.now_ns(),
                path,
                value or b"",
                is_dir=value is None,
            )
            try:
                await self._storage.propose(command)
            except EtcdError as error:
                if error.code != KEY_EXISTS:
                    _log.error("failed to create auth directories in the store (%s)", error)
                    raise
        self._is_founded = True


def _path_of(directory: bytes, name: str) -> bytes | None:
    """Return where something of that name is stored, None for a name that nothing can have."""
    if name in ("", ".", "..") or "/" in name:
        return None
    return b"%b/%b" % (directory, _encode(name))


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _read_user(value: bytes) -> User:
    return auth_rules.with_root_role(auth_json.read_user(value))


def _read_rights(value: bytes) -> Rights:
    return auth_rules.rights_of(auth_json.read_role(value))
