"""etcdctl's and python-etcd's commands for users, roles and auth, unchanged, on both servers."""

import importlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.process import Kind, Launcher, Member

ETCDCTL = shutil.which("etcdctl")
DEADLINE_S = 20.0

pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.live

# A line with a `<` is given what follows on standard input.
SESSION = """
user
role
auth
user list
role list
user add root:pw
user add root:pw2
user add bob
user add carol < typed
user add
user get root
user get nobody
user list
user grant bob --roles r1
user grant carol --roles r1 --roles r2
user grant carol --roles r1
user grant carol
user grant nobody --roles r1
user revoke carol --roles none
user revoke carol
user revoke nobody --roles r1
user remove nobody
user get
user passwd
user remove
role add
role get
role remove
role remove none
auth enable extra
auth disable extra
user revoke carol --roles r2
user passwd carol < another
user passwd nobody < another
user get carol
role add r1
role add r1
role add root
role add
role get r1
role get none
role grant r1 --path /a/* --read
role grant r1 --path /a/* --read
role grant r1 --path /b --write
role grant r1 --path /c/* --readwrite
role grant r1 --path c --rw
role grant r1 --path /d
role grant r1
role grant none --path /a --read
role grant r1 --path /e --readwrite
role get r1
role revoke r1 --path /a/* --read
role revoke r1 --path /e --readwrite
role revoke r1 --path /d
role revoke r1
role revoke none --path /a --read
role revoke r1 --path /c/* --write
role revoke r1 --path /none --rw
role get r1
role get root
role list
user get carol
user list
auth disable
auth enable
auth enable
user list
-u root:pw user list
-u root:pw2 user list
-u root:pw2 user get carol
-u root:pw2 role get guest
-u root:pw2 auth enable
-u carol:another user list
-u carol:another set /c/x 1
-u carol:another set /b 1
-u carol:another get /a/x
-u carol:another get /b
-u carol:another ls /
-u carol:another ls --recursive /c/
-u carol:wrong get /b
set /free 1
-u root:pw2 role revoke guest --path /* --rw
get /free
set /free 1
-u root:pw2 get /free
-u root:pw2 member list
-u carol:another member remove 1
member list
-u root:pw2 user remove root
-u root:pw2 user remove carol
-u root:pw2 user remove carol
-u carol:another get /c/x
-u root:pw2 role remove r1
-u root:pw2 role remove r1
-u root:pw2 role remove root
-u carol:another auth disable
auth disable
-u root:pw2 auth disable
auth disable
user remove root
user list
get /free
"""


