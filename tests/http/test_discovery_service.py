"""GET /new."""

import asyncio

import pytest

from etcdpy.errors import EtcdError
from etcdpy.http.discovery_service import SIZE_MAX, TTL_S, make_token
from etcdpy.http.tables import CLIENT_ROUTES, CLIENT_ROUTES_WITH_DISCOVERY
from etcdpy.http.wire import Caller, Request, Response
from etcdpy.tree.command import Command
from tests.http.backend import TreeBackend
from tests.http.rawsocket import exchange, request
from tests.http.server import ServerThread

ASKED_AT = "https://h:1"


def ask(backend: TreeBackend, query: bytes = b"", asked_at: str = ASKED_AT) -> Response:
    values = Request("GET", b"/new", query, asked_at=asked_at, caller=Caller())

    async def run() -> Response:
        return await make_token(backend, values)

    return asyncio.run(run())


def size_at(backend: TreeBackend, url: bytes) -> bytes:
    key = b"/1" + url.removeprefix(b"https://h:1/v2/keys")
    node = backend.find_file(key + b"/_config/size")
    assert node is not None
    return node.value


@pytest.mark.parametrize(
    ("query", "size"),
    [
        (b"", b"3"),
        (b"size=", b"3"),
        (b"size=5", b"5"),
        (b"size=%2B07", b"7"),
        (b"size=1&size=2", b"1"),
    ],
)
def test_a_url_is_made_at_the_address_that_was_asked(query: bytes, size: bytes) -> None:
    backend = TreeBackend()
    first, second = ask(backend, query), ask(backend, query)
    for response in (first, second):
        assert response.status == 200
        assert response.headers == b"Content-Type: text/plain; charset=utf-8\r\n"
        assert size_at(backend, response.body) == size
    assert first.body.startswith(b"https://h:1/v2/keys/_etcd/registry/")
    assert len(first.body.rpartition(b"/")[2]) == 32
    assert first.body != second.body


def test_what_was_made_goes_by_itself() -> None:
    backend = TreeBackend()
    now_ns = backend.now_ns()
    key = b"/1" + ask(backend).body.removeprefix(b"https://h:1/v2/keys")
    event = backend.get(key, is_recursive=False, is_sorted=False)
    assert event.node.expiration_ns is not None
    assert 0 <= event.node.expiration_ns - now_ns - TTL_S * 10**9 < 10**10


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (b"x", b'strconv.Atoi: parsing "x": invalid syntax\n'),
        (b"3.0", b'strconv.Atoi: parsing "3.0": invalid syntax\n'),
        (b"9" * 19, b'strconv.Atoi: parsing "9999999999999999999": value out of range\n'),
        (b"9" * 5000, b'strconv.Atoi: parsing "' + b"9" * 5000 + b'": value out of range\n'),
        (b"0", b"size 0: a cluster has from 1 to 256 members\n"),
        (b"-1", b"size -1: a cluster has from 1 to 256 members\n"),
        (b"%d" % (SIZE_MAX + 1), b"size 257: a cluster has from 1 to 256 members\n"),
    ],
)
def test_a_size_that_no_cluster_has_is_refused(size: bytes, words: bytes) -> None:
    """The service itself takes any number, of which etcd then makes nothing, or crashes."""
    backend = TreeBackend()
    before = backend.tree.index
    response = ask(backend, b"size=" + size)
    assert (response.status, response.body) == (400, words)
    assert backend.tree.index == before


def test_who_does_not_say_whom_he_asks_gets_no_url() -> None:
    assert ask(TreeBackend(), asked_at="").status == 400


def test_what_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TreeBackend()

    def fail(command: Command) -> object:
        raise EtcdError(300, b"etcdserver: request timed out")

    monkeypatch.setattr(backend, "propose", fail)
    response = ask(backend)
    assert (response.status, response.body) == (500, b"unable to generate token\n")


@pytest.mark.interpreted
def test_with_auth_who_may_not_write_the_keys_gets_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TreeBackend()
    asked = []

    async def check_key(caller: Caller, key: bytes, **what: bool) -> None:
        asked.append((key, what))
        raise EtcdError(110, b"Insufficient credentials")

    monkeypatch.setattr(backend.authority, "is_enabled", lambda: True)
    monkeypatch.setattr(backend.authority, "check_key", check_key)
    response = ask(backend)
    assert (response.status, response.body) == (401, b"Insufficient credentials\n")
    ((key, what),) = asked
    assert key.startswith(b"/_etcd/registry/")
    assert what == {"is_write": True, "is_recursive": True}


def test_it_is_there_only_where_it_is_wanted() -> None:
    for routes, status in ((CLIENT_ROUTES, 404), (CLIENT_ROUTES_WITH_DISCOVERY, 200)):
        with ServerThread(routes=routes) as server:
            answer = exchange(server.port, request(b"GET", b"/new?size=2"))
            assert answer.status == status
            if status == 200:
                assert answer.body.startswith(b"http://")
                assert exchange(server.port, request(b"POST", b"/new")).status == 405
