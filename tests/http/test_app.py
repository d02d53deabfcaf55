"""The server's life: silent until ready, gone within milliseconds, nothing left behind."""

import socket
import time
from collections.abc import Iterator

import pytest

from etcdpy.http.backend import Outcome
from etcdpy.http.tables import PEER_ROUTES
from etcdpy.tree.command import Command
from tests.http.rawsocket import connect, exchange, put, read_all, request
from tests.http.server import ServerThread


@pytest.fixture
def waiting() -> Iterator[ServerThread]:
    with ServerThread(is_ready=False) as server:
        yield server
        assert server.errors == []


def is_silent(sock: socket.socket) -> bool:
    sock.settimeout(0.1)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("target", [b"/v2/keys/", b"/version", b"/health", b"/unknown"])
def test_before_ready_connections_are_taken_and_get_no_answer(
    waiting: ServerThread, target: bytes
) -> None:
    assert waiting.server is not None
    with connect(waiting.port) as sock:
        sock.sendall(request(target=target))
        assert is_silent(sock)
        waiting.call(waiting.server.set_ready)
        sock.settimeout(5)
        assert read_all(sock).startswith(b"HTTP/1.1 ")


def test_a_server_that_never_became_ready_stops(waiting: ServerThread) -> None:
    with connect(waiting.port) as sock:
        sock.sendall(request())
        assert is_silent(sock)
        waiting.stop()
        sock.settimeout(5)
        assert read_all(sock) == b""


def test_stop_cuts_everything_within_milliseconds() -> None:
    with ServerThread() as server:
        socks = [connect(server.port) for _ in range(30)]
        for number, sock in enumerate(socks):
            if number % 3 == 0:
                sock.sendall(request(target=b"/v2/keys/k?wait=true", is_last=False))
            elif number % 3 == 1:
                sock.sendall(put(b"/v2/keys/k", b"value=12345", is_last=False)[:-2])
        begin_s = time.monotonic()
        server.stop()
        assert time.monotonic() - begin_s < 0.5
        for sock in socks:
            read_all(sock)
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            connect(server.port)
    assert server.errors == []


def test_stop_does_not_wait_for_a_client_that_does_not_read() -> None:
    with ServerThread() as server:
        server.call(lambda: server.backend.tree.set(b"/1/big", value=b"v" * 30_000_000, now_ns=0))
        with connect(server.port) as sock:
            sock.sendall(request(target=b"/v2/keys/big"))
            sock.recv(100)
            begin_s = time.monotonic()
            server.stop()
            assert time.monotonic() - begin_s < 0.5
    assert server.errors == []


@pytest.mark.parametrize("is_last", [True, False])
def test_stop_while_a_write_waits_for_its_commit(
    monkeypatch: pytest.MonkeyPatch, is_last: bool
) -> None:
    with ServerThread() as server:
        waiting: list[Outcome] = []

        def submit(command: Command, outcome: Outcome) -> None:
            waiting.append(outcome)

        monkeypatch.setattr(server.backend, "submit", submit)
        with connect(server.port) as sock:
            sock.sendall(put(b"/v2/keys/k", b"value=1", is_last=is_last))
            while not server.call(lambda: list(waiting)):
                pass
            server.stop()
            assert read_all(sock) == b""
    assert server.errors == []


def test_accepted_sockets_probe_dead_clients() -> None:
    with ServerThread() as server, connect(server.port) as sock:
        sock.sendall(request(is_last=False))
        sock.recv(100)
        assert server.server is not None
        (connection,) = server.server._connections
        assert connection.transport is not None
        accepted = connection.transport.get_extra_info("socket")
        options = (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
        )
        for level, name, value in options:
            assert accepted.getsockopt(level, name) == value


def test_the_peer_port_has_its_own_faces_and_no_cors() -> None:
    with ServerThread(PEER_ROUTES, cors=b"") as server:
        members = exchange(server.port, request(target=b"/members"))
        assert members.status == 200
        assert members.body.startswith(b'[{"id":11417610130673999598,"peerURLs":["http://127')
        assert members.body.endswith(b'"clientURLs":["http://127.0.0.1:22379"]}]\n')
        assert b"X-Etcd-Cluster-Id: c8730d66636ff140\r\n" in members.data
        assert b"Access-Control" not in members.data
        assert exchange(server.port, request(target=b"/version")).status == 200
        refused = exchange(server.port, request(b"PUT", b"/members"))
        assert refused.status == 405
        assert b"Allow: GET\r\n" in refused.data
        for target in (b"/", b"/health", b"/metrics", b"/v2/keys/", b"/v2/members", b"/members/"):
            assert exchange(server.port, request(target=target)).status == 404
