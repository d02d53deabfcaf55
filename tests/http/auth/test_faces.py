"""/v2/auth over a connection: what is refused before a body is asked for, and how failures end.

What the faces answer to whom is compared with etcd in tests/conformance.
Source: spec/auth.md section 3.
"""

import json
from base64 import b64encode
from collections.abc import Iterator

import pytest

from etcdpy.errors import RAFT_INTERNAL, EtcdError
from etcdpy.http.auth.faces import BODY_BYTES_MAX
from tests.http.backend import TreeBackend
from tests.http.rawsocket import Reply, connect, exchange, read_all, request
from tests.http.server import ServerThread

ROOT = b"Authorization: Basic %b\r\n" % b64encode(b"root:pw")
ID_LINE = b"X-Etcd-Cluster-Id: "
EXPECT = b"Expect: 100-continue\r\n"


@pytest.fixture
def server() -> Iterator[ServerThread]:
    with ServerThread() as one:
        yield one
        assert one.errors == []


def ask(
    server: ServerThread,
    method: bytes,
    path: bytes,
    headers: bytes = b"",
    body: bytes | None = None,
) -> Reply:
    return exchange(server.port, request(method, b"/v2/auth" + path, headers, body))


def enable(server: ServerThread) -> None:
    body = json.dumps({"user": "root", "password": "pw"}).encode()
    assert ask(server, b"PUT", b"/users/root", b"", body).status == 201
    assert ask(server, b"PUT", b"/enable").status == 200


@pytest.mark.parametrize(
    ("path", "status", "has_id"),
    [
        (b"/users/a/b", 400, False),
        (b"/users", 405, False),
        (b"/users/a", 401, False),
        (b"/roles/a", 401, False),
        (b"/enable", 401, False),
    ],
)
def test_what_is_refused_by_its_head_is_not_asked_for_its_body(
    server: ServerThread, path: bytes, status: int, has_id: bool
) -> None:
    enable(server)
    reply = ask(server, b"PUT", path, EXPECT, b"{}")
    assert reply.status == status
    assert (ID_LINE in reply.data) is has_id


def test_who_may_is_asked_for_the_body(server: ServerThread) -> None:
    enable(server)
    reply = ask(server, b"PUT", b"/roles/r", ROOT + EXPECT, b'{"role":"r"}')
    assert reply.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")
    assert ID_LINE in reply.data


@pytest.mark.parametrize("kind", ["user", "role"])
def test_a_body_may_be_so_long(server: ServerThread, kind: str) -> None:
    path = f"/{kind}s/x".encode()
    body = json.dumps({kind: "x", "password": "p", "other": ""}).encode()
    filled = body[:-2] + b"v" * (BODY_BYTES_MAX - len(body)) + b'"}'
    assert ask(server, b"PUT", path, b"", filled).status == 201
    reply = ask(server, b"PUT", path, b"", filled + b" ")
    assert (reply.status, reply.body) == (400, b'{"message":"http: request body too large"}')


def test_a_body_that_breaks_off_is_no_json(server: ServerThread) -> None:
    data = request(b"PUT", b"/v2/auth/users/a", b"", b'{"user":"a","password":"p"}')[:-5]
    reply = exchange(server.port, data, half_close=True)
    assert (reply.status, reply.body) == (400, b'{"message":"Invalid JSON in request body."}')


def test_any_other_answer_names_the_cluster(server: ServerThread) -> None:
    for method, path, status in (
        (b"GET", b"/users", 200),
        (b"GET", b"/users?x=%zz", 500),
        (b"GET", b"/users/a", 404),
        (b"PUT", b"/users/a", 400),
        (b"DELETE", b"/enable", 409),
        (b"DELETE", b"/roles/root", 403),
    ):
        reply = ask(server, method, path)
        assert reply.status == status
        assert ID_LINE in reply.data
        assert b"Content-Type: application/json\r\n" in reply.data


def test_a_success_without_words_has_an_empty_body(server: ServerThread) -> None:
    enable(server)
    reply = ask(server, b"DELETE", b"/enable", ROOT)
    assert reply.body == b""
    assert b"Content-Length: 0\r\n" in reply.data


def test_what_the_cluster_cannot_do_is_an_internal_error(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(backend: TreeBackend, command: object) -> None:
        raise EtcdError(RAFT_INTERNAL, b"etcdserver: request timed out")

    monkeypatch.setattr(TreeBackend, "propose", fail)
    reply = ask(server, b"PUT", b"/roles/r", b"", b'{"role":"r"}')
    assert (reply.status, reply.body) == (500, b'{"message":"Internal Server Error"}')
    assert "got unexpected response error (etcdserver: request timed out)" in caplog.messages


def test_the_first_of_several_headers_counts(server: ServerThread) -> None:
    enable(server)
    wrong = b"Authorization: Basic %b\r\n" % b64encode(b"root:px")
    assert ask(server, b"GET", b"/users", ROOT + wrong).status == 200
    assert ask(server, b"GET", b"/users", wrong + ROOT).status == 401
    assert ask(server, b"GET", b"/users", b"Authorization:\r\n" + ROOT).status == 401


@pytest.mark.parametrize(
    "path",
    [b"/v2//auth/users", b"/v2/auth/./users", b"/v2/auth/roles/../users", b"/v2/auth//users/"],
)
def test_an_unclean_path_is_no_way_around(server: ServerThread, path: bytes) -> None:
    enable(server)
    for method in (b"GET", b"PUT", b"DELETE"):
        assert exchange(server.port, request(method, path)).status == 301


def test_a_watch_that_is_open_stays_open_when_its_user_goes(server: ServerThread) -> None:
    """As in etcd: who may is asked when a request comes."""
    enable(server)
    assert ask(server, b"DELETE", b"/roles/guest", ROOT).status == 200
    with connect(server.port) as watch:
        watch.sendall(request(b"GET", b"/v2/keys/a?wait=true", ROOT))
        assert watch.recv(12) == b"HTTP/1.1 200"  # it is registered
        body = b'{"user":"root","password":"other"}'
        assert ask(server, b"PUT", b"/users/root", ROOT, body).status == 200
        other = b"Authorization: Basic %b\r\n" % b64encode(b"root:other")
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        wrote = exchange(server.port, request(b"PUT", b"/v2/keys/a", other + form, b"value=1"))
        assert wrote.status == 201
        assert b'"action":"set"' in read_all(watch)
