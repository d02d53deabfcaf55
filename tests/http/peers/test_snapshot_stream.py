"""A snapshot arrives whole or not at all, and its fate is reported."""

import asyncio
import struct
from typing import Any
from zlib import crc32

import msgpack
import pytest

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import Message, MessageKind, SnapshotRequest
from etcdpy.errors import FatalError
from etcdpy.http.peers.protocol import Cause
from etcdpy.http.peers.snapshot_stream import Pace
from tests.http.peering import (
    SNAPSHOT,
    Node,
    Place,
    Rows,
    cluster,
    faster,
    greeting,
    heartbeat,
    logged,
    raw_server,
    run,
    until,
)
from tests.http.peers.test_port import Answer, Dialled, dial, lone

HEAD, ROWS, FOOT = 1, 2, 3
MESSAGE = Message(MessageKind.SNAPSHOT, 2, 1, 3, snapshot=SNAPSHOT)
REQUEST = SnapshotRequest(2, MESSAGE)


# Between two members


def test_a_snapshot_arrives_before_its_message() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports, "reported")
            assert one.driver.reports == [(2, True)]
            assert two.driver.messages == [MESSAGE]
            (received,) = two.disk.received
            assert received.meta == SNAPSHOT
            assert received.rows == one.disk.rows
            assert received.state == "finished"
            assert one.disk.open_readers == 0

    run(test)


def test_an_empty_one_and_one_of_many_blocks_arrive_too() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            for rows in ([], [Rows(9, bytes([i % 256]) * 70_000) for i in range(100)]):
                one.disk.rows = rows
                one.driver.reports.clear()
                one.transport.send_snapshot(REQUEST)
                await until(lambda: one.driver.reports, "reported")
                assert one.driver.reports == [(2, True)]
                assert two.disk.received[-1].rows == rows

    run(test)


def test_messages_overtake_a_snapshot() -> None:
    """A transfer takes minutes; heartbeats must not wait for it."""

    async def test() -> None:
        async with cluster(1, 2, limits=faster(snapshot_bytes_s=1 << 20)) as (one, two):
            one.disk.rows = [Rows(9, bytes(100_000)) for _ in range(100)]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: two.disk.received and two.disk.received[0].rows, "begun")
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "overtaken")
            assert one.driver.reports == []

    run(test)


def test_the_rate_is_held() -> None:
    async def test() -> None:
        async with cluster(1, 2, limits=faster(snapshot_bytes_s=1_000_000)) as (one, two):
            one.disk.rows = [Rows(9, bytes(50_000)) for _ in range(10)]
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, True)], "reported")
            assert loop.time() - started_s >= 0.3
            assert len(two.disk.received[0].rows) == 10

    run(test)


def test_pace_saves_up_no_more_than_a_tenth_of_a_second() -> None:
    pace = Pace(1000)
    assert pace.delay_s(100, 50.0) == 0
    assert pace.delay_s(100, 50.0) == 0
    assert pace.delay_s(100, 50.0) == pytest.approx(0.1)
    assert pace.delay_s(0, 90.0) == 0


def test_a_damaged_file_is_a_failure_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.disk.damaged_at = 1
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, False)], "reported")
            await until(lambda: two.disk.received[0].state == "aborted", "given up")
            assert two.driver.messages == []
            assert one.disk.open_readers == 0

    run(test)
    assert logged(caplog, "damaged block") == 1


def test_another_snapshot_than_the_one_asked_for_is_not_sent() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.disk.meta = SNAPSHOT._replace(index=8)
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, False)], "reported")
            assert two.disk.received == []
            assert one.disk.open_readers == 0

    run(test)


def test_rows_that_the_disk_finds_wrong_are_refused() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.disk.rows = [Rows(3, b"x")]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, False)], "reported")
            assert two.disk.received[0].state == "aborted"
            assert two.driver.messages == []
            peer = two.transport.find_peer(1)
            assert peer is not None
            assert peer.counters.snapshots_refused == 1

    run(test)


