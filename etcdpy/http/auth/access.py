"""Who asks, and whether they may: the checks in front of the other routes.

A file of its own because every face asks here and none decides by itself.  Who a caller is comes
first: credentials that are given and wrong are never taken for none.  A request without any is a
guest's where keys are concerned, and nobody's elsewhere.

That the credentials of a header are right is remembered, for one version of their user: any change
of that user, whichever member it was made on, makes another.  Whether auth is on, who exists and
what the roles allow is looked up in the replicated state for each request, and never remembered.
Source: spec/auth.md sections 4 to 6.
"""

import binascii
import logging
import re
from collections import OrderedDict
from typing import NamedTuple

from etcdpy.errors import UNAUTHORIZED, EtcdError
from etcdpy.http import failures, wire
from etcdpy.http.auth.passwords import Passwords, new_digest
from etcdpy.http.auth.rules import GUEST, User
from etcdpy.http.auth.store import AuthStore, Storage, StoredUser
from etcdpy.http.wire import Caller, Request, Response

REFUSAL = b"Insufficient credentials"

#: Headers whose credentials are remembered; each takes about 300 bytes.
REMEMBERED_MAX = 10_000

_SCHEME = b"basic "
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_log = logging.getLogger("etcdpy.etcdserver.api.v2http")


class Credentials(NamedTuple):
    """What a Basic header says; the name may be that of nobody."""

    name: str
    password: bytes


def read_basic(header: bytes) -> Credentials | None:
    """Return what an Authorization header says, None unless it is Basic and whole."""
    code = header[len(_SCHEME) :]
    if header[: len(_SCHEME)].lower() != _SCHEME or not _BASE64.fullmatch(code):
        return None
    name, colon, password = binascii.a2b_base64(code).partition(b":")
    if not colon:
        return None
    return Credentials(name.decode("utf-8", "surrogateescape"), password)


class Remembered:
    """Headers whose credentials were right, and of which version of which user.

    No password is kept, only the header's digest under a key that this process alone has.
    """

    def __init__(self) -> None:
        self._digest = new_digest()
        self._users: OrderedDict[bytes, StoredUser] = OrderedDict()  # last used last
        # Counted for who asks.
        self.hits_count = 0
        self.misses_count = 0

    def __len__(self) -> int:
        return len(self._users)

    def find(self, header: bytes) -> StoredUser | None:
        """Return the user whose credentials these were, None if it is not known."""
        digest = self._digest(header)
        found = self._users.get(digest)
        if found is not None:
            self._users.move_to_end(digest)
        return found

    def add(self, header: bytes, user: StoredUser) -> None:
        """Remember a header; the one that was not used for longest makes room."""
        self._users[self._digest(header)] = user
        if len(self._users) > REMEMBERED_MAX:
            self._users.popitem(last=False)

    def drop(self, header: bytes) -> None:
        """Forget a header."""
        self._users.pop(self._digest(header), None)


class Claim(NamedTuple):
    """Credentials that are not known to be right, and the user whose they say they are, if any."""

    credentials: Credentials
    user: StoredUser | None


class Doubt(NamedTuple):
    """What somebody wants to do to a key who has a password that must be checked first."""

    claim: Claim
    caller: Caller
    key: bytes
    is_write: bool
    is_recursive: bool


