"""/v2/members and the peer port's /members."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from etcdpy.errors import ReconfigurationError
from etcdpy.http.member_requests import BODY_BYTES_MAX
from etcdpy.http.members import get_peer_members, guard, serve_members
from etcdpy.http.wire import Request, Response
from etcdpy.tree.members import Member, MemberRefusal
from tests.http.backend import CLIENT_URL, MEMBER_ID, PEER_URL, TreeBackend
from tests.http.faces import ask
from tests.http.rawsocket import exchange, request
from tests.http.server import ServerThread

STARTED = Member(0x5302E706B84D961, ("http://p:1", "http://p:2"), "s1", ("http://c:1",))
UNSTARTED = Member(0xF000000000000000, ("http://q:1",))
ID_LINE = b"X-Etcd-Cluster-Id: c8730d66636ff140\r\n"
SHOWN = {
    "id": f"{MEMBER_ID:x}",
    "name": "default",
    "peerURLs": [PEER_URL],
    "clientURLs": [CLIENT_URL],
}
OWN_PATH = b"/v2/members/%x" % MEMBER_ID
JSON = b"application/json"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> TreeBackend:
    """A backend with a started and an unstarted member."""
    one = TreeBackend()
    monkeypatch.setattr(one, "members", lambda: [STARTED, UNSTARTED])
    return one


@pytest.fixture
def backend() -> TreeBackend:
    return TreeBackend()


def change(
    backend: TreeBackend, method: str, path: bytes, *peer_urls: str, body: bytes | None = None
) -> Response:
    """Return the answer to a change, which brings the URLs as JSON."""
    if body is None:
        body = json.dumps({"peerURLs": peer_urls}).encode()
    values = Request(method, path, content_type=JSON, body=body)

    async def run() -> Response:
        return await serve_members(backend, values)

    return asyncio.run(run())


def add(backend: TreeBackend, *peer_urls: str) -> dict[str, Any]:
    """Add a member and return its JSON object."""
    response = change(backend, "POST", b"/v2/members", *peer_urls)
    assert response.status == 201
    shown: dict[str, Any] = json.loads(response.body)
    return shown


# Reading


@pytest.mark.parametrize("path", [b"/v2/members", b"/v2/members/"])
def test_the_list_shows_every_field_of_every_member(listed: TreeBackend, path: bytes) -> None:
    response = ask(serve_members, listed, path)
    assert response.status == 200
    assert response.headers == b"Content-Type: application/json\r\n" + ID_LINE
    assert response.body == (
        b'{"members":[{"id":"5302e706b84d961","name":"s1","peerURLs":["http://p:1","http://p:2"],'
        b'"clientURLs":["http://c:1"]},'
        b'{"id":"f000000000000000","name":"","peerURLs":["http://q:1"],"clientURLs":[]}]}\n'
    )


def test_the_leader_is_one_member(backend: TreeBackend) -> None:
    response = ask(serve_members, backend, b"/v2/members/leader")
    assert json.loads(response.body) == SHOWN
    assert response.body.endswith(b"}\n")


def test_no_leader_is_503(backend: TreeBackend) -> None:
    backend.has_leader = False
    response = ask(serve_members, backend, b"/v2/members/leader")
    assert (response.status, response.body) == (503, b'{"message":"During election"}')


@pytest.mark.parametrize("rest", [b"x", b"5302e706b84d961", b"leader/", b"leader/x"])
def test_anything_below_is_not_found(listed: TreeBackend, rest: bytes) -> None:
    response = ask(serve_members, listed, b"/v2/members/" + rest)
    assert (response.status, response.body) == (404, b'{"message":"Not found"}')
    assert ID_LINE in response.headers


def test_peers_see_numbers_and_no_empty_fields(listed: TreeBackend) -> None:
    response = ask(get_peer_members, listed)
    rows: Any = json.loads(response.body)
    assert rows[0]["id"] == 0x5302E706B84D961
    assert list(rows[0]) == ["id", "peerURLs", "name", "clientURLs"]
    assert list(rows[1]) == ["id", "peerURLs"]
    assert ID_LINE in response.headers
    assert response.body.endswith(b"]\n")


# Changing


@pytest.mark.parametrize("rest", [b"", b"/", b"/zz", b"/leader"])
def test_an_added_member_is_answered_whole_and_listed(backend: TreeBackend, rest: bytes) -> None:
    response = change(backend, "POST", b"/v2/members" + rest, "http://b:1", "http://a:1")
    shown = json.loads(response.body)
    assert response == Response(
        201,
        b"Content-Type: application/json\r\n" + ID_LINE,
        b'{"id":"%b","name":"","peerURLs":["http://a:1","http://b:1"],"clientURLs":[]}\n'
        % shown["id"].encode(),
    )
    listed = json.loads(ask(serve_members, backend, b"/v2/members").body)["members"]
    assert sorted(listed, key=lambda member: bool(member["name"])) == [shown, SHOWN]


def test_urls_that_the_caller_repeats_stay_repeated(backend: TreeBackend) -> None:
    assert add(backend, "http://b:1", "http://a:1", "http://b:1")["peerURLs"] == [
        "http://a:1",
        "http://b:1",
        "http://b:1",
    ]


@pytest.mark.parametrize("peer_url", [PEER_URL, "http://elsewhere:1"])
def test_an_update_changes_nothing_but_the_peer_urls(backend: TreeBackend, peer_url: str) -> None:
    response = change(backend, "PUT", OWN_PATH, peer_url)
    assert response == Response(204, ID_LINE, is_length_hidden=True)
    listed = json.loads(ask(serve_members, backend, b"/v2/members").body)["members"]
    assert listed == [SHOWN | {"peerURLs": [peer_url]}]


@pytest.mark.parametrize("spelling", [str.lower, str.upper, lambda text: "000" + text])
def test_a_removed_member_is_gone_for_good(backend: TreeBackend, spelling: Any) -> None:
    member_id = add(backend, "http://b:1")["id"]
    path = b"/v2/members/" + spelling(member_id).encode()
    response = ask(serve_members, backend, path, "DELETE")
    assert response == Response(204, ID_LINE, is_length_hidden=True)
    assert backend.members() == [Member(MEMBER_ID, (PEER_URL,), "default", (CLIENT_URL,))]
    again = ask(serve_members, backend, path, "DELETE")
    words = f'{{"message":"Member permanently removed: {member_id}"}}'.encode()
    assert (again.status, again.body) == (410, words)
    update = change(backend, "PUT", path, "http://b:1")
    assert (update.status, update.body) == (500, b'{"message":"Internal Server Error"}')


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_id_is_named_as_it_is_understood(backend: TreeBackend, method: str) -> None:
    response = change(backend, method, b"/v2/members/00ABC", "http://b:1")
    assert (response.status, response.body) == (404, b'{"message":"No such member: abc"}')
    assert response.headers == b"Content-Type: application/json\r\n" + ID_LINE


def test_a_url_of_another_member_is_a_conflict(backend: TreeBackend) -> None:
    other = add(backend, "http://b:1")["id"].encode()
    added = change(backend, "POST", b"/v2/members", "http://c:1", PEER_URL)
    updated = change(backend, "PUT", b"/v2/members/" + other, PEER_URL)
    for response in (added, updated):
        assert response == Response(
            409,
            b"Content-Type: application/json\r\n" + ID_LINE,
            b'{"message":"membership: peerURL exists"}',
        )


UNHEALTHY = "etcdserver: unhealthy cluster"
NOT_STARTED = "etcdserver: re-configuration failed due to not enough started members"
TIMED_OUT = "etcdserver: request timed out"
ANSWERS = {
    ("POST", MemberRefusal.ID_EXISTS.value): (409, "membership: ID exists"),
    ("POST", MemberRefusal.PEER_URL_EXISTS.value): (409, "membership: peerURL exists"),
    ("PUT", MemberRefusal.PEER_URL_EXISTS.value): (409, "membership: peerURL exists"),
    ("PUT", MemberRefusal.ID_NOT_FOUND.value): (404, "No such member: 5f"),
    ("DELETE", MemberRefusal.ID_NOT_FOUND.value): (404, "No such member: 5f"),
    ("DELETE", MemberRefusal.ID_REMOVED.value): (410, "Member permanently removed: 5f"),
}
GERUNDS = {"POST": "adding", "PUT": "updating", "DELETE": "removing"}


@pytest.mark.parametrize("method", GERUNDS)
@pytest.mark.parametrize(
    "cause", [*(r.value for r in MemberRefusal), UNHEALTHY, NOT_STARTED, TIMED_OUT]
)
def test_a_refusal_by_the_cluster_has_its_status_or_its_line_in_the_log(
    backend: TreeBackend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    cause: str,
) -> None:
    async def refuse(*_: object) -> None:
        raise ReconfigurationError(cause, 0x5F)

    for name in ("add_member", "update_member", "remove_member"):
        monkeypatch.setattr(backend, name, refuse)
    with caplog.at_level(logging.ERROR, "etcdpy"):
        response = change(backend, method, b"/v2/members/5f", "http://b:1")
    status, words = ANSWERS.get((method, cause), (500, "Internal Server Error"))
    assert (response.status, json.loads(response.body)) == (status, {"message": words})
    answer = (
        cause if cause in (UNHEALTHY, NOT_STARTED) else f"got unexpected response error ({cause})"
    )
    lines = [
        ("etcdpy.etcdserver.api.v2http", f"error {GERUNDS[method]} member 5f ({cause})"),
        ("etcdpy.etcdserver.api.etcdhttp", answer),
    ]
    logged = [(record.name, record.getMessage()) for record in caplog.records]
    assert logged == (lines if status == 500 else [])


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("rest", [b"", b"/"])
def test_no_id_is_a_405_that_allows_nothing(backend: TreeBackend, method: str, rest: bytes) -> None:
    response = change(backend, method, b"/v2/members" + rest, body=b"never read")
    assert (response.status, response.body) == (405, b"Method Not Allowed\n")
    assert response.headers == (
        ID_LINE + b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    )


def test_refused_words_are_escaped_as_json(backend: TreeBackend) -> None:
    response = ask(serve_members, backend, b'/v2/members/<"\xff', "DELETE")
    assert (response.status, response.body) == (
        404,
        rb'{"message":"No such member: \u003c\"\ufffd"}',
    )


def test_a_refused_request_asks_nothing_of_the_cluster(backend: TreeBackend) -> None:
    index, commit = backend.tree.index, backend.commit
    for body in (b"", b"{}", b'{"peerURLs":["http://a"]}'):
        assert change(backend, "POST", b"/v2/members", body=body).status == 400
        assert change(backend, "PUT", OWN_PATH, body=body).status == 400
    assert (backend.tree.index, backend.commit) == (index, commit)


@pytest.mark.parametrize(("method", "probes"), [("GET", 0), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
def test_a_change_looks_up_the_auth_switch_first(
    backend: TreeBackend, method: str, probes: int
) -> None:
    before = backend.tree.stats.gets_fail
    assert asyncio.run(guard(backend, Request(method, b"/v2/members"))) is None
    assert backend.tree.stats.gets_fail - before == probes


# Over a connection: when a body is read, and how much of it


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with ServerThread() as one:
        yield one
        assert one.errors == []


JSON_HEAD = b"Content-Type: application/json\r\n"


def body_of(size: int) -> bytes:
    """Return a body of so many bytes, which is refused only when it has been read."""
    return b'{"peerURLs":[]' + b" " * (size - 15) + b"}"


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
@pytest.mark.parametrize(
    ("size", "words"),
    [
        (BODY_BYTES_MAX, b"no valid URLs given"),
        (BODY_BYTES_MAX + 1, b"http: request body too large"),
        (BODY_BYTES_MAX * 40, b"http: request body too large"),
    ],
)
def test_a_body_has_a_bound(server: ServerThread, method: bytes, size: int, words: bytes) -> None:
    data = request(method, b"/v2/members/5f", JSON_HEAD, body_of(size))
    reply = exchange(server.port, data)
    assert (reply.status, reply.body) == (400, b'{"message":"%b"}' % words)


def test_a_body_in_chunks_is_read(server: ServerThread) -> None:
    head = JSON_HEAD + b"Transfer-Encoding: chunked\r\n"
    chunks = b'5\r\n{"pee\r\n9\r\nrURLs":1}\r\n0\r\n\r\n'
    reply = exchange(server.port, request(b"POST", b"/v2/members", head) + chunks)
    assert reply.status == 400
    assert b"cannot unmarshal number into Go struct field" in reply.body


def test_a_body_that_breaks_off_is_answered(server: ServerThread) -> None:
    data = request(b"POST", b"/v2/members", JSON_HEAD, body_of(100))[:-1]
    reply = exchange(server.port, data, half_close=True)
    assert (reply.status, reply.body) == (400, b'{"message":"unexpected EOF"}')


@pytest.mark.parametrize(
    ("method", "target", "head", "is_told"),
    [
        (b"POST", b"/v2/members", JSON_HEAD, True),
        (b"PUT", b"/v2/members/5f", JSON_HEAD, True),
        (b"PUT", b"/v2/members", JSON_HEAD, False),
        (b"PUT", b"/v2/members/zz", JSON_HEAD, False),
        (b"PUT", b"/v2/members/5f", b"", False),
        (b"DELETE", b"/v2/members/5f", JSON_HEAD, False),
    ],
)
def test_only_who_is_heard_is_told_to_go_on(
    server: ServerThread, method: bytes, target: bytes, head: bytes, is_told: bool
) -> None:
    data = request(method, target, head + b"Expect: 100-continue\r\n", body_of(20))
    reply = exchange(server.port, data)
    assert reply.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") is is_told


def test_answers_without_a_body_say_nothing_of_one(server: ServerThread) -> None:
    body = b'{"peerURLs":["%b"]}' % PEER_URL.encode()
    data = request(b"PUT", OWN_PATH, JSON_HEAD, body, is_last=False)
    # What follows on the same connection shows that the client's idea of the length is right.
    reply = exchange(server.port, data + request(b"DELETE", b"/v2/members"))
    head, _, rest = reply.data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Content-" not in head
    assert rest.startswith(b"HTTP/1.1 405 ")
