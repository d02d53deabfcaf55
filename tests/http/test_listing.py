"""Large listings: whole, of one index, and in nobody's way."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from etcdpy.http.events import render_event
from etcdpy.tree import notes
from etcdpy.tree.node import NODES_AT_ONCE_MAX
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.http.rawsocket import connect, exchange, read_all, request
from tests.http.server import ServerThread

DIRECTORIES = 30
FILES = 1_000
FORM = "application/x-www-form-urlencoded"
TARGET = b"/v2/keys/?recursive=true&sorted=true"


@pytest.fixture
def server() -> Iterator[ServerThread]:
    with ServerThread() as thread:
        thread.call(lambda: fill(thread))
        yield thread
        assert thread.errors == []


def fill(server: ServerThread) -> None:
    for directory in range(DIRECTORIES):
        for number in range(FILES):
            path = b"/1/d%03d/%d" % (directory, number)
            server.backend.tree.set(path, value=b"before" * 5, now_ns=0)


def expected(server: ServerThread) -> bytes:
    event = server.call(
        lambda: server.backend.tree.get(b"/1", is_recursive=True, is_sorted=True, now_ns=0)
    )
    return render_event(event)


def unchunked(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return head, body and what follows of a response in chunks."""
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return head, body, rest[2:]
        body += rest[:length]
        rest = rest[length + 2 :]


def is_any_picture_open(server: ServerThread) -> bool:
    return bool(server.call(lambda: server.backend.tree.notes.is_wanted))


def small_buffer(port: int) -> socket.socket:
    """Return a connection whose client takes little at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    return sock


def test_the_body_is_the_listing_and_the_connection_goes_on(server: ServerThread) -> None:
    first = request(target=TARGET, is_last=False)
    head, body, rest = unchunked(exchange(server.port, first + request(target=TARGET)).data)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-Etcd-Index: %d\r\n" % (DIRECTORIES * FILES + 3) in head
    assert body == expected(server)
    head, body, rest = unchunked(rest)
    assert b"Connection: close" in head
    assert body == expected(server)
    assert not rest
    assert not is_any_picture_open(server)


def test_not_recursive_is_a_picture_too_beyond_its_bound(server: ServerThread) -> None:
    assert FILES > NODES_AT_ONCE_MAX
    data = exchange(server.port, request(target=b"/v2/keys/d000?sorted=true")).data
    nodes = json.loads(unchunked(data)[1])["node"]["nodes"]
    assert len(nodes) == FILES


def test_an_old_client_gets_it_to_the_end_of_the_connection(server: ServerThread) -> None:
    data = exchange(server.port, b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % TARGET)
    assert b"Transfer-Encoding" not in data.data
    assert b"keep-alive" not in data.data
    assert data.body == expected(server)


def test_a_client_that_has_ended_its_side_gets_it_all(server: ServerThread) -> None:
    reply = exchange(server.port, request(target=TARGET, is_last=False), half_close=True)
    assert unchunked(reply.data)[1] == expected(server)


def test_a_broken_body_that_nobody_reads_ends_the_connection_after_it(server: ServerThread) -> None:
    headers = b"Transfer-Encoding: chunked\r\n"
    data = request(b"GET", TARGET, headers, is_last=False) + b"zz\r\n"
    head, body, _ = unchunked(exchange(server.port, data).data)
    assert b"Connection: close\r\n" in head
    assert body == expected(server)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_head_has_no_body(server: ServerThread, version: bytes) -> None:
    data = exchange(
        server.port, b"HEAD %b HTTP/%b\r\nHost: a\r\nConnection: close\r\n\r\n" % (TARGET, version)
    )
    assert data.status == 200
    assert not data.body
    assert b"Length" not in data.data
    assert not is_any_picture_open(server)


def test_a_slow_client_sees_one_index_and_others_go_on(server: ServerThread) -> None:
    before = expected(server)
    with small_buffer(server.port) as sock:
        sock.sendall(request(target=TARGET))
        taken = sock.recv(2_000)
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for number in range(0, FILES, 10):
            for directory in (0, DIRECTORIES - 1):
                path = f"/v2/keys/d{directory:03}/{number}"
                client.request("PUT", path, "value=after", {"Content-Type": FORM})
                assert client.getresponse().read()
        client.request("DELETE", "/v2/keys/d015?recursive=true")
        assert client.getresponse().read()
        client.request("GET", "/v2/keys/d029/0")
        assert json.loads(client.getresponse().read())["node"]["value"] == "after"
        client.close()
        assert is_any_picture_open(server)
        body = unchunked(taken + read_all(sock))[1]
    assert body == before
    assert not is_any_picture_open(server)


def test_a_client_that_reads_more_slowly_than_keys_change_is_cut(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "NOTES_BYTES_MAX", 100 * notes.NOTE_BYTES)
    with small_buffer(server.port) as sock:
        sock.sendall(request(target=TARGET))
        taken = sock.recv(2_000)
        server.call(lambda: fill(server))
        taken += read_all(sock)
    assert not taken.endswith(b"0\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in taken
    assert not is_any_picture_open(server)


def test_a_client_that_goes_away_leaves_nothing(server: ServerThread) -> None:
    with small_buffer(server.port) as sock:
        sock.sendall(request(target=TARGET))
        sock.recv(2_000)
        assert is_any_picture_open(server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with connect(server.port) as sock:
        sock.sendall(request(target=b"/version"))
        assert read_all(sock)
    wait_until(lambda: not is_any_picture_open(server), 30.0, "the picture is closed")


def test_stop_ends_a_listing_that_is_being_sent(server: ServerThread) -> None:
    with small_buffer(server.port) as sock:
        sock.sendall(request(target=TARGET))
        sock.recv(2_000)
        assert is_any_picture_open(server)
        server.stop()
        read_all(sock)
    assert not server.backend.tree.notes.is_wanted


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_directory_that_goes_at_once_is_listed_as_it_was(is_fast: bool) -> None:
    with ServerThread(is_fast=is_fast) as server:
        refuse, tree = server.backend.get, server.backend.tree

        def get_and_remove(path: bytes, **asked: bool) -> object:
            """Have the directory removed before the loop's next turn."""
            remove = partial(tree.delete, b"/1/d", is_dir=True, is_recursive=True, now_ns=0)
            asyncio.get_running_loop().call_soon(remove)
            return refuse(path, **asked)

        server.backend.get = get_and_remove  # type: ignore[method-assign,assignment]
        for number in range(NODES_AT_ONCE_MAX + 1):
            tree.set(b"/1/d/%d" % number, value=b"", now_ns=0)
        reply = exchange(server.port, request(target=b"/v2/keys/d"))
        assert server.errors == []
    shown = json.loads(unchunked(reply.data)[1])
    assert len(shown["node"]["nodes"]) == NODES_AT_ONCE_MAX + 1


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_listing_that_is_being_sent_is_one_request(is_fast: bool) -> None:
    with ServerThread(is_fast=is_fast) as server:
        server.call(lambda: fill(server))
        assert server.server is not None
        with small_buffer(server.port) as sock:
            sock.sendall(request(target=TARGET))
            wait_until(lambda: is_any_picture_open(server), DEADLINE_S, "it is being sent")
            assert server.server.serving_count == 1
            read_all(sock)
        assert server.server.serving_count == 0