def test_a_disk_that_refuses_ends_the_receiver() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            two.disk.refusal = FatalError("disk full")
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, False)], "reported")
            assert two.fatal == [two.disk.refusal]
            assert two.driver.messages == []

    run(test)


def test_nobody_takes_two_at_a_time() -> None:
    async def test() -> None:
        limits = faster(snapshot_bytes_s=200_000)
        async with cluster(1, 2, 3, limits=limits) as (one, two, three):
            for sender in (one, three):
                sender.disk.rows = [Rows(9, bytes(20_000)) for _ in range(100)]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: two.disk.received and two.disk.received[0].rows, "begun")
            message = MESSAGE._replace(sender=3)
            three.transport.send_snapshot(SnapshotRequest(2, message))
            await until(lambda: three.driver.reports == [(2, False)], "refused")
            assert two.transport.counters.rejected == {Cause.BUSY: 1}
            assert one.driver.reports == []

    run(test)


def test_a_new_request_ends_the_transfer_going_on() -> None:
    async def test() -> None:
        async with cluster(1, 2, limits=faster(snapshot_bytes_s=200_000)) as (one, two):
            one.disk.rows = [Rows(9, bytes(20_000)) for _ in range(100)]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: two.disk.received and two.disk.received[0].rows, "begun")
            one.disk.rows = [Rows(1, b"z")]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: two.disk.received[0].state == "aborted", "given up")

            def has_arrived() -> bool:
                if one.driver.reports == [(2, False)]:  # the receiver was not done with the first
                    one.driver.reports.clear()
                    one.transport.send_snapshot(REQUEST)
                return one.driver.reports == [(2, True)]

            await until(has_arrived, "the newer one has arrived")
            assert one.disk.open_readers == 0

    run(test)


@pytest.mark.parametrize("who", ["sender", "receiver", "peer"])
def test_a_transfer_ends_with_its_member(who: str) -> None:
    async def test() -> None:
        async with cluster(1, 2, limits=faster(snapshot_bytes_s=200_000)) as (one, two):
            one.disk.rows = [Rows(9, bytes(20_000)) for _ in range(100)]
            one.transport.send_snapshot(REQUEST)
            await until(lambda: two.disk.received and two.disk.received[0].rows, "begun")
            if who == "sender":
                await one.stop()
            elif who == "receiver":
                await two.stop()
                await until(lambda: one.driver.reports == [(2, False)], "reported")
            else:
                one.transport.remove_peer(2)
            await until(lambda: two.disk.received[0].state == "aborted", "given up")
            await until(lambda: one.disk.open_readers == 0, "closed")
            assert two.driver.messages == []

    run(test)


def test_only_so_many_are_sent_at_a_time() -> None:
    async def test() -> None:
        limits = faster(snapshot_bytes_s=400_000, snapshots_max=1)
        async with cluster(1, 2, 3, limits=limits) as (one, _, three):
            one.disk.rows = [Rows(9, bytes(20_000)) for _ in range(10)]
            one.transport.send_snapshot(REQUEST)
            message = MESSAGE._replace(to=3)
            one.transport.send_snapshot(SnapshotRequest(3, message))
            await until(lambda: one.driver.reports, "the first has ended")
            assert one.driver.reports == [(2, True)]
            await until(lambda: one.driver.reports == [(2, True), (3, True)], "both")
            assert three.driver.messages == [message]

    run(test)


def test_to_nobody_is_a_failure() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, _):
            one.transport.send_snapshot(SnapshotRequest(9, MESSAGE._replace(to=9)))
            assert one.driver.reports == [(9, False)]

    run(test)