def printed(member: Member) -> list[str]:
    """Return what etcdctl printed for each line of SESSION, with what must differ taken out."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    (listed,) = member.request("GET", "/v2/members").json()["members"]
    lines = []
    for line in SESSION.strip().splitlines():
        words, _, typed = line.partition(" < ")
        done = subprocess.run(
            [str(ETCDCTL), "--endpoints", member.client_url, *words.split(" ")],
            env={**environment, "ETCDCTL_API": "2"},
            input=typed + "\n",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        text = f"{line} -> {done.returncode}\n{done.stdout}{done.stderr}"
        for found, shown in (
            (member.client_url, "CLIENT"),
            (member.peer_url, "PEER"),
            (str(listed["id"]), "ID"),
        ):
            text = text.replace(found, shown)
        lines.append(text)
    return lines


@pytest.fixture
def both(launch_etcdpy: Launcher) -> tuple[Member, Member]:
    """Return a member of etcdpy and one of etcd."""
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    return launch_etcdpy().start(), launch_etcdpy(kind=Kind.ETCD).start()


@pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not on PATH")
def test_etcdctl_prints_the_same_on_both(both: tuple[Member, Member]) -> None:
    got, expected = (printed(member) for member in both)
    for found, wanted in zip(got, expected, strict=True):
        assert found == wanted
    assert sum(" -> 0\n" in line for line in got) > len(got) // 3


@pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not on PATH")
@pytest.mark.parametrize("command", ["user", "role", "auth"])
def test_the_session_has_every_command(command: str) -> None:
    environment = {**os.environ, "ETCDCTL_API": "2"}
    words = [str(ETCDCTL), command, "--help"]
    shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    listed = re.findall(r"^   (\w+) ", shown.stdout.partition("COMMANDS:")[2], re.MULTILINE)
    used = {
        line.split("-u ")[-1].split(" ", 1)[-1] if line.startswith("-u") else line
        for line in SESSION.strip().splitlines()
    }
    assert len(listed) >= 2
    assert [
        name for name in listed if not any(u.startswith(f"{command} {name}") for u in used)
    ] == []


class Session:
    """python-etcd's auth module in front of one member: what each call gave, or raised.

    `user_class` and `role_class` are those of 0.4.5, or of the form that the project has now.
    """

    def __init__(self, etcd: Any, member: Member, *, is_current: bool) -> None:
        self.etcd = etcd
        self.user_class, self.role_class = etcd.auth.EtcdUser, etcd.auth.EtcdRole
        if is_current:
            self.user_class, self.role_class = current_user(etcd), current_role(etcd)
        self.member = member
        self.outcomes: list[str] = []
        self.login()

    def login(self, name: str | None = None, password: str | None = None) -> None:
        port = self.member.client_port
        self.client = self.etcd.Client(
            host="127.0.0.1", port=port, username=name, password=password
        )

    def note(self, call: Callable[[], object]) -> None:
        try:
            outcome = str(call())
        except (self.etcd.EtcdException, TypeError, KeyError) as error:
            outcome = f"{type(error).__name__}: {error}"
        self.outcomes.append(outcome.replace(self.member.client_url, "CLIENT"))

    def active(self, value: bool) -> None:
        self.etcd.auth.Auth(self.client).active = value

    def user(self, name: str, password: str | None = None, *roles: str) -> None:
        one = self.user_class(self.client, name)
        one.password = password
        one.roles = roles
        one.write()

    def read_user(self, name: str) -> object:
        one = self.user_class(self.client, name)
        one.read()
        return sorted(one.roles)

    def role(self, name: str, **acls: str) -> None:
        one = self.role_class(self.client, name)
        one.acls = {f"/{path}": rights for path, rights in acls.items()}
        one.write()

    def read_role(self, name: str) -> object:
        one = self.role_class(self.client, name)
        one.read()
        return sorted(one.acls.items())

    def play(self) -> list[str]:
        """Do a bit of everything and return the outcomes."""
        auth = self.etcd.auth
        note = self.note
        note(lambda: auth.Auth(self.client).active)
        note(lambda: self.active(True))
        note(lambda: self.user("root", "pw"))
        note(lambda: self.user("bob", "pw", "r"))
        note(lambda: self.user("bob", "pw2"))
        note(lambda: self.user("carol", "pw"))
        note(lambda: self.read_user("root"))
        note(lambda: self.read_user("carol"))
        note(lambda: self.read_user("nobody"))
        note(lambda: self.user_class(self.client, "x").names)
        note(lambda: self.role("r", a="R", b="RW"))
        note(lambda: self.role("r", a="W", c="RW"))
        note(lambda: self.read_role("r"))
        note(lambda: self.read_role("none"))
        note(lambda: self.role_class(self.client, "x").names)
        note(lambda: self.active(True))
        note(lambda: auth.Auth(self.client).active)
        note(lambda: self.read_role("r"))
        note(lambda: self.active(False))
        self.login("bob", "pw2")
        note(lambda: self.client.write("/c", "1").value)
        note(lambda: self.client.read("/none"))
        note(lambda: self.read_role("r"))
        self.login("root", "wrong")
        note(lambda: self.client.read("/b"))
        self.login("root", "pw")
        note(lambda: self.client.read("/c").value)
        note(lambda: self.read_role("guest"))
        note(lambda: self.role("guest"))
        note(lambda: self.user_class(self.client, "bob").delete())
        note(lambda: self.user_class(self.client, "bob").delete())
        note(lambda: self.role_class(self.client, "r").delete())
        self.login()
        note(lambda: self.client.read("/b"))
        note(lambda: next(self.client.eternal_watch("/b")))
        self.login("root", "pw")
        note(lambda: self.active(False))
        note(lambda: auth.Auth(self.client).active)
        return self.outcomes


def current_user(etcd: Any) -> Any:
    """Return the users of python-etcd as GitHub has it (0.5.0), which reads what 2.3 and later say.

    It asks for the version before it lists, and takes names out of objects.
    """

    class User(etcd.auth.EtcdUser):  # type: ignore[misc]
        @property
        def names(self) -> list[str]:
            return _names(self)

        def _from_net(self, data: bytes) -> None:
            told = json.loads(data)
            roles = told.get("roles", [])
            self.roles = [role["role"] if isinstance(role, dict) else role for role in roles or ()]
            self.name = told.get("user")

    return User


def current_role(etcd: Any) -> Any:
    """Return the roles of the same."""

    class Role(etcd.auth.EtcdRole):  # type: ignore[misc]
        @property
        def names(self) -> list[str]:
            return _names(self)

    return Role


def _names(one: Any) -> list[str]:
    client = one.client
    assert client.version == "3.4.23"
    path = f"{client.version_prefix}/auth/{one.entity}s"
    told = json.loads(client.api_execute(path, client._MGET).data)
    return [each[one.entity] for each in told[f"{one.entity}s"]]


@pytest.mark.parametrize("is_current", [False, True], ids=["0.4.5", "0.5.0"])
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning:etcd")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_python_etcd_sees_the_same_on_both(
    both: tuple[Member, Member], *, is_current: bool
) -> None:
    etcd = pytest.importorskip("etcd", reason="python-etcd is not installed")
    importlib.import_module("etcd.auth")
    got, expected = (Session(etcd, member, is_current=is_current).play() for member in both)
    assert got == expected
    assert [outcome for outcome in got if outcome in ("True", "1")] == ["True", "1", "1"]
    assert ("['bob', 'carol', 'root']" in got) == is_current
    assert ("['r', 'root']" in got) == is_current