class Authority:
    """Judges callers by the replicated users and roles.  One for all listeners of a member."""

    def __init__(self, storage: Storage) -> None:
        self._passwords = Passwords()
        self.remembered = Remembered()
        self.store = AuthStore(storage, self._passwords)

    @property
    def waiting_count(self) -> int:
        """How many passwords wait to be hashed or checked."""
        return self._passwords.waiting_count

    def is_enabled(self) -> bool:
        """Tell whether anything is checked at all."""
        return self.store.is_enabled()

    async def check_key(
        self, caller: Caller, key: bytes, *, is_write: bool, is_recursive: bool
    ) -> None:
        """Let pass who may do that to a key, which is the path as asked for.  Auth is on.

        A watch is a read.  Raises: EtcdError 110 for others, 300 when too many wait for a check.
        """
        doubt = self.judge_key(caller, key, is_write=is_write, is_recursive=is_recursive)
        if doubt is not None:
            await self.settle(doubt)

    def judge_key(
        self, caller: Caller, key: bytes, *, is_write: bool, is_recursive: bool
    ) -> Doubt | None:
        """Do what `check_key` does without waiting; what has to be waited for is returned.

        Raises: EtcdError 110.
        """
        user: User | None = None
        if not caller.authorization:
            user = self._find_certified(caller.certificate_names)
        else:
            found = self._recall(caller.authorization)
            if isinstance(found, Claim):
                return Doubt(found, caller, key, is_write, is_recursive)
            user = found
        self._judge(user, caller, key, is_write=is_write, is_recursive=is_recursive)
        return None

    async def settle(self, doubt: Doubt) -> None:
        """Do what `check_key` does once the password has been checked.  Raises: as that."""
        claim, caller, key, is_write, is_recursive = doubt
        user = await self._check(claim, caller.authorization)
        self._judge(user, caller, key, is_write=is_write, is_recursive=is_recursive)

    def _judge(
        self, user: User | None, caller: Caller, key: bytes, *, is_write: bool, is_recursive: bool
    ) -> None:
        """Let pass who may.  Raises: EtcdError 110."""
        if user is not None:
            roles = user.roles or ()
        elif caller.authorization:
            raise _refused()
        else:  # for whom etcd does not look whether it is recursive
            roles, is_recursive = (GUEST,), False
        for role in roles:
            rights = self.store.find_rights(role)
            if rights and rights.allow(key, is_write=is_write, is_recursive=is_recursive):
                return
        what = "unauthenticated user on resource" if user is None else f"user {user.name} on key"
        _log.warning("auth: invalid access for %s %s.", what, _shown(key))
        raise _refused()

    async def refuse(self, request: Request) -> Response | None:
        """Return the refusal of what only root may do, None for root and while auth is off."""
        try:
            if await self._may_administer(request.caller, request.path):
                return None
        except EtcdError as error:
            failures.note(error.cause.decode())
            return wire.message(500, b'"Internal Server Error"')
        return wire.message(401, b'"%b"' % REFUSAL)

    async def _may_administer(self, caller: Caller, path: bytes) -> bool:
        """Tell whether a caller has the root role, or auth is off; `path` is for the log."""
        if not self.is_enabled():
            return True
        user = await self._identify(caller)
        if user is not None and not user.is_root:
            words = "auth: user %s does not have the root role for resource %s."
            _log.warning(words, user.name, _shown(path))
        elif user is None and not caller.authorization and not caller.certificate_names:
            _log.warning("auth: malformed basic auth encoding")
        return user is not None and user.is_root

    async def _identify(self, caller: Caller) -> User | None:
        """Return the user who asks, None for nobody that is known."""
        header = caller.authorization
        if not header:
            return self._find_certified(caller.certificate_names)
        found = self._recall(header)
        return await self._check(found, header) if isinstance(found, Claim) else found

    def _recall(self, header: bytes) -> User | Claim | None:
        """Return the user whose credentials are remembered to be right, or whose are to be checked.

        None for credentials that cannot be read.
        """
        known = self.remembered.find(header)
        found = None
        if known is not None:
            found = self.store.find_again(known)
            if found is known:
                self.remembered.hits_count += 1
                return known.user
            self.remembered.drop(header)
        credentials = read_basic(header)
        if credentials is None:
            _log.warning("auth: malformed basic auth encoding")
            return None
        if known is None:
            found = self.store.find_user(credentials.name)
        return Claim(credentials, found)

    async def _check(self, claim: Claim, header: bytes) -> User | None:
        """Return the user that was found, if the password is right."""
        credentials, found = claim
        self.remembered.misses_count += 1
        if found is None:
            await self._passwords.check_nobody(credentials.password)
            return None
        if not await self._passwords.check(found.user.password, credentials.password):
            _log.warning("auth: incorrect password for user: %s", credentials.name)
            return None
        self.remembered.add(header, found)
        return found.user

    def _find_certified(self, names: tuple[str, ...]) -> User | None:
        """Return the first user that a certificate of the caller names."""
        for name in names:
            found = self.store.find_user(name)
            if found is not None:
                _log.debug("auth: authenticated user %s by cert common name.", name)
                return found.user
        return None


def _refused() -> EtcdError:
    return EtcdError(UNAUTHORIZED, REFUSAL)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")
