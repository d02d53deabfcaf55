"""Passwords: hashed and checked off the event loop, in turn, each only once.

A check is as slow as bcrypt is meant to be: it is done in a thread, on a part of the processors,
and many requests that wait for the same answer wait for one check.
Source: spec/auth.md section 2.
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

import bcrypt

from etcdpy.errors import RAFT_INTERNAL, EtcdError

#: etcd's cost and prefix, so that its members could check what ours have hashed.
COST = 10
_PREFIX = b"2a"

#: What bcrypt looks at; its library refuses more, where etcd's leaves the rest aside.
PASSWORD_BYTES_MAX = 72

#: Checks and hashings that may be under way or wait: ten seconds' worth, the wait being in turn.
WAITING_MAX = 256

_Result = TypeVar("_Result")

# Nobody's, and of the usual cost: who guesses names learns nothing from how long it takes.
_NOBODY = "$2a$10$zu3zw5Pi8raKeT2qNuQprezpWZ/TcMpD0a9yvFDaupVB97ejHZl/y"


def new_digest() -> Callable[[bytes], bytes]:
    """Return a digest under a new key that nobody knows: what it was made of cannot be guessed."""
    keyed = blake2b(key=secrets.token_bytes(32), digest_size=32)

    def digest(secret: bytes) -> bytes:
        started = keyed.copy()
        started.update(secret)
        return started.digest()

    return digest


class Passwords:
    """Hashes and checks; one for all listeners of a member.  Used on one loop."""

    def __init__(self) -> None:
        self._digest = new_digest()
        self._checks: dict[tuple[str, bytes], asyncio.Task[bool]] = {}  # by hash and password
        # Half of the processors: a flood of wrong passwords must not stop everything else.
        self._turns = asyncio.Semaphore(max(1, (os.cpu_count() or 1) // 2))
        self.waiting_count = 0

    async def hash(self, password: str) -> str:
        """Return the hash of a new password.  Raises: EtcdError 300 when too many wait."""
        secret = password.encode()[:PASSWORD_BYTES_MAX]
        return (await self._run(_hash, secret)).decode()

    async def check(self, hashed: str, password: bytes) -> bool:
        """Tell whether a password is the one that was hashed.

        Raises: EtcdError 300 when too many wait to be checked.
        """
        secret = password[:PASSWORD_BYTES_MAX]
        key = hashed, self._digest(secret)
        task = self._checks.get(key)
        if task is None:
            task = self._checks[key] = asyncio.create_task(self._run(_matches, secret, hashed))
            task.add_done_callback(lambda _: self._checks.pop(key))
        return await asyncio.shield(task)  # which is of no single request

    async def check_nobody(self, password: bytes) -> None:
        """Take as long as a check takes, for a user that does not exist."""
        await self._run(_matches, password[:PASSWORD_BYTES_MAX], _NOBODY)

    async def _run(self, work: Callable[..., _Result], *arguments: bytes | str) -> _Result:
        """Do in a thread what would hold up the loop, when it is its turn."""
        if self.waiting_count >= WAITING_MAX:
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: too many requests")
        self.waiting_count += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self.waiting_count -= 1


def _hash(secret: bytes) -> bytes:
    return bcrypt.hashpw(secret, bcrypt.gensalt(COST, _PREFIX))


def _matches(secret: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(secret, hashed.encode())
    except ValueError:  # what is stored is no hash
        return False