def test_a_receiver_that_takes_nothing_is_given_up() -> None:
    async def take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport: Any = writer.transport
        transport.pause_reading()
        await asyncio.sleep(30)

    async def test() -> None:
        one = Node(1, faster(snapshot_stall_s=0.3, dial_s=0.2))
        one.disk.rows = [Rows(9, bytes(1_000_000)) for _ in range(50)]
        async with raw_server(take_nothing) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            one.transport.send_snapshot(REQUEST)
            await until(lambda: one.driver.reports == [(2, False)], "given up")
            await until(lambda: one.disk.open_readers == 0, "closed")
            await one.stop()

    run(test)


# What is no snapshot


class Body:
    """A body made by hand; `chain` goes on over its blocks."""

    def __init__(self) -> None:
        self.data = b""
        self._chain = 0

    def block(self, kind: int, count: int, data: bytes) -> "Body":
        covered = struct.pack("<III", kind, count, len(data))
        self._chain = crc32(data, crc32(covered, self._chain))
        self.data += covered + struct.pack("<I", self._chain) + data
        return self

    def head(self, **changes: Any) -> "Body":
        message = MESSAGE._replace(to=1, sender=2)._replace(**changes)
        return self.block(HEAD, 0, encode_messages([message]))

    def foot(self, *totals: int) -> "Body":
        return self.block(FOOT, 0, msgpack.packb(list(totals)))

    def plus(self, data: bytes) -> "Body":
        self.data += data
        return self


def flipped(body: Body) -> Body:
    body.data = body.data[:-1] + bytes([body.data[-1] ^ 1])
    return body


def send(dialled: Dialled, body: bytes, sender: int = 2, missing: int = 0) -> None:
    headers = greeting(sender, 1) | {"Content-Length": str(len(body) + missing)}
    dialled.request("POST /raft/snapshot/etcdpy", headers)
    dialled.writer.write(body)


async def post(node: Node, body: bytes, sender: int = 2, missing: int = 0) -> Answer:
    async with dial(node) as dialled:
        send(dialled, body, sender, missing)
        return await dialled.answer()


async def begin(node: Node, dialled: Dialled, body: bytes, missing: int) -> None:
    """Send all but the end of a request, and return when some of it is on the disk."""
    send(dialled, body[:-missing], missing=missing)
    await until(lambda: node.disk.received and node.disk.received[0].rows, "begun")


def good() -> Body:
    return Body().head().block(ROWS, 2, b"ab").foot(2, 1, 2)


def test_a_body_made_by_hand_is_taken() -> None:
    async def test() -> None:
        async with lone() as node:
            answer = await post(node, good().data)
            assert answer.status == 204
            assert node.disk.received[0].rows == [Rows(2, b"ab")]
            assert node.driver.messages == [MESSAGE._replace(to=1, sender=2)]

    run(test)


BAD = [
    pytest.param(Body(), "ends before it is whole", id="empty"),
    pytest.param(Body().plus(b"\xff" * 100), "out of place", id="garbage"),
    pytest.param(Body().block(ROWS, 1, b"a").foot(1, 1, 1), "out of place", id="no head"),
    pytest.param(Body().head(sender=3).foot(0, 0, 0), "other members", id="of another sender"),
    pytest.param(Body().head(to=3).foot(0, 0, 0), "other members", id="to another member"),
    pytest.param(
        Body().block(HEAD, 0, encode_messages([heartbeat(2, 1)])).foot(0, 0, 0),
        "does not begin with its message",
        id="another message",
    ),
    pytest.param(Body().block(HEAD, 0, b"\xc1"), "not msgpack", id="no message"),
    pytest.param(Body().head().block(ROWS, 2, b"ab"), "ends before it is whole", id="no foot"),
    pytest.param(
        flipped(Body().head().block(ROWS, 2, b"ab")).foot(2, 1, 2), "checksum", id="flipped bit"
    ),
    pytest.param(
        Body().head().block(ROWS, 2, b"ab").foot(3, 1, 2), "does not count", id="wrong foot"
    ),
    pytest.param(Body().head().head(), "out of place", id="two heads"),
    pytest.param(good().plus(b"x"), "follows", id="something after the foot"),
    pytest.param(
        Body().head().plus(struct.pack("<IIII", ROWS, 1, 2**31, 0)), "bytes, more than", id="huge"
    ),
    pytest.param(
        Body().plus(struct.pack("<IIII", HEAD, 0, 2**20, 0)), "bytes, more than", id="huge head"
    ),
]


