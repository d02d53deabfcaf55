"""Watches: the feed alone, and over real sockets with slow, vanished and half-closed clients."""

import json
import socket
from collections.abc import Iterator

import pytest

from etcdpy.http import wire
from etcdpy.http.events import render_event
from etcdpy.http.watch import EventRenderer, WatchFeed
from etcdpy.tree.event import Event
from etcdpy.tree.tree import Tree
from tests.harness.process import wait_until
from tests.http.rawsocket import connect, exchange, put, read_all, read_response, request
from tests.http.server import ServerThread


class Client:
    """Remembers what a feed has written and how it ended."""

    def __init__(
        self, tree: Tree, *, is_stream: bool = False, is_chunked: bool = True, since: int = 0
    ) -> None:
        self.data = b""
        self.ends: list[bool] = []
        watcher = tree.watch(b"/1/k", is_recursive=False, is_stream=is_stream, since=since)
        self.feed = WatchFeed(
            watcher, render_event, self.write, self.ends.append, is_chunked=is_chunked
        )

    def write(self, data: bytes) -> None:
        self.data += data


def set_key(tree: Tree, value: bytes = b"1", key: bytes = b"/1/k") -> Event:
    event = tree.set(key, value=value, now_ns=0)
    for watcher in tree.hub.take_ready():
        watcher.owner.wake()
    return event


def test_a_one_shot_body_is_one_event_and_the_last_chunk() -> None:
    tree = Tree()
    client = Client(tree)
    client.feed.start(b"HEAD")
    assert (client.data, client.ends) == (b"HEAD", [])
    event = set_key(tree)
    assert client.data == b"HEAD" + wire.chunk(render_event(event)) + wire.LAST_CHUNK
    assert client.ends == [True]
    set_key(tree)
    assert client.data.endswith(wire.LAST_CHUNK)


def test_a_stream_writes_each_event_as_a_chunk() -> None:
    tree = Tree()
    client = Client(tree, is_stream=True)
    client.feed.start(b"")
    events = [set_key(tree), set_key(tree)]
    assert client.data == b"".join(wire.chunk(render_event(event)) for event in events)
    assert client.ends == []


def test_an_event_of_the_past_leaves_with_the_head() -> None:
    tree = Tree()
    event = set_key(tree)
    written: list[bytes] = []
    watcher = tree.watch(b"/1/k", is_recursive=False, is_stream=False, since=1)
    feed = WatchFeed(watcher, render_event, written.append, lambda _: None, is_chunked=True)
    feed.start(b"HEAD")
    assert written == [b"HEAD" + wire.chunk(render_event(event)) + wire.LAST_CHUNK]


def test_without_chunks_the_end_is_only_the_connections() -> None:
    tree = Tree()
    client = Client(tree, is_chunked=False)
    client.feed.start(b"")
    event = set_key(tree)
    assert client.data == render_event(event)
    assert client.ends == [True]


def test_a_paused_feed_takes_nothing_and_goes_on_where_it_was() -> None:
    tree = Tree()
    client = Client(tree, is_stream=True)
    client.feed.start(b"")
    client.feed.pause()
    events = [set_key(tree, b"%d" % n) for n in range(3)]
    assert client.data == b""
    client.feed.resume()
    assert client.data == b"".join(wire.chunk(render_event(event)) for event in events)


def test_a_feed_that_begins_paused_sends_its_head_and_nothing_of_the_past() -> None:
    tree = Tree()
    event = set_key(tree)
    client = Client(tree, is_stream=True, since=1)
    client.feed.pause()
    client.feed.start(b"HEAD")
    set_key(tree, key=b"/1/other")
    assert client.data == b"HEAD"
    client.feed.resume()
    assert client.data == b"HEAD" + wire.chunk(render_event(event))


def test_a_client_that_never_reads_loses_its_watcher_after_100_events() -> None:
    tree = Tree()
    client = Client(tree, is_stream=True)
    client.feed.start(b"")
    client.feed.pause()
    for number in range(150):
        set_key(tree, b"%d" % number)
    assert tree.hub.count == 0
    client.feed.resume()
    assert client.data.count(b'"action":"set"') == 100
    assert client.ends == []


def test_finish_ends_the_body_and_cut_does_not() -> None:
    tree = Tree()
    first, second = Client(tree), Client(tree)
    for client in (first, second):
        client.feed.start(b"")
    first.feed.finish()
    second.feed.cut()
    assert (first.data, first.ends) == (wire.LAST_CHUNK, [True])
    assert (second.data, second.ends) == (b"", [False])
    for client in (first, second):
        client.feed.finish()
        client.feed.cut()
        client.feed.wake()
        assert len(client.ends) == 1


def test_an_event_is_rendered_once_for_many_watchers() -> None:
    tree = Tree()
    render = EventRenderer()
    event = set_key(tree)
    assert render(event) is render(event)
    assert render(event) == render_event(event)
    assert render(set_key(tree, b"2")) != render(event)


