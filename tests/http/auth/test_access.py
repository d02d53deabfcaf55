"""Who asks and whether they may, over a tree that applies at once.

Source: spec/auth.md sections 4 to 6.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Coroutine
from typing import Any, NamedTuple

import bcrypt
import pytest

from etcdpy.errors import RAFT_INTERNAL, UNAUTHORIZED, EtcdError
from etcdpy.http.auth import access as auth_access
from etcdpy.http.auth import passwords as auth_passwords
from etcdpy.http.auth.access import Credentials, read_basic
from etcdpy.http.auth.rules import Permissions, Role, User
from etcdpy.http.wire import ANONYMOUS, Caller, Request
from tests.http.backend import TreeBackend


def basic(login: str) -> Caller:
    return Caller(b"Basic " + b64encode(login.encode()))


NOBODY = bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode()
REFUSED = (UNAUTHORIZED, b"Insufficient credentials", 0)
BOB = basic("bob:pw")
ROOT = basic("root:pw")

HEADERS = [
    (b"Basic " + b64encode(b"a:b"), Credentials("a", b"b")),
    (b"bAsIc " + b64encode(b"a:b:c"), Credentials("a", b"b:c")),
    (b"Basic " + b64encode(b":"), Credentials("", b"")),
    (b"Basic " + b64encode(b"\xff:\xff"), Credentials("\udcff", b"\xff")),
    (b"Basic YTpi", Credentials("a", b"b")),
    (b"Basic YTo=", Credentials("a", b"")),
    (b"Basic YTp=", Credentials("a", b"")),  # Go does not mind bits that are left over
    (b"Basic YQ==", None),
    (b"Basic YTo", None),
    (b"Basic YTo==", None),
    (b"Basic  YTpi", None),
    (b"Basic YTpi ", None),
    (b"Basic YT-_", None),
    (b"Basic", None),
    (b"Basic ", None),
    (b"BasicYTpi", None),
    (b"Bearer YTpi", None),
    (b"YTpi", None),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_a_header_is_basic_and_whole_or_nothing(
    header: bytes, expected: Credentials | None
) -> None:
    assert read_basic(header) == expected


class World:
    """A backend with auth on: root, bob, who may read and write below /bob, and a guest."""

    def __init__(self) -> None:
        self.backend = TreeBackend()
        self.authority = self.backend.authority
        self.store = self.authority.store

    async def make(self) -> None:
        bobs = Permissions(("/bob/*", "/one"), ("/bob/*",))
        await self.store.create_role(Role("bobs", bobs))
        await self.store.create_role(Role("guest", Permissions(("/pub",), None)))
        await self.store.create_user(User("root", "pw"))
        await self.store.create_user(User("bob", "pw", ("gone", "bobs")))
        await self.store.enable()

    async def may(
        self, caller: Caller, key: bytes, *, is_write: bool = False, is_recursive: bool = False
    ) -> bool:
        try:
            await self.authority.check_key(
                caller, key, is_write=is_write, is_recursive=is_recursive
            )
        except EtcdError as error:
            if (error.code, error.cause, error.index) != REFUSED:
                raise
            return False
        return True

    async def is_root(self, caller: Caller) -> bool:
        return await self.authority.refuse(Request("PUT", b"/x", caller=caller)) is None


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost, nobody's password too."""
    monkeypatch.setattr(auth_passwords, "COST", 4)
    monkeypatch.setattr(auth_passwords, "_NOBODY", NOBODY)


