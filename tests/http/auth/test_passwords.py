"""Passwords: etcd's hashes, checks in turn and off the loop."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any

import bcrypt
import pytest

from etcdpy.errors import RAFT_INTERNAL, EtcdError
from etcdpy.http.auth import passwords as auth_passwords
from etcdpy.http.auth.passwords import WAITING_MAX, Passwords, new_digest

# What a member of etcd 3.4.23 has stored for the password "pw".
OF_ETCD = "$2a$10$uV31uLh1ekRfGsn7d4JH/ew688nfDTXSWtyIFsGJWElPzLcJn9fN6"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost."""
    monkeypatch.setattr(auth_passwords, "COST", 4)


def test_a_hash_is_of_etcds_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashed = run(Passwords().hash("pw"))
    assert hashed.startswith("$2a$10$")
    assert bcrypt.checkpw(b"pw", hashed.encode())


def test_a_hash_of_etcds_is_understood() -> None:
    assert run(Passwords().check(OF_ETCD, b"pw")) is True
    assert run(Passwords().check(OF_ETCD, b"pw2")) is False


@pytest.mark.parametrize(
    ("password", "given", "is_right"),
    [
        ("pw", b"pw", True),
        ("pw", b"px", False),
        ("pw", b"", False),
        ("é", "é".encode(), True),
        ("b" * 80, b"b" * 80, True),
        ("b" * 80, b"b" * 72, True),
        ("b" * 80, b"b" * 71, False),
        ("b" * 72, b"b" * 80, True),
        ("é" * 40, "é".encode() * 36, True),
        ("a\0b", b"a\0b", True),
        ("a\0b", b"a\0c", False),
        ("a", b"\xff", False),
    ],
)
def test_the_first_72_bytes_count(password: str, given: bytes, is_right: bool) -> None:
    async def check() -> bool:
        passwords = Passwords()
        return await passwords.check(await passwords.hash(password), given)

    assert run(check()) is is_right


@pytest.mark.parametrize("hashed", ["", "x", "$2a$10$", "pw", OF_ETCD + "x"])
def test_what_is_no_hash_matches_nothing(hashed: str) -> None:
    assert run(Passwords().check(hashed, b"pw")) is False


class Counted:
    """Counts the checks that bcrypt makes, and holds them until they may end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at_once = 0
        self.at_once_max = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        monkeypatch.setattr(auth_passwords, "_matches", self)

    def __call__(self, secret: bytes, hashed: str) -> bool:
        with self._lock:
            self.count += 1
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
        assert self.gate.wait(20)
        with self._lock:
            self.at_once -= 1
        return secret == hashed.encode()


def test_the_same_credentials_are_checked_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)

    async def check() -> list[bool]:
        passwords = Passwords()
        tasks = [asyncio.create_task(passwords.check("pw", b"pw")) for _ in range(50)]
        tasks += [asyncio.create_task(passwords.check("pw", b"other")) for _ in range(50)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # whose client is gone; the others still want to know
        counted.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert not passwords._checks
        return [value for value in found if isinstance(value, bool)]

    assert run(check()) == [True] * 49 + [False] * 50
    assert counted.count == 2


def test_a_part_of_the_processors_is_left_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    counted = Counted(monkeypatch)
    counted.gate.set()

    async def check() -> None:
        passwords = Passwords()
        await asyncio.gather(*(passwords.check("pw", b"%d" % number) for number in range(40)))

    run(check())
    assert counted.count == 40
    assert counted.at_once_max <= 2


def test_too_many_that_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)

    async def check() -> tuple[int, list[EtcdError]]:
        passwords = Passwords()
        numbers = range(WAITING_MAX + 10)
        tasks = [asyncio.create_task(passwords.check("pw", b"%d" % number)) for number in numbers]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        while len(done) < 10:
            await asyncio.sleep(0)
            done = {task for task in tasks if task.done()}
        refusals = [error for task in done if isinstance(error := task.exception(), EtcdError)]
        counted.gate.set()
        await asyncio.wait(tasks)
        assert await passwords.check("pw", b"pw")  # there is room again
        return len(done), refusals

    done, refusals = run(check())
    assert done == len(refusals) == 10
    for refusal in refusals:
        assert (refusal.code, refusal.cause) == (RAFT_INTERNAL, b"etcdserver: too many requests")


def test_nobody_is_checked_as_anybody_and_never_right(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bytes, str]] = []
    monkeypatch.setattr(auth_passwords, "_matches", lambda *given: asked.append(given))
    run(Passwords().check_nobody(b"x" * 100))
    ((secret, hashed),) = asked
    assert secret == b"x" * 72
    assert hashed.startswith("$2a$10$")
    assert len(hashed) == len(OF_ETCD)


def test_a_digest_tells_nothing_without_its_key() -> None:
    one, other = new_digest(), new_digest()
    assert one(b"secret") == one(b"secret")
    assert one(b"secret") != one(b"secret2")
    assert one(b"secret") != other(b"secret")
    assert b"secret" not in one(b"secret")
