"""Peer ports of a real cluster fed with everything but what peers say: nobody else notices.

What each refusal looks like is tested in tests/http; here it is that the cluster goes on: the same
leader in the same term, every write acknowledged, and one line in the log for each kind of trouble.
"""

import contextlib
import functools
import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcdpy.http.peers.frames import FrameEncoder, FrameKind
from etcdpy.http.peers.protocol import SNAPSHOT_PATH, STREAM_PATH, STREAM_SEED, Identity, greet
from tests.harness.client import Connection
from tests.harness.cluster import Cluster
from tests.harness.process import Kind, Member, wait_until

ETCD_VERSION = "3.4.23"
ROUNDS = 5
HALF_OPEN = 100
WRITES_AFTER = 20
DEADLINE_S = 10.0
STRANGER_ID, GUEST_ID = 0xBAD, 0xBAD01
# What a member's log has of them all, of however many rounds: words of a line, and how many lines.
LINES = {
    "request cluster ID mismatch": 1,
    "request member ID mismatch": 1,
    "peer protocol version 2 is spoken here (got none) from 127.0.0.1 refused": 1,
    "request of a real etcd from 127.0.0.1 refused": 1,
    "added guest peer bad01": 1,
    "lost the TCP streaming connection from peer bad01 (": 1,
}
# A guest is dialled where it says that it is, unless it leaves before.
DIALLED = "peer bad01 at http://127.0.0.1:1: "


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3) as cluster:
        cluster.start()
        yield cluster


class Writer(threading.Thread):
    """Writes to one member, one key after the other, and keeps what was not acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.count = 0
        self.faults: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        with Connection(self.url) as connection:
            while not self.ending.is_set():
                answer = connection.request("PUT", f"/v2/keys/w{self.count % 50}", {"value": "v"})
                self.count += 1
                if answer.status not in (200, 201):
                    self.faults.append(f"{answer.status} {answer.body!r}")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Write from before the first attack until some writes after the last one."""
        self.start()
        try:
            yield
            goal = self.count + WRITES_AFTER
            wait_until(lambda: self.count >= goal or bool(self.faults), DEADLINE_S, "writes")
        finally:
            self.ending.set()
            self.join(DEADLINE_S)
        assert not self.faults, self.faults[:3]


def open_stream(member: Member, identity: Identity, to: int) -> tuple[socket.socket, bytes]:
    """Dial a member's stream as a peer does; return the socket and the answer's head."""
    path = f"{STREAM_PATH}/{identity.member_id:x}"
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: etcdpy-peer"]
    lines += [f"{name}: {value}" for name, value in greet(identity, to).items()]
    sock = socket.create_connection(("127.0.0.1", member.peer_port), timeout=DEADLINE_S)
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            break
        answer += data
    return sock, answer


def seed_of(answer: bytes) -> int:
    for line in answer.decode().split("\r\n"):
        if line.lower().startswith(STREAM_SEED.lower()):
            return int(line.partition(":")[2], 16)
    raise AssertionError(answer)


def is_ended(sock: socket.socket) -> bool:
    """Tell whether the other side ends the connection, whatever it says before."""
    with sock, contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


