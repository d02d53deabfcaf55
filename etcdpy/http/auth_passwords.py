"""Passwords: hashing and checking off the event loop, and what is remembered of good ones.

A check is as slow as bcrypt is meant to be, and a client sends its password with every request.
What is remembered is that a password matches the user as it is stored, at one modified index: any
change of that user, whichever member it was made on, has another.  Whether auth is on, who exists
and what the roles allow is looked up in the replicated state for each request and never remembered.
No password is kept, only its digest under a key that this process alone has.
Source: spec/auth.md section 2.
"""

import asyncio
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import bcrypt

from etcdpy.errors import RAFT_INTERNAL, EtcdError

#: etcd's cost and prefix, so that its members could check what ours have hashed.
COST = 10
_PREFIX = b"2a"

#: What bcrypt looks at; its library refuses more, where etcd's leaves the rest aside.
PASSWORD_BYTES_MAX = 72

#: Users whose password is remembered; each takes about 300 bytes.
REMEMBERED_MAX = 10_000

#: Checks and hashings that may be under way or wait: ten seconds' worth, the wait being in turn.
WAITING_MAX = 256

_Result = TypeVar("_Result")

_DIGEST_BYTES = 32
# Nobody's, and of the usual cost: who guesses names learns nothing from how long it takes.
_NOBODY = "$2a$10$zu3zw5Pi8raKeT2qNuQprezpWZ/TcMpD0a9yvFDaupVB97ejHZl/y"


class StoredPassword(NamedTuple):
    """The hash that a user's password is compared with, as of one version of that user."""

    name: str
    modified_index: int
    hashed: str


class _Match(NamedTuple):
    """That the password with this digest is the one that is stored."""

    stored: StoredPassword
    digest: bytes


class Passwords:
    """Hashes and checks; one for all listeners of a member.  Used on one loop."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._matches: OrderedDict[str, _Match] = OrderedDict()  # by user, last used last
        self._checks: dict[_Match, asyncio.Task[bool]] = {}  # under way
        # Half of the processors: a flood of wrong passwords must not stop everything else.
        self._turns = asyncio.Semaphore(max(1, (os.cpu_count() or 1) // 2))
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash of a new password.  Raises: EtcdError 300 when too many wait."""
        secret = password.encode()[:PASSWORD_BYTES_MAX]
        return (await self._run(_hash, secret)).decode()

    async def check(self, stored: StoredPassword, password: bytes) -> bool:
        """Tell whether a password is the one that is stored.

        Raises: EtcdError 300 when too many wait to be checked.
        """
        secret = password[:PASSWORD_BYTES_MAX]
        found = _Match(stored, blake2b(secret, key=self._key, digest_size=_DIGEST_BYTES).digest())
        known = self._matches.get(stored.name)
        if known is not None:
            if known.stored != stored:
                del self._matches[stored.name]
            elif secrets.compare_digest(known.digest, found.digest):
                self._matches.move_to_end(stored.name)
                return True
        # Many requests with the same credentials need one check only; none of them owns it.
        task = self._checks.get(found)
        if task is None:
            task = self._checks[found] = asyncio.create_task(self._check(found, secret))
        return await asyncio.shield(task)

    async def check_nobody(self, password: bytes) -> None:
        """Take as long as a check takes, for a user that does not exist."""
        await self._run(_matches, password[:PASSWORD_BYTES_MAX], _NOBODY)

    def forget(self, name: str) -> None:
        """Remember nothing of a user any more."""
        self._matches.pop(name, None)

    async def _check(self, found: _Match, secret: bytes) -> bool:
        try:
            is_right = await self._run(_matches, secret, found.stored.hashed)
        finally:
            del self._checks[found]
        if is_right:
            name = found.stored.name
            self._matches[name] = found
            self._matches.move_to_end(name)
            if len(self._matches) > REMEMBERED_MAX:
                self._matches.popitem(last=False)
        return is_right

    async def _run(self, work: Callable[..., _Result], *arguments: bytes | str) -> _Result:
        """Do in a thread what would hold up the loop, when it is its turn."""
        if self._waiting >= WAITING_MAX:
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: too many requests")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def _hash(secret: bytes) -> bytes:
    return bcrypt.hashpw(secret, bcrypt.gensalt(COST, _PREFIX))


def _matches(secret: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(secret, hashed.encode())
    except ValueError:  # what is stored is no hash
        return False
