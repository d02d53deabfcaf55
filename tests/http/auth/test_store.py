"""Users, roles and the switch in the tree: which commands a change takes, and what failures mean.

Source: spec/auth.md sections 2 and 3.4.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from etcdpy import logs
from etcdpy.errors import KEY_NOT_FOUND, RAFT_INTERNAL, EtcdError
from etcdpy.http.auth import passwords as auth_passwords
from etcdpy.http.auth import store as auth_store
from etcdpy.http.auth.passwords import Passwords
from etcdpy.http.auth.rules import AuthError, Permissions, Role, User
from etcdpy.http.auth.store import AuthStore
from etcdpy.tree.command import Command
from etcdpy.tree.event import Event
from tests.http.backend import TreeBackend

FOUNDED = ["/2", "/2/users", "/2/roles", "/2/enabled"]


class Recorder(TreeBackend):
    """A backend that knows what was proposed, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[Command] = []
        self.fails_reads = False
        self.fails_writes = False
        self.delay: asyncio.Event | None = None

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        self.commands.append(command)
        if self.fails_writes:
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: request timed out")
        return super().propose(command)

    def linearized(self) -> "asyncio.Future[int]":
        if self.fails_reads:
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: request timed out")
        return super().linearized()

    def paths(self) -> list[str]:
        """Return the paths of the commands since the last call."""
        paths = [command.path.decode() for command in self.commands]
        self.commands.clear()
        return paths


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost."""
    monkeypatch.setattr(auth_passwords, "COST", 4)


@pytest.fixture
def backend() -> Recorder:
    return Recorder()


@pytest.fixture
def store(backend: Recorder) -> AuthStore:
    return backend.authority.store


def test_the_first_change_founds_the_directories_once(backend: Recorder, store: AuthStore) -> None:
    async def use() -> None:
        await store.create_user(User("bob", "pw"))
        assert backend.paths() == [*FOUNDED, "/2/users/bob"]
        assert backend.tree.index == 3 + 5
        await store.create_role(Role("r"))
        assert backend.paths() == ["/2/roles/r"]
        with pytest.raises(AuthError):
            await store.create_role(Role("r"))
        assert backend.tree.index == 3 + 6

    asyncio.run(use())
    switch = backend.find_file(b"/2/enabled")
    assert switch is not None
    assert switch.value == b"false"


def test_another_process_asks_again_and_changes_nothing(backend: Recorder) -> None:
    async def use() -> None:
        for number in range(2):
            store = AuthStore(backend, Passwords())
            await store.create_role(Role(f"r{number}"))
            assert backend.paths() == [*FOUNDED, f"/2/roles/r{number}"]
        assert backend.tree.index == 3 + 4 + 2

    asyncio.run(use())


def test_enabling_makes_a_guest_unless_there_is_one(backend: Recorder, store: AuthStore) -> None:
    async def use() -> None:
        await store.create_user(User("root", "pw"))
        backend.paths()
        await store.enable()
        assert backend.paths() == ["/2/roles/guest", "/2/enabled"]
        await store.disable()
        await store.enable()
        assert backend.paths() == ["/2/enabled", "/2/enabled"]
        assert store.get_role("guest").permissions == Permissions(("/*",), ("/*",))

    asyncio.run(use())


def test_what_is_refused_proposes_nothing(backend: Recorder, store: AuthStore) -> None:
    async def use() -> None:
        for change, words in (
            (store.enable(), "No root user available, please create one"),
            (store.disable(), "already disabled"),
            (store.create_user(User("bob")), "Cannot create user bob with an empty password"),
            (store.update_user(User("bob", grant=("r",))), "User bob does not exist."),
            (store.create_role(Role("root")), "Cannot modify role root: is root role."),
            (store.delete_role("root"), "Cannot modify role root: is root role."),
            (store.update_role(Role("r")), "Role r does not exist."),
        ):
            with pytest.raises(AuthError) as caught:
                await change
            assert caught.value.words == words
        assert backend.paths() == []

    asyncio.run(use())


def test_names_that_lead_elsewhere_are_nobodys(backend: Recorder, store: AuthStore) -> None:
    async def use() -> None:
        await store.create_user(User("bob", "pw"))
        await store.create_role(Role("r"))
        before = backend.tree.stats.counts()
        for name in ("", ".", "..", "/bob", "../users/bob", "x/../bob", "bob/", "../roles/r"):
            assert store.find_user(name) is None
            assert store.find_role(name) is None
            assert store.find_rights(name) is None
        assert backend.tree.stats.counts() == before, "the tree was not even asked"

    asyncio.run(use())


def test_of_names_that_are_too_long_for_anybody_nothing_is_kept(store: AuthStore) -> None:
    for size in (255, 256, 257, 700_000):
        assert store.find_user("x" * size) is None
    assert store._path_of.cache_info().currsize == 2


def test_lists_are_sorted_by_bytes_and_hide_what_is_hidden(store: AuthStore) -> None:
    async def use() -> None:
        assert store.user_names() == []
        assert store.role_names() == ["root"]
        for name in ("é", "b", "_h", "Z", "a b", "s"):
            await store.create_user(User(name, "pw"))
            await store.create_role(Role(name))
        assert store.user_names() == ["Z", "a b", "b", "s", "é"]
        assert store.role_names() == ["Z", "a b", "b", "root", "s", "é"]
        assert store.get_user("_h").name == "_h"

    asyncio.run(use())


def test_two_grants_at_once_are_both_done(store: AuthStore) -> None:
    async def use() -> None:
        await store.create_user(User("bob", "pw"))
        await store.create_role(Role("r"))
        await asyncio.gather(
            *(store.update_user(User("bob", grant=(f"r{n}",))) for n in range(5)),
            *(store.update_role(Role("r", grant=Permissions((f"/{n}",)))) for n in range(5)),
        )
        assert store.get_user("bob").roles == ("r0", "r1", "r2", "r3", "r4")
        assert store.get_role("r").permissions.read == ("/0", "/1", "/2", "/3", "/4")

    asyncio.run(use())


Change = Callable[[AuthStore], Awaitable[object]]
WRITES: dict[str, Change] = {
    "new user": lambda store: store.create_user(User("new", "pw")),
    "user": lambda store: store.update_user(User("bob", "pw")),
    "removed user": lambda store: store.delete_user("bob"),
    "new role": lambda store: store.create_role(Role("new")),
    "role": lambda store: store.update_role(Role("r", grant=Permissions(("/a",)))),
    "removed role": lambda store: store.delete_role("r"),
    "on": lambda store: store.enable(),
}


@pytest.mark.parametrize("change", WRITES.values(), ids=WRITES)
def test_a_write_that_fails_is_an_error(
    backend: Recorder, store: AuthStore, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> None:
        await store.create_user(User("root", "pw"))
        await store.create_user(User("bob", "pw"))
        await store.create_role(Role("r"))
        backend.fails_writes = True
        caplog.clear()
        with pytest.raises(EtcdError) as caught:
            await change(store)
        assert caught.value.code == RAFT_INTERNAL
        assert all(record.levelno != auth_store.NOTICE for record in caplog.records)

    caplog.set_level(logging.INFO, "etcdpy")
    asyncio.run(use())


def test_without_a_quorum_a_user_is_taken_for_absent_where_that_is_safe(
    backend: Recorder, store: AuthStore
) -> None:
    async def use() -> None:
        await store.create_user(User("root", "pw"))
        backend.fails_reads = True
        with pytest.raises(AuthError) as caught:
            await store.enable()
        assert caught.value.status == 409
        with pytest.raises(AuthError) as caught:
            await store.create_or_update_user(User("root", "pw"))
        assert caught.value.words == "User root already exists."
        with pytest.raises(EtcdError):
            await store.update_user(User("root", grant=("r",)))
        with pytest.raises(EtcdError):
            await store.update_role(Role("r"))

    asyncio.run(use())


def test_a_user_that_goes_while_it_is_changed_stays_gone(
    backend: Recorder, store: AuthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is being hashed while another member removes it."""

    async def use() -> None:
        await store.create_user(User("bob", "pw"))
        real = backend.authority._passwords.hash

        async def hash_slowly(password: str) -> str:
            await store.delete_user("bob")
            return await real(password)

        monkeypatch.setattr(backend.authority._passwords, "hash", hash_slowly)
        with pytest.raises(EtcdError) as caught:
            await store.update_user(User("bob", "new"))
        assert caught.value.code == KEY_NOT_FOUND
        assert store.find_user("bob") is None

    asyncio.run(use())


def test_what_was_done_is_noticed_in_etcds_words(
    store: AuthStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> None:
        await store.create_user(User("root", "pw"))
        await store.update_user(User("root", "pw"))
        await store.enable()
        await store.update_role(Role("guest", revoke=Permissions(("/*",))))
        await store.delete_role("guest")
        await store.disable()
        await store.delete_user("root")

    caplog.set_level(logging.INFO, "etcdpy")
    asyncio.run(use())
    assert caplog.messages == [
        "created user root",
        "updated user root",
        "no guest role access found, creating default",
        "created new role guest",
        "auth: enabled auth",
        "updated role guest",
        "deleted role guest",
        "auth: disabled auth",
        "deleted user root",
    ]
    assert {record.name for record in caplog.records} == {"etcdpy.etcdserver.auth"}
    assert auth_store.NOTICE == logs.NOTICE