def attack_with_noise(member: Member, source: random.Random) -> None:
    """Bytes that are no HTTP, HTTP that is no peer's, and bodies that are no snapshot."""
    port = member.peer_port
    for data in (
        source.randbytes(3000),
        b"\x00" * 100_000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        f"POST {SNAPSHOT_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode()
        + b"garbage!!",
        f"GET {STREAM_PATH}/1 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            assert is_ended(sock)


def attack_as_stranger(member: Member, cluster_id: int, member_id: int) -> None:
    """A wrong cluster, a wrong addressee; a guest with a huge, a damaged and a replayed frame."""
    guest = Identity(cluster_id, GUEST_ID, ETCD_VERSION, ("http://127.0.0.1:1",))
    stranger = Identity(cluster_id + 1, STRANGER_ID, ETCD_VERSION)
    for identity, to, status in ((stranger, member_id, b" 412 "), (guest, member_id + 1, b" 421 ")):
        sock, answer = open_stream(member, identity, to)
        assert status in answer
        assert is_ended(sock)
    for frames in range(3):
        sock, answer = open_stream(member, guest, member_id)
        assert b" 101 " in answer
        encoder = FrameEncoder(seed_of(answer))
        token = b"\x07"
        ping = encoder.encode(FrameKind.PING, token) + token
        broken = struct.pack("<III", 1 << 31, FrameKind.MESSAGES, 0)
        damaged = ping[:-1] + b"\x08"
        replayed = ping + ping
        with contextlib.suppress(OSError):
            sock.sendall((broken, damaged, replayed)[frames])
        assert is_ended(sock)


def test_garbage_strangers_and_half_open_connections_harm_nobody(cluster: Cluster) -> None:
    source = random.Random(4)
    leader = cluster.leader()
    before = leader.request("GET", "/v2/keys/")
    term = before.headers["x-raft-term"]
    cluster_id = int(before.headers["x-etcd-cluster-id"], 16)
    with contextlib.ExitStack() as stack:
        for member in cluster.members:  # part of a head, and then nothing
            for _ in range(HALF_OPEN):
                sock = stack.enter_context(
                    socket.create_connection(("127.0.0.1", member.peer_port))
                )
                sock.sendall(b"GET /raft/stream/etcdpy/1 HTTP/1.1\r\nX-")
        with Writer(cluster.members[0].client_url).running():
            for _ in range(ROUNDS):
                for member in cluster.members:
                    attack_with_noise(member, source)
                    attack_as_stranger(member, cluster_id, int(member.id, 16))
        assert cluster.leader() is leader
        after = leader.request("GET", "/v2/keys/")
        assert after.headers["x-raft-term"] == term
    for member in cluster.members:
        check_lines(member.log_text().splitlines())


def check_lines(lines: list[str]) -> None:
    """Check that each trouble was said once, and nothing else of who made it."""
    said = [line for line in lines if "refused" in line or "bad" in line or "127.0.0.1:1:" in line]
    assert {words: sum(words in line for line in said) for words in LINES} == LINES
    others = [line for line in said if not any(words in line for words in LINES)]
    assert len(others) <= 1
    assert all(DIALLED in line for line in others)
    assert not any("Traceback" in line for line in lines)


@pytest.mark.live
def test_a_real_etcd_in_a_members_place_harms_nobody(cluster: Cluster, tmp_path: Path) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    absent = next(member for member in cluster.members if member is not cluster.leader())
    others = [member for member in cluster.members if member is not absent]
    intruder = Member(Kind.ETCD, tmp_path / "intruder", name=absent.name)
    intruder.peer_port = absent.peer_port
    intruder.options = ("--initial-cluster", absent.initial_cluster)
    for member in cluster.members:
        member.kill()
    with intruder:
        intruder.launch()  # while nobody is there to tell it that this member exists
        wait_until(lambda: "starting member" in intruder.log_text(), DEADLINE_S, "etcd starts")
        cluster.restart(others)
        with Writer(others[0].client_url).running():
            for member in others:
                is_noticed = functools.partial(contains, member, "a real etcd")
                wait_until(is_noticed, DEADLINE_S, f"{member.name} has noticed")
        assert not contains(intruder, "panic")
    for member in others:
        lines = [line for line in member.log_text().splitlines() if "real etcd" in line]
        assert len(lines) <= 4, lines
    absent.start()
    goal = others[0].request("PUT", "/v2/keys/last", {"value": "v"}).index
    wait_until(lambda: absent.request("GET", "/v2/keys/").index >= goal, DEADLINE_S, "caught up")


def contains(member: Member, text: str) -> bool:
    return text in member.log_text()