class Checks:
    """Counts what bcrypt is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._real = auth_passwords._matches
        monkeypatch.setattr(auth_passwords, "_matches", self)

    def __call__(self, secret: bytes, hashed: str) -> bool:
        self.count += 1
        return self._real(secret, hashed)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


def in_world(use: "Coroutine[Any, Any, None]", world: World) -> None:
    async def run() -> None:
        await world.make()
        await use

    asyncio.run(run())


@pytest.fixture
def world() -> World:
    return World()


class Case(NamedTuple):
    """What somebody asks for."""

    caller: Caller
    key: bytes
    is_write: bool
    is_recursive: bool
    is_allowed: bool


CASES = [
    Case(BOB, b"/bob/x", False, False, True),
    Case(BOB, b"/bob/x", True, False, True),
    Case(BOB, b"/bob/", True, True, True),
    Case(BOB, b"/bob", False, False, False),
    Case(BOB, b"/one", False, False, True),
    Case(BOB, b"/one", False, True, False),
    Case(BOB, b"/one", True, False, False),
    Case(BOB, b"/pub", False, False, False),  # what guests may is nothing to users
    Case(ANONYMOUS, b"/pub", False, False, True),
    Case(ANONYMOUS, b"/pub", False, True, True),  # etcd does not ask it of guests
    Case(ANONYMOUS, b"/pub", True, False, False),
    Case(ANONYMOUS, b"/bob/x", False, False, False),
    Case(ROOT, b"", True, True, True),
    Case(ROOT, b"/any", True, False, True),
    Case(basic("bob:px"), b"/pub", False, False, False),  # wrong is not the same as none
    Case(basic("nobody:pw"), b"/pub", False, False, False),
    Case(Caller(b"Basic"), b"/pub", False, False, False),
    Case(Caller(b"Bearer x"), b"/pub", False, False, False),
    Case(basic("../users/bob:pw"), b"/bob/x", False, False, False),
    Case(basic("x/../bob:pw"), b"/bob/x", False, False, False),
    Case(basic(":pw"), b"/pub", False, False, False),
    Case(basic(".:pw"), b"/pub", False, False, False),
    Case(basic("..:pw"), b"/pub", False, False, False),
    Case(Caller(certificate_names=("bob",)), b"/bob/x", True, False, True),
    Case(Caller(certificate_names=("nobody", "bob", "root")), b"/any", True, False, False),
    Case(Caller(certificate_names=("nobody", "root")), b"/any", True, False, True),
    Case(Caller(certificate_names=("nobody",)), b"/pub", False, False, True),
    Case(Caller(certificate_names=("../users/root",)), b"/any", True, False, False),
    Case(BOB._replace(certificate_names=("root",)), b"/any", False, False, False),
    Case(basic("bob:px")._replace(certificate_names=("root",)), b"/any", False, False, False),
]


@pytest.mark.parametrize("case", CASES)
def test_a_caller_may_what_its_roles_allow(world: World, case: Case) -> None:
    async def use() -> None:
        for _ in range(2):  # checked, then remembered
            found = await world.may(
                case.caller, case.key, is_write=case.is_write, is_recursive=case.is_recursive
            )
            assert found is case.is_allowed

    in_world(use(), world)


def test_a_key_that_looks_like_a_user_makes_none(world: World) -> None:
    """In etcd, who may write this key may then come as root."""

    async def use() -> None:
        users = world.backend.tree.find_node(b"/2/users/root")
        assert users is not None
        world.backend.tree.set(b"/1/attack", value=users.value, now_ns=1)
        for name in ("../../1/attack", "/1/attack", "..", "../1/attack"):
            assert not await world.may(basic(f"{name}:pw"), b"/bob/x")
            assert not await world.is_root(basic(f"{name}:pw"))

    in_world(use(), world)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (ROOT, True),
        (BOB, False),
        (ANONYMOUS, False),
        (basic("root:px"), False),
        (basic("admin:pw"), True),
        (Caller(certificate_names=("nobody", "root")), True),
        (Caller(certificate_names=("bob", "root")), False),
        (Caller(certificate_names=("nobody",)), False),
    ],
)
def test_only_a_holder_of_the_root_role_administers(
    world: World, caller: Caller, expected: bool
) -> None:
    async def use() -> None:
        await world.store.create_user(User("admin", "pw", ("root",)))
        await world.store.update_user(User("root", revoke=("root",)))  # of no avail
        assert await world.is_root(caller) is expected
        await world.store.disable()
        assert await world.is_root(caller)

    in_world(use(), world)


def test_a_refusal_is_a_message_without_the_clusters_id(world: World) -> None:
    async def use() -> None:
        refusal = await world.authority.refuse(Request("PUT", b"/x"))
        assert refusal is not None
        assert (refusal.status, refusal.body) == (401, b'{"message":"Insufficient credentials"}')
        assert refusal.headers == b"Content-Type: application/json\r\n"

    in_world(use(), world)


# What is remembered


def test_good_credentials_are_checked_once(world: World, checks: Checks) -> None:
    async def use() -> None:
        for _ in range(10):
            assert await world.may(BOB, b"/bob/x")
        assert checks.count == 1
        assert not await world.may(BOB, b"/pub")
        assert await world.may(Caller(BOB.authorization.replace(b"Basic", b"basic")), b"/bob/x")
        assert checks.count == 2

    in_world(use(), world)


def test_bad_credentials_are_checked_each_time(world: World, checks: Checks) -> None:
    async def use() -> None:
        for login in ("bob:px", "nobody:pw", "../users/bob:pw"):
            before = checks.count
            for _ in range(3):
                assert not await world.may(basic(login), b"/bob/x")
            assert checks.count == before + 3, "an unknown user must take as long as a known one"
        assert len(world.authority.remembered) == 0

    in_world(use(), world)


CHANGES = {
    "password": lambda store: store.update_user(User("bob", "new")),
    "roles": lambda store: store.update_user(User("bob", grant=("x",))),
    "removal": lambda store: store.delete_user("bob"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_user_is_seen_at_once(world: World, checks: Checks, change: str) -> None:
    async def use() -> None:
        assert await world.may(BOB, b"/bob/x")
        await CHANGES[change](world.store)
        assert await world.may(BOB, b"/bob/x") is (change == "roles")
        assert checks.count == 2
        assert len(world.authority.remembered) == (1 if change == "roles" else 0)

    in_world(use(), world)


def test_the_same_user_made_anew_is_another(world: World) -> None:
    async def use() -> None:
        assert await world.may(BOB, b"/bob/x")
        await world.store.delete_user("bob")
        await world.store.create_user(User("bob", "other", ("bobs",)))
        assert not await world.may(BOB, b"/bob/x")
        assert await world.may(basic("bob:other"), b"/bob/x")

    in_world(use(), world)


def test_what_a_role_allows_and_the_switch_are_neverremembered(
    world: World, checks: Checks
) -> None:
    async def use() -> None:
        assert await world.may(BOB, b"/bob/x")
        await world.store.update_role(Role("bobs", revoke=Permissions(("/bob/*",), None)))
        assert not await world.may(BOB, b"/bob/x")
        assert await world.may(BOB, b"/bob/x", is_write=True)
        await world.store.delete_role("bobs")
        assert not await world.may(BOB, b"/bob/x", is_write=True)
        await world.store.disable()
        assert not world.authority.is_enabled()
        await world.store.enable()
        assert world.authority.is_enabled()
        assert checks.count == 1

    in_world(use(), world)


def test_no_password_stays_in_memory(world: World) -> None:
    async def use() -> None:
        secret = "correct horse battery staple"
        await world.store.update_user(User("bob", secret))
        caller = basic(f"bob:{secret}")
        assert await world.may(caller, b"/bob/x")
        remembered = repr(world.authority.remembered._users).encode()
        assert len(world.authority.remembered) == 1
        for text in (secret.encode(), caller.authorization, caller.authorization[6:]):
            assert text not in remembered
        assert not world.authority._passwords._checks

    in_world(use(), world)


def test_so_many_are_remembered_and_the_last_used_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_access, "REMEMBERED_MAX", 2)

    async def use() -> None:
        for caller in (
            BOB,
            ROOT,
            BOB,
            basic("root:pw")._replace(authorization=b"basic cm9vdDpwdw=="),
        ):
            assert await world.may(caller, b"/bob/x")
        assert len(world.authority.remembered) == 2
        assert world.authority.remembered.find(BOB.authorization) is not None
        assert world.authority.remembered.find(ROOT.authorization) is None

    in_world(use(), world)


def test_a_flood_of_passwords_is_an_error_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_passwords, "WAITING_MAX", 0)

    async def use() -> None:
        with pytest.raises(EtcdError) as caught:
            await world.may(BOB, b"/bob/x")
        assert caught.value.code == RAFT_INTERNAL
        refusal = await world.authority.refuse(Request("PUT", b"/x", caller=BOB))
        assert refusal is not None
        assert (refusal.status, refusal.body) == (500, b'{"message":"Internal Server Error"}')
        assert await world.may(ANONYMOUS, b"/pub")

    async def run() -> None:
        monkeypatch.setattr(auth_passwords, "WAITING_MAX", 1)
        await world.make()
        monkeypatch.setattr(auth_passwords, "WAITING_MAX", 0)
        await use()

    asyncio.run(run())


# The log


@pytest.mark.parametrize(
    ("caller", "line"),
    [
        (BOB, "auth: invalid access for user bob on key /other."),
        (ANONYMOUS, "auth: invalid access for unauthenticated user on resource /other."),
        (basic("bob:px"), "auth: incorrect password for user: bob"),
        (Caller(b"Basic"), "auth: malformed basic auth encoding"),
        (basic("nobody:pw"), ""),
    ],
)
def test_a_refusal_is_logged_in_etcds_words(
    world: World, caplog: pytest.LogCaptureFixture, caller: Caller, line: str
) -> None:
    async def use() -> None:
        caplog.clear()
        assert not await world.may(caller, b"/other")
        assert "".join(caplog.messages) == line
        assert all(record.levelno == logging.WARNING for record in caplog.records)

    in_world(use(), world)


@pytest.mark.parametrize(
    ("caller", "line"),
    [
        (BOB, "auth: user bob does not have the root role for resource /x."),
        (ANONYMOUS, "auth: malformed basic auth encoding"),
    ],
)
def test_a_refusal_to_administer_is_logged_in_etcds_words(
    world: World, caplog: pytest.LogCaptureFixture, caller: Caller, line: str
) -> None:
    async def use() -> None:
        caplog.clear()
        assert not await world.is_root(caller)
        assert "".join(caplog.messages) == line

    in_world(use(), world)