@pytest.fixture(params=[True, False], ids=["fast", "aiohttp"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerThread]:
    with ServerThread(is_fast=request.param) as one:
        yield one
        assert one.errors == []


def watcher_count(server: ServerThread) -> int:
    count: int = server.call(lambda: server.backend.tree.hub.count)
    return count


def wait_for_watchers(server: ServerThread, count: int) -> None:
    wait_until(lambda: watcher_count(server) == count, 5.0, f"{count} watchers")


def open_watch(server: ServerThread, query: bytes, *, is_last: bool = False) -> socket.socket:
    """Return a connection whose watch has answered with its head."""
    sock = connect(server.port)
    sock.sendall(request(target=b"/v2/keys/k?wait=true" + query, is_last=is_last))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Transfer-Encoding: chunked\r\n" in head
    return sock


def write_key(server: ServerThread, value: bytes = b"1") -> None:
    assert exchange(server.port, put(b"/v2/keys/k", b"value=" + value)).status in (200, 201)


def test_a_connection_is_used_again_after_a_one_shot(server: ServerThread) -> None:
    with open_watch(server, b"") as sock:
        for _ in range(3):
            write_key(server)
            data = b""
            while not data.endswith(wire.LAST_CHUNK):
                data += sock.recv(1000)
            sock.sendall(request(target=b"/v2/keys/k", is_last=False))
            assert read_response(sock).startswith(b"HTTP/1.1 200 OK\r\n")
            sock.sendall(request(target=b"/v2/keys/k?wait=true", is_last=False))
            while not sock.recv(1000).endswith(b"\r\n\r\n"):
                pass


def test_requests_behind_a_watch_are_answered_after_it(server: ServerThread) -> None:
    with open_watch(server, b"") as sock:
        sock.sendall(request(target=b"/v2/keys/k"))
        write_key(server)
        data = read_all(sock)
    assert data.index(wire.LAST_CHUNK) < data.index(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("query", [b"", b"&stream=true", b"&recursive=true"])
def test_a_client_that_half_closes_gets_the_end_of_the_body(
    server: ServerThread, query: bytes
) -> None:
    with open_watch(server, query) as sock:
        assert watcher_count(server) == 1
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == wire.LAST_CHUNK
    assert watcher_count(server) == 0


def test_a_watch_whose_client_has_half_closed_already_ends_at_once(server: ServerThread) -> None:
    data = request(target=b"/v2/keys/k?wait=true", is_last=False)
    assert exchange(server.port, data, half_close=True).data.endswith(b"\r\n\r\n0\r\n\r\n")
    assert watcher_count(server) == 0


@pytest.mark.parametrize("is_reset", [False, True])
def test_the_watcher_of_a_vanished_client_is_removed(server: ServerThread, is_reset: bool) -> None:
    sock = open_watch(server, b"&stream=true")
    if is_reset:
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()
    wait_for_watchers(server, 0)


def test_http_1_0_watch_has_no_chunks_and_closes(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET /v2/keys/k?wait=true HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        wait_for_watchers(server, 1)
        write_key(server)
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Transfer-Encoding" not in head
    assert json.loads(body)["action"] == "set"


def test_a_stream_that_is_not_read_is_dropped_and_the_server_goes_on(
    server: ServerThread,
) -> None:
    with connect(server.port) as sock:
        sock.sendall(request(target=b"/v2/keys/k?wait=true&stream=true", is_last=False))
        wait_for_watchers(server, 1)
        value = b"v" * 50_000
        with connect(server.port) as writer:
            for _ in range(400):
                writer.sendall(put(b"/v2/keys/k", b"value=" + value, is_last=False))
                read_chunked(writer)
        assert watcher_count(server) == 0
        received = b""
        while received.count(b'"action":"set"') < 100:  # as many are held for it
            part = sock.recv(1 << 20)
            assert part, "the connection stays open"
            received += part
        sock.settimeout(0.3)
        received += drain(sock)
    assert 100 <= received.count(b'"action":"set"') < 400
    assert not received.endswith(wire.LAST_CHUNK)


def read_chunked(sock: socket.socket) -> None:
    """Read one answer with a chunked body."""
    data = b""
    while not data.endswith(b"\r\n0\r\n\r\n"):
        data = data[-10:] + sock.recv(1 << 20)


def drain(sock: socket.socket) -> bytes:
    """Return what comes until nothing does."""
    parts = []
    try:
        while part := sock.recv(1 << 20):
            parts.append(part)
    except TimeoutError:
        pass
    return b"".join(parts)


def test_stopping_cuts_a_watch_without_its_last_chunk(server: ServerThread) -> None:
    with (
        open_watch(server, b"") as one_shot,
        open_watch(server, b"&stream=true") as stream,
        connect(server.port) as idle,
    ):
        server.stop()
        for sock in (one_shot, stream, idle):
            assert read_all(sock) == b""


def test_an_outdated_index_is_an_ordinary_error(server: ServerThread) -> None:
    tree = server.backend.tree
    server.call(lambda: [tree.set(b"/1/fill", value=b"", now_ns=0) for _ in range(1001)])
    reply = exchange(server.port, request(target=b"/v2/keys/k?wait=true&waitIndex=1"))
    assert reply.status == 400
    assert json.loads(reply.body)["errorCode"] == 401
    assert watcher_count(server) == 0
