"""/v2/members and the peer port's /members."""

import json
from typing import Any

import pytest

from etcdpy.http.members import get_peer_members, serve_members
from etcdpy.tree.members import Member
from tests.http.backend import TreeBackend
from tests.http.faces import ask

STARTED = Member(0x5302E706B84D961, ("http://p:1", "http://p:2"), "s1", ("http://c:1",))
UNSTARTED = Member(0xF000000000000000, ("http://q:1",))
ID_LINE = b"X-Etcd-Cluster-Id: c8730d66636ff140\r\n"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> TreeBackend:
    one = TreeBackend()
    monkeypatch.setattr(one, "members", lambda: [STARTED, UNSTARTED])
    return one


@pytest.mark.parametrize("path", [b"/v2/members", b"/v2/members/"])
def test_the_list_shows_every_field_of_every_member(backend: TreeBackend, path: bytes) -> None:
    response = ask(serve_members, backend, path)
    assert response.status == 200
    assert response.headers == b"Content-Type: application/json\r\n" + ID_LINE
    assert response.body == (
        b'{"members":[{"id":"5302e706b84d961","name":"s1","peerURLs":["http://p:1","http://p:2"],'
        b'"clientURLs":["http://c:1"]},'
        b'{"id":"f000000000000000","name":"","peerURLs":["http://q:1"],"clientURLs":[]}]}\n'
    )


def test_the_leader_is_one_member(backend: TreeBackend) -> None:
    response = ask(serve_members, backend, b"/v2/members/leader")
    assert json.loads(response.body)["id"] == "5302e706b84d961"
    assert response.body.endswith(b"}\n")


def test_no_leader_is_503(backend: TreeBackend) -> None:
    backend.has_leader = False
    response = ask(serve_members, backend, b"/v2/members/leader")
    assert (response.status, response.body) == (503, b'{"message":"During election"}')


@pytest.mark.parametrize("rest", [b"x", b"5302e706b84d961", b"leader/", b"leader/x"])
def test_anything_below_is_not_found(backend: TreeBackend, rest: bytes) -> None:
    response = ask(serve_members, backend, b"/v2/members/" + rest)
    assert (response.status, response.body) == (404, b'{"message":"Not found"}')
    assert ID_LINE in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_changes_are_refused(backend: TreeBackend, method: str) -> None:
    response = ask(serve_members, backend, b"/v2/members", method)
    assert (response.status, response.body) == (500, b'{"message":"Internal Server Error"}')


def test_peers_see_numbers_and_no_empty_fields(backend: TreeBackend) -> None:
    response = ask(get_peer_members, backend)
    rows: Any = json.loads(response.body)
    assert rows[0]["id"] == 0x5302E706B84D961
    assert list(rows[0]) == ["id", "peerURLs", "name", "clientURLs"]
    assert list(rows[1]) == ["id", "peerURLs"]
    assert ID_LINE in response.headers
    assert response.body.endswith(b"]\n")
