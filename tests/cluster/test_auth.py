"""Auth in a cluster: what is changed on one member counts on all, and survives their deaths."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.client import Answer, Connection
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind, wait_until

DEADLINE_S = 20.0
# So that a restart begins with a snapshot.
OPTIONS = ("--snapshot-count", "20")
KEY = "/v2/keys/app/x"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3, *OPTIONS) as cluster:
        yield cluster.start()


def ask(member: ClusterMember, method: str, path: str, login: str = "", body: Any = None) -> Answer:
    """Send one request: a value to a key, an object to the auth API."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    form = {"value": body} if "/keys/" in path and body else body and json.dumps(body)
    with Connection(member.client_url) as connection:
        return connection.request(method, path, form, headers)


def change(member: ClusterMember, path: str, body: Any = None, login: str = "") -> None:
    answer = ask(member, "PUT", f"/v2/auth{path}", login, body)
    assert answer.status in (200, 201), answer


def wait_for(member: ClusterMember, login: str, status: int, method: str = "GET") -> None:
    """Wait until the member answers so; what was done elsewhere takes a moment to be applied."""
    body = "0" if method == "PUT" else None
    wait_until(
        lambda: ask(member, method, KEY, login, body).status == status,
        DEADLINE_S,
        f"{status} for {login!r} from {member.name}",
    )


def restrict(cluster: Cluster) -> None:
    """Turn auth on, each step on another member: bob may use /app, a guest may list the root."""
    first, second, third = cluster.members
    change(first, "/users/root", {"user": "root", "password": "pw"})
    rights = {"kv": {"read": ["/app/*"], "write": ["/app/*"]}}
    change(second, "/roles/app", {"role": "app", "permissions": rights})
    change(third, "/roles/guest", {"role": "guest", "permissions": {"kv": {"read": ["/"]}}})
    change(first, "/users/bob", {"user": "bob", "password": "one", "roles": ["app"]})
    assert ask(third, "PUT", KEY, "", "1").status == 201
    change(second, "/enable")


def test_what_is_changed_on_one_member_counts_on_all(three: Cluster) -> None:
    restrict(three)
    first, second, third = three.members
    for member in three.members:
        wait_for(member, "", 401)
        for _ in range(2):  # the second time from memory
            assert ask(member, "GET", KEY, "bob:one").status == 200
    change(second, "/users/bob", {"user": "bob", "password": "two"}, "root:pw")
    assert ask(second, "GET", KEY, "bob:one").status == 401
    for member in three.members:
        wait_for(member, "bob:one", 401)
        assert ask(member, "GET", KEY, "bob:two").status == 200
    revoke = {"role": "app", "revoke": {"kv": {"read": ["/app/*"]}}}
    change(third, "/roles/app", revoke, "root:pw")
    for member in three.members:
        wait_for(member, "bob:two", 401)
        assert ask(member, "PUT", KEY, "bob:two", "2").status == 200
    assert ask(first, "DELETE", "/v2/auth/users/bob", "root:pw").status == 200
    for member in three.members:
        wait_for(member, "bob:two", 401, "PUT")
    assert ask(third, "DELETE", "/v2/auth/enable", "root:pw").status == 200
    for member in three.members:
        wait_for(member, "", 200)


def test_auth_outlives_the_death_of_all_members(three: Cluster) -> None:
    restrict(three)
    for number in range(60):  # some snapshots' worth
        asked = three.members[number % 3]
        assert ask(asked, "PUT", KEY, "root:pw", f"{number}").status == 200
    for member in three.members:
        member.kill()
    three.restart()
    for member in three.members:
        wait_for(member, "bob:one", 200)
        assert ask(member, "GET", "/v2/auth/enable").json() == {"enabled": True}
        assert ask(member, "GET", KEY).status == 401
        assert ask(member, "GET", KEY, "bob:two").status == 401
        found = ask(member, "GET", f"{KEY}?quorum=true", "bob:one")
        assert found.json()["node"]["value"] == "59"
        assert ask(member, "PUT", "/v2/keys/other", "bob:one", "1").status == 401
    change(three.members[0], "/users/bob", {"user": "bob", "grant": ["more"]}, "root:pw")
