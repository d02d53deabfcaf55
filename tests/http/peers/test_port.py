"""Who is refused on the peer port and how, and what a stream takes before it is ended.

Source: spec/cluster.md section 2, spec/members.md sections 5 and 6.
"""

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
import pytest

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import Message, MessageKind
from etcdpy.http.peers.peer import Peer
from etcdpy.http.peers.protocol import Cause, Refusal
from tests.http.peering import (
    SNAPSHOT,
    Node,
    append,
    cluster,
    faster,
    greeting,
    heartbeat,
    logged,
    run,
    until,
)

MESSAGES, PING, PONG, GOODBYE = 1, 2, 3, 4
FRAME = struct.Struct("<III")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


class Dialled:
    """A raw connection to a member's peer port that may be anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seed = 0
        self.back = 0

    def request(self, line: str, headers: dict[str, str]) -> None:
        lines = [f"{line} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def open_stream(self, sender: int, to: int, protocol: int = 2) -> None:
        headers = greeting(sender, to) | {"Connection": "Upgrade", "Upgrade": "etcdpy-peer"}
        spoken = ",".join(str(version) for version in range(1, protocol + 1))
        self.request(
            f"GET /raft/stream/etcdpy/{sender:x}", headers | {"X-Etcdpy-Protocols": spoken}
        )
        answer = await self.answer()
        assert answer.status == 101
        assert answer.headers["x-etcdpy-protocol"] == f"{protocol}"
        self.seed = int(answer.headers["x-etcdpy-stream"], 16)
        self.back = self.seed ^ 0xFFFFFFFF

    def frame(self, kind: int, payload: bytes) -> bytes:
        self.seed = crc32(payload, crc32(struct.pack("<II", len(payload), kind), self.seed))
        return FRAME.pack(len(payload), kind, self.seed) + payload

    def send(self, *messages: Message) -> bytes:
        data = self.frame(MESSAGES, encode_messages(messages))
        self.writer.write(data)
        return data

    async def receive(self) -> tuple[int, bytes]:
        length, kind, crc = FRAME.unpack(await self.reader.readexactly(FRAME.size))
        payload = await self.reader.readexactly(length)
        self.back = crc32(payload, crc32(struct.pack("<II", length, kind), self.back))
        assert crc == self.back
        return kind, payload

    async def ends(self) -> None:
        """Wait until the other side has closed."""
        try:
            async with asyncio.timeout(10):
                while await self.reader.read(4096):
                    pass
        except ConnectionError:
            pass


@asynccontextmanager
async def dial(node: Node) -> AsyncIterator[Dialled]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        yield Dialled(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def lone(**changes: Any) -> AsyncIterator[Node]:
    """Member 1, which knows a member 2 that is not there, and has removed 66."""
    node = Node(1, faster(**changes))
    node.transport.add_peer(2, ["http://127.0.0.1:1"])
    node.removed.add(0x66)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


def peer_of(node: Node) -> Peer:
    """Return the member 2 of `lone`."""
    peer = node.transport.find_peer(2)
    assert peer is not None
    return peer


async def ask(node: Node, line: str, headers: dict[str, str] | None = None) -> Answer:
    async with dial(node) as dialled:
        dialled.request(line, headers or {})
        return await dialled.answer()


# Refusals


TOO_LOW = "remote version is too low: remote[2]={}, local=3.4.23"
MANY_URLS = ",".join(["http://x:1"] * 17)


def refused(
    status: int, cause: Cause, message: str, ids: tuple[int, int] = (2, 1), **changed: str
) -> Any:
    """Return a case: a greeting from and to `ids`, but for what is `changed`, and its refusal."""
    case = f"{cause}, {ids} {list(changed.values())}"
    sender, to = ids
    headers = greeting(sender, to, **changed)
    return pytest.param(headers, Refusal(status, cause, message), id=case[:60])


def refused_for(header: str, value: str, status: int, cause: Cause, message: str) -> Any:
    """Return a case: a good greeting but for one header, and its refusal."""
    changed = {header: value}
    return refused(status, cause, message, (2, 1), **changed)


MISMATCH = "request cluster ID mismatch (got {} want c1)"
WRONG = "request member ID mismatch (got {} want 1)"
STRANGER = "member 9 is not known here"
REFUSALS = [
    refused_for("X-Etcd-Cluster-ID", "abc", 412, Cause.CLUSTER_ID, MISMATCH.format("abc")),
    refused_for("X-Etcd-Cluster-ID", "", 412, Cause.CLUSTER_ID, MISMATCH.format("")),
    refused(410, Cause.REMOVED, "removed member 66", (0x66, 1)),
    refused(421, Cause.MEMBER_ID, WRONG.format(3), (2, 3)),
    refused(421, Cause.MEMBER_ID, WRONG.format(1), (1, 1)),
    refused_for("X-Server-From", "xyz", 404, Cause.UNKNOWN, "invalid from"),
    refused(404, Cause.UNKNOWN, STRANGER, (9, 1), X_PeerURLs=""),
    refused(404, Cause.UNKNOWN, STRANGER, (9, 1), X_PeerURLs="gopher://x:1"),
    refused(404, Cause.UNKNOWN, STRANGER, (9, 1), X_PeerURLs=MANY_URLS),
    refused_for("X-Server-Version", "2.3.8", 426, Cause.VERSION, TOO_LOW.format("2.3.8")),
    refused_for("X-Server-Version", "three", 426, Cause.VERSION, TOO_LOW.format("three")),
    refused_for(
        "X-Min-Cluster-Version",
        "3.9.0",
        426,
        Cause.VERSION,
        "local version is too low: remote[2]=3.4.23, local=3.4.23",
    ),
    refused_for(
        "X-Etcdpy-Protocols",
        "0, 3",
        505,
        Cause.PROTOCOL,
        "peer protocol version 2 is spoken here (got 0, 3)",
    ),
]


def test_a_guest_that_never_had_a_stream_is_forgotten() -> None:
    async def test() -> None:
        async with lone() as node:
            stranger = greeting(9, 1) | {"Content-Length": "0"}
            answer = await ask(node, "POST /raft/snapshot/etcdpy", stranger)
            assert answer.status == 400
            await until(lambda: node.transport.find_peer(9) is None, "it is forgotten")

    run(test)


@pytest.mark.parametrize(
    "line", ["GET /raft/stream/etcdpy/2", "POST /raft/snapshot/etcdpy"], ids=["stream", "snapshot"]
)
@pytest.mark.parametrize(("headers", "expected"), REFUSALS)
def test_who_is_none_of_ours_is_told_why(
    line: str,
    headers: dict[str, str],
    expected: Refusal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with lone() as node:
            for _ in range(3):
                answer = await ask(node, line, headers | {"Content-Length": "0"})
                assert (answer.status, answer.message) == (expected.status, expected.message)
                assert answer.headers["x-etcdpy-protocol"] == "2"
                assert answer.headers["x-etcd-cluster-id"] == "c1"
                assert answer.headers["content-type"] == "application/json"
            assert node.transport.counters.rejected == {expected.cause: 3}
            assert node.driver.messages == []

    run(test)
    assert logged(caplog, expected.message) == 1


def test_each_cause_is_logged_once_until_the_peer_was_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with lone() as node:
            path = "GET /raft/stream/etcdpy/2"
            for _ in range(2):
                await ask(node, path, greeting(2, 3))
                await ask(node, path, greeting(2, 1, **{"X-Etcd-Cluster-ID": "d"}))
            assert logged(caplog, "request member ID mismatch") == 1
            assert logged(caplog, "request cluster ID mismatch") == 1
            async with dial(node) as dialled:
                await dialled.open_stream(2, 1)
            await ask(node, path, greeting(2, 3))
            assert logged(caplog, "request member ID mismatch") == 2

    run(test)


def test_the_dialling_side_says_once_why_it_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with lone() as node:
            stranger = Node(2, cluster_id=0xABC)
            stranger.knows(node)
            await stranger.start()
            failed = stranger.transport.counters.failed
            await until(lambda: failed[Cause.CLUSTER_ID] >= 3, "refused again and again")
            await stranger.stop()

    run(test)
    assert logged(caplog, "request cluster ID mismatch (got abc want c1)") == 2  # one on each side


def test_a_removed_member_hears_of_it() -> None:
    async def test() -> None:
        async with lone() as node:
            removed = Node(0x66)
            removed.knows(node)
            await removed.start()
            await until(lambda: 1 in removed.removed_by, "heard")
            await removed.stop()

    run(test)


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        ("GET /health", 404, b"404 page not found\n"),
        ("GET /raft", 405, b"Method Not Allowed\n"),
        ("GET /raft/", 404, b"404 page not found\n"),
        ("GET /raft/snapshot", 405, b"Method Not Allowed\n"),
        ("POST /raft/stream/x", 405, b"Method Not Allowed\n"),
        ("OPTIONS /raft", 405, b"Method Not Allowed\n"),
        ("GET /raft/snapshot/x", 404, b"404 page not found\n"),
        ("POST /raft", 412, b"incompatible version\n"),
        ("POST /raft/snapshot", 412, b"incompatible version\n"),
        ("GET /raft/stream/x", 412, b"incompatible version\n"),
    ],
)
def test_the_port_answers_strangers_as_etcd_does(line: str, status: int, body: bytes) -> None:
    async def test() -> None:
        async with lone() as node:
            answer = await ask(node, line)
            assert (answer.status, answer.body) == (status, body)

    run(test)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_probing_is_answered(method: str) -> None:
    async def test() -> None:
        async with lone() as node:
            answer = await ask(node, f"{method} /raft/probing", {"Content-Length": "0"})
            assert answer.status == 200
            assert json.loads(answer.body)["OK"] is True
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"

    run(test)


def test_what_a_real_etcd_sends_is_refused_in_its_words(caplog: pytest.LogCaptureFixture) -> None:
    headers = {
        "X-Server-From": "2",
        "X-Server-Version": "3.4.23",
        "X-Min-Cluster-Version": "3.0.0",
        "X-Etcd-Cluster-ID": "c1",
        "X-Raft-To": "1",
    }

    async def test() -> None:
        async with lone() as node:
            for _ in range(3):
                answer = await ask(node, "GET /raft/stream/msgappv2/2", headers)
                assert (answer.status, answer.body) == (412, b"incompatible version\n")
                assert answer.headers["x-server-version"] == "3.4.23"
            other = headers | {"X-Etcd-Cluster-ID": "d"}
            answer = await ask(node, "GET /raft/stream/message/2", other)
            assert (answer.status, answer.body) == (412, b"cluster ID mismatch\n")
            assert answer.headers["x-etcd-cluster-id"] == "c1"
            # A removed one too: at 410 it would stop for good.
            answer = await ask(node, "GET /raft/stream/message/66", headers)
            assert answer.status == 412
            assert node.transport.counters.rejected == {Cause.REAL_ETCD: 5}

    run(test)
    assert logged(caplog, "request of a real etcd from 2 refused") == 1


# What a stream takes


def test_a_raw_peer_is_heard() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            dialled.send(heartbeat(2, 1, 1), append(2, 1))
            await until(lambda: len(node.driver.messages) == 2, "heard")
            dialled.writer.write(dialled.frame(PING, b"12345678"))
            assert await dialled.receive() == (PONG, b"12345678")

    run(test)


def test_frames_may_come_in_any_pieces() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            sent = [append(2, 1, 1, bytes(3000), 3), heartbeat(2, 1, 2), append(2, 1, 9)]
            data = b"".join(dialled.frame(MESSAGES, encode_messages([m])) for m in sent)
            for start in range(0, len(data), 611):
                dialled.writer.write(data[start : start + 611])
                await asyncio.sleep(0.001)
            await until(lambda: node.driver.messages == sent, "heard")

    run(test)


def packed(*fields: Any) -> bytes:
    data: bytes = msgpack.packb([fields])
    return data


BROKEN = [
    pytest.param(MESSAGES, os.urandom(64), id="random bytes"),
    pytest.param(MESSAGES, b"", id="nothing"),
    pytest.param(MESSAGES, msgpack.packb({"a": 1}), id="a map"),
    pytest.param(MESSAGES, packed(1, 2, 3), id="too few fields"),
    pytest.param(MESSAGES, packed(4, 1, 2, -1, 0, 0, 0, (), False, 0, 0, None), id="negative"),
    pytest.param(MESSAGES, encode_messages([heartbeat(3, 1)]), id="of another sender"),
    pytest.param(MESSAGES, encode_messages([heartbeat(2, 3)]), id="to another member"),
    pytest.param(
        MESSAGES,
        encode_messages([heartbeat(2, 1), heartbeat(3, 1)]),
        id="one of another sender among good ones",
    ),
    pytest.param(
        MESSAGES,
        encode_messages([Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=SNAPSHOT)]),
        id="a snapshot without bytes",
    ),
    pytest.param(PING, bytes(5000), id="a huge ping"),
    pytest.param(PONG, bytes(8), id="an answer"),
    pytest.param(77, b"", id="unknown kind"),
]


@pytest.mark.parametrize(("kind", "payload"), BROKEN)
def test_what_no_peer_sends_ends_the_stream_and_nothing_else(kind: int, payload: bytes) -> None:
    async def test() -> None:
        async with lone() as node:
            async with dial(node) as dialled:
                await dialled.open_stream(2, 1)
                dialled.writer.write(dialled.frame(kind, payload))
                answer, reason = await dialled.receive()
                assert answer == GOODBYE
                assert reason.startswith(b"protocol broken\n")
                await dialled.ends()
            assert node.transport.counters.rejected == {Cause.BROKEN: 1}
            assert node.driver.messages == []
            async with dial(node) as dialled:
                await dialled.open_stream(2, 1)
                dialled.send(heartbeat(2, 1, 1))
                await until(lambda: node.driver.contexts == [1], "the next stream is heard")

    run(test)


def test_a_flipped_bit_is_found() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            data = bytearray(dialled.frame(MESSAGES, encode_messages([append(2, 1)])))
            data[-1] ^= 1
            dialled.writer.write(bytes(data))
            assert (await dialled.receive())[0] == GOODBYE
            assert node.driver.messages == []

    run(test)


def test_a_replayed_frame_is_found() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            data = dialled.send(heartbeat(2, 1, 1))
            await until(lambda: node.driver.contexts == [1], "the first is heard")
            dialled.writer.write(data)
            assert (await dialled.receive())[0] == GOODBYE
            assert node.driver.contexts == [1]

    run(test)


def test_a_replayed_stream_is_found() -> None:
    async def test() -> None:
        async with lone() as node:
            async with dial(node) as dialled:
                await dialled.open_stream(2, 1)
                data = dialled.send(heartbeat(2, 1, 1))
                await until(lambda: node.driver.contexts == [1], "the first is heard")
            async with dial(node) as dialled:
                await dialled.open_stream(2, 1)
                dialled.writer.write(data)
                assert (await dialled.receive())[0] == GOODBYE
            assert node.driver.contexts == [1]

    run(test)


def test_a_huge_frame_is_refused_by_its_head() -> None:
    async def test() -> None:
        limits = {"batch_bytes_max": 1024, "frame_bytes_max": 1024}
        async with lone(**limits) as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            dialled.writer.write(FRAME.pack(1025, MESSAGES, 0))
            words = b"protocol broken\na frame of 1025 bytes, more than 1024"
            assert await dialled.receive() == (GOODBYE, words)

    run(test)


def test_a_truncated_frame_is_noticed_at_the_end() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            dialled.writer.write(dialled.frame(MESSAGES, encode_messages([append(2, 1)]))[:-1])
            dialled.writer.write_eof()
            await dialled.ends()
            await until(lambda: node.transport.counters.rejected[Cause.BROKEN] == 1, "counted")
            assert node.driver.messages == []

    run(test)


def test_broken_streams_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with lone() as node:
            for _ in range(4):
                async with dial(node) as dialled:
                    await dialled.open_stream(2, 1)
                    dialled.writer.write(dialled.frame(MESSAGES, b"\xc1"))
                    await dialled.ends()
            assert node.transport.counters.rejected[Cause.BROKEN] == 4

    run(test)
    assert logged(caplog, "lost the TCP streaming connection from peer 2") == 1


def test_a_half_open_stream_is_given_up() -> None:
    async def test() -> None:
        async with lone(silence_s=0.2) as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            await dialled.ends()
            assert node.transport.counters.rejected[Cause.SILENT] == 1
            assert node.lost == [2]

    run(test)


def test_who_pings_and_never_reads_is_cut() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            transport: Any = dialled.writer.transport
            transport.pause_reading()
            rejected = node.transport.counters.rejected
            for _ in range(10_000):
                dialled.writer.write(dialled.frame(PING, bytes(4096)))
                await asyncio.sleep(0)
                if rejected[Cause.BROKEN]:
                    break
            assert rejected[Cause.BROKEN] == 1

    run(test)


def test_what_is_on_its_way_on_the_stream_before_is_still_heard() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as first, dial(node) as second, dial(node) as third:
            await first.open_stream(2, 1)
            await second.open_stream(2, 1)
            second.send(heartbeat(2, 1, 1))
            await until(lambda: node.driver.contexts == [1], "the newer is heard")
            first.send(heartbeat(2, 1, 2))
            await until(lambda: node.driver.contexts == [1, 2], "the older is heard")
            await third.open_stream(2, 1)
            words = b"stopped\nthere are newer streams"
            assert await first.receive() == (GOODBYE, words)
            second.send(heartbeat(2, 1, 3))
            await until(lambda: node.driver.contexts == [1, 2, 3], "but of two only the last two")
            assert node.lost == []

    run(test)


def test_the_end_of_an_older_stream_is_no_loss() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as older, dial(node) as newer:
            await older.open_stream(2, 1)
            await newer.open_stream(2, 1)
            newer.send(heartbeat(2, 1, 1))
            await until(lambda: node.driver.contexts == [1], "heard")
            older.writer.write_eof()
            await older.ends()
            assert node.lost == []
            assert node.transport.is_active(2)
            newer.writer.write_eof()
            await newer.ends()
            await until(lambda: node.lost == [2], "lost")

    run(test)


def test_nothing_is_said_before_the_dialler_has_spoken() -> None:
    async def test() -> None:
        async with (
            lone(backoff_min_s=60.0, backoff_max_s=60.0) as node,
            dial(node) as dialled,
        ):
            await dialled.open_stream(2, 1)
            await until(lambda: peer_of(node).counters.dials_failed == 2, "not found, then heard")
            node.send(heartbeat(1, 2, 1))
            assert peer_of(node).counters.dropped_messages == 1
            dialled.writer.write(dialled.frame(PING, b"12345678"))
            assert await dialled.receive() == (PONG, b"12345678")
            node.send(heartbeat(1, 2, 2))
            said = encode_messages([heartbeat(1, 2, 2)])
            assert await dialled.receive() == (MESSAGES, said)

    run(test)


def test_an_older_release_is_only_answered_on_the_stream_that_it_dialled() -> None:
    async def test() -> None:
        async with (
            lone(backoff_min_s=60.0, backoff_max_s=60.0) as node,
            dial(node) as dialled,
        ):
            await dialled.open_stream(2, 1, protocol=1)
            dialled.send(heartbeat(2, 1, 1))
            await until(lambda: node.driver.contexts == [1], "heard")
            await until(lambda: peer_of(node).counters.dials_failed == 2, "not found, then heard")
            node.send(heartbeat(1, 2, 2))
            assert peer_of(node).counters.dropped_messages == 1
            assert not node.transport.is_active(2)
            dialled.writer.write(dialled.frame(PING, b"12345678"))
            assert await dialled.receive() == (PONG, b"12345678")

    run(test)


def test_a_dialler_that_does_not_read_holds_no_more_than_the_bounds_then_is_cut() -> None:
    async def test() -> None:
        limits = {"write_bytes_max": 64 << 10, "queue_bytes_max": 256 << 10, "silence_s": 0.5}
        async with lone(**limits) as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            dialled.send(heartbeat(2, 1, 1))
            await until(lambda: node.driver.contexts == [1], "heard")
            transport: Any = dialled.writer.transport
            transport.pause_reading()
            # The system's buffers take some; then ours fill, then the rest is dropped.
            peer = peer_of(node)
            for i in range(400):
                node.send(append(1, 2, i + 1, bytes(60_000)))
                await asyncio.sleep(0)
            assert peer.counters.dropped_messages > 200
            assert 0 < peer.queued_count <= 5
            assert 2 in node.driver.unreachable
            await until(lambda: node.transport.counters.rejected[Cause.SILENT], "cut")

    run(test)


def test_stop_ends_accepted_streams() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            await dialled.open_stream(2, 1)
            await node.stop()
            assert await dialled.receive() == (GOODBYE, b"stopped\nthe peer stops")
            await dialled.ends()

    run(test)


def test_a_request_that_comes_while_stopping_is_refused() -> None:
    async def test() -> None:
        async with lone() as node:
            await node.transport.stop()
            answer = await ask(node, "GET /raft/stream/etcdpy/2", greeting(2, 1))
            assert (answer.status, answer.message) == (503, "this member stops")

    run(test)


def test_members_with_other_ids_at_an_address_are_not_mixed_up() -> None:
    """A URL that has come to belong to another member gives its messages to nobody."""

    async def test() -> None:
        async with cluster(1, 2, 3) as (one, two, three):
            one.transport.add_peer(2, [three.url])
            failed = one.transport.counters.failed
            await until(lambda: failed[Cause.MEMBER_ID], "refused")
            one.send(heartbeat(1, 2, 1))
            one.transport.add_peer(2, [two.url])
            await until(lambda: one.has(two), "connected again")
            assert three.driver.messages == []

    run(test)