def test_rows_that_are_no_tree_are_refused_and_removed() -> None:
    body = Body().head().block(ROWS, 1, b"no tree").foot(1, 1, 7)

    async def test() -> None:
        async with lone() as node:
            answer = await post(node, body.data)
            assert (answer.status, answer.message) == (400, "damaged at row 1")
            assert [received.state for received in node.disk.received] == ["aborted"]
            assert (node.driver.messages, node.fatal) == ([], [])
            assert node.transport.counters.rejected == {Cause.BROKEN: 1}
            assert (await post(node, good().data)).status == 204

    run(test)


def test_a_snapshot_for_which_there_is_no_room_is_refused() -> None:
    async def test() -> None:
        async with lone() as node:
            answer = await post(node, Body().head().block(ROWS, 1, b"too large").data)
            assert (answer.status, answer.message) == (507, "no room")
            assert node.disk.received[0].state == "aborted"
            assert node.transport.counters.rejected == {Cause.NO_ROOM: 1}

    run(test)


@pytest.mark.parametrize(
    ("sender", "place", "status", "message"),
    [
        (2, Place(4), 409, "a snapshot of the leader of term 3, this is 4"),
        (9, Place(3, leader_id=2), 400, "9 claims to lead term 3, as 2 does"),
    ],
)
def test_nothing_of_it_is_taken_from_who_does_not_lead(
    sender: int, place: Place, status: int, message: str
) -> None:
    async def test() -> None:
        async with lone() as node:
            node.driver.status = place
            head = Body().head(sender=sender).data
            answer = await post(node, head, sender, missing=10**9)  # and never sent
            assert (answer.status, answer.message) == (status, message)
            assert node.disk.received == []

    run(test)


def test_who_leads_no_more_when_it_has_come_is_refused() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            body = good().data
            await begin(node, dialled, body, missing=1)
            node.driver.status.term = 4
            dialled.writer.write(body[-1:])
            answer = await dialled.answer()
            assert (answer.status, node.driver.messages) == (409, [])

    run(test)


@pytest.mark.parametrize(("body", "complaint"), BAD)
def test_what_is_no_snapshot_leaves_nothing(body: Body, complaint: str) -> None:
    async def test() -> None:
        async with lone() as node:
            answer = await post(node, body.data)
            assert answer.status == 400
            assert complaint in answer.message
            assert all(received.state == "aborted" for received in node.disk.received)
            assert node.driver.messages == []
            answer = await post(node, good().data)
            assert answer.status == 204

    run(test)


def test_a_cut_request_leaves_nothing() -> None:
    async def test() -> None:
        async with lone() as node, dial(node) as dialled:
            data = good().data
            await begin(node, dialled, data, missing=3)
            dialled.writer.write_eof()
            answer = await dialled.answer()
            assert answer.status == 400
            assert answer.message == "the snapshot's request breaks off: unexpected EOF"
            assert [received.state for received in node.disk.received] == ["aborted"]

    run(test)


def test_a_sender_that_stands_still_is_given_up() -> None:
    async def test() -> None:
        async with lone(snapshot_stall_s=0.2) as node, dial(node) as dialled:
            headers = greeting(2, 1) | {"Content-Length": "100000"}
            dialled.request("POST /raft/snapshot/etcdpy", headers)
            dialled.writer.write(Body().head().data)
            answer = await dialled.answer()
            assert (answer.status, answer.message) == (
                400,
                "nothing of the snapshot came for 0.2 s",
            )
            assert [received.state for received in node.disk.received] == ["aborted"]

    run(test)
