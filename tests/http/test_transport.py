"""What the other members get of what one sends, and what its driver is told."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

from etcdpy.consensus.messages import Message, MessageKind, SnapshotRequest
from etcdpy.http.peer_protocol import Cause
from tests.http.peering import (
    DEADLINE_S,
    LIMITS,
    SNAPSHOT,
    Node,
    append,
    closed_port_url,
    cluster,
    faster,
    heartbeat,
    raw_server,
    run,
    stop_all,
    until,
)


def logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    """Return how many lines have `words`."""
    return sum(words in record.getMessage() for record in caplog.records)


def test_every_kind_of_message_arrives_as_it_was_sent() -> None:
    sent = [
        append(1, 2, count=3),
        heartbeat(1, 2, 5),
        Message(MessageKind.VOTE, 2, 1, 4, 9, 3, hint=1),
        Message(MessageKind.APPEND_RESPONSE, 2, 1, 4, 9, is_rejected=True, hint=2**64 - 1),
        Message(MessageKind.REMOVED, 2, 1),
    ]

    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(*sent)
            await until(lambda: len(two.driver.messages) == len(sent), "all arrived")
            assert two.driver.messages == sent

    run(test)


def test_messages_go_to_whom_they_are_for_and_in_order() -> None:
    async def test() -> None:
        async with cluster(1, 2, 3) as (one, two, three):
            for i in range(0, 300, 3):
                one.send(heartbeat(1, 2, i), heartbeat(1, 3, i + 1), heartbeat(1, 2, i + 2))
                await asyncio.sleep(0)
            await until(lambda: len(three.driver.messages) == 100, "all arrived at 3")
            await until(lambda: len(two.driver.messages) == 200, "all arrived at 2")
            assert two.driver.contexts == [i for i in range(300) if i % 3 != 1]
            assert three.driver.contexts == list(range(1, 300, 3))

    run(test)


def test_a_batch_is_one_frame() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(*(heartbeat(1, 2, i) for i in range(50)))
            await until(lambda: len(two.driver.messages) == 50, "all arrived")
            sent, received = one.transport.find_peer(2), two.transport.find_peer(1)
            assert sent is not None
            assert received is not None
            assert (sent.counters.sent_frames, sent.counters.sent_messages) == (1, 50)
            assert received.counters.received_frames == 1
            assert received.counters.received_bytes == sent.counters.sent_bytes

    run(test)


def test_a_batch_too_large_for_one_frame_is_split() -> None:
    async def test() -> None:
        limits = faster(batch_bytes_max=64 << 10, frame_bytes_max=128 << 10)
        async with cluster(1, 2, limits=limits) as (one, two):
            one.send(*(append(1, 2, i, bytes(50_000)) for i in range(1, 8)))
            await until(lambda: len(two.driver.messages) == 7, "all arrived")
            assert [m.index for m in two.driver.messages] == list(range(7))

    run(test)


def test_what_comes_before_the_first_connection_waits_for_it() -> None:
    async def test() -> None:
        async with cluster(1, 2, is_joined=False) as (one, two):
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "arrived")
            assert one.driver.unreachable == []

    run(test)


def test_messages_to_nobody_are_dropped_in_silence() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(heartbeat(1, 9))
            one.send(heartbeat(1, 9), heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "arrived")
            assert one.driver.unreachable == []

    run(test)


# Peers that are not there


def test_a_dead_peer_is_reported_and_costs_the_others_nothing() -> None:
    async def test() -> None:
        one, two = Node(1), Node(2)
        try:
            one.transport.add_peer(9, [closed_port_url()])
            one.knows(two)
            two.knows(one)
            await one.start()
            await two.start()
            await until(lambda: one.has(two), "connected")
            for i in range(100):
                one.send(heartbeat(1, 9, i), heartbeat(1, 2, i))
            await until(lambda: len(two.driver.contexts) == 100, "arrived")
            await until(lambda: 9 in one.driver.unreachable, "reported")
            dead = one.transport.find_peer(9)
            assert dead is not None
            await until(lambda: dead.queued_count == 0, "nothing waits for it")
            assert 2 not in one.driver.unreachable
        finally:
            await stop_all([one, two])

    run(test)


def test_dialling_goes_on_slower_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        one = Node(1, faster(backoff_min_s=0.01, backoff_max_s=0.02))
        one.transport.add_peer(2, [closed_port_url()])
        try:
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.dials_failed >= 8, "dialled again and again")
        finally:
            await one.stop()
        assert one.transport.counters.failed[Cause.UNREACHABLE] == peer.counters.dials_failed

    run(test)
    assert logged(caplog, "peer 2 at http") == 1


def test_a_peer_that_comes_back_is_connected_again_at_once() -> None:
    """It dials us, and that is when we dial it, however long we had backed off."""

    async def test() -> None:
        one = Node(1, faster(backoff_min_s=60, backoff_max_s=60))
        two = Node(2)
        one.knows(two)
        two.knows(one)
        try:
            two.socket.close()
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.dials_failed == 1, "found nobody")
            again = Node(2)
            again.knows(one)
            one.transport.update_peer(2, [again.url])
            await again.start()
            two = again
            await until(lambda: one.has(again), "connected")
        finally:
            await stop_all([one, two])

    run(test)


def test_urls_are_tried_in_turn() -> None:
    async def test() -> None:
        one, two = Node(1), Node(2)
        one.transport.add_peer(2, [closed_port_url(), closed_port_url(), two.url])
        two.knows(one)
        try:
            await one.start()
            await two.start()
            await until(lambda: one.has(two), "connected")
        finally:
            await stop_all([one, two])

    run(test)


def test_a_peer_that_moves_is_dialled_at_its_new_address() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            moved = Node(2)
            moved.knows(one)
            await moved.start()
            try:
                one.transport.update_peer(2, [moved.url])
                await until(lambda: one.has(moved) and moved.has(one), "connected there")
                one.send(heartbeat(1, 2, 1))
                await until(lambda: moved.driver.contexts == [1], "it is heard there")
                assert two.driver.contexts == []
            finally:
                await stop_all([two, moved])

    run(test)


def test_an_update_to_the_same_address_keeps_the_stream() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.transport.update_peer(2, [closed_port_url(), two.url])
            one.transport.add_peer(2, [two.url, closed_port_url()])
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "arrived")
            peer = one.transport.find_peer(2)
            assert peer is not None
            assert peer.counters.streams_opened == 1

    run(test)


# Losing and regaining


def test_a_stopped_peer_is_missed_at_once_and_told_of() -> None:
    async def test() -> None:
        async with cluster(1, 2, 3) as (one, two, three):
            await two.stop()
            await until(lambda: one.lost == [2] and three.lost == [2], "missed")
            assert not one.has(two)
            assert one.has(three)
            await until(lambda: 2 in one.driver.unreachable, "Raft knows")
            assert two.lost == []

    run(test)


def test_active_means_both_ways_and_since_when() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            first_s = one.transport.active_for_s(2)
            assert first_s is not None
            assert 0 <= first_s < DEADLINE_S
            peer = one.transport.find_peer(2)
            assert peer is not None
            assert peer.round_trip_s > 0
            assert peer.incoming is not None
            peer.incoming.abort()
            await until(lambda: peer.counters.disconnected == 1, "seen")
            await until(lambda: one.has(two), "connected again")
            assert one.transport.active_for_s(9) is None

    run(test)


def test_a_peer_that_does_not_dial_back_is_not_active() -> None:
    async def test() -> None:
        one, two = Node(1), Node(2)
        one.knows(two)
        two.transport.add_peer(1, [closed_port_url()])
        try:
            await one.start()
            await two.start()
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "one way works")
            assert not one.has(two)
            assert not two.has(one)
        finally:
            await stop_all([one, two])

    run(test)


def test_a_cut_stream_is_dialled_again_and_what_was_lost_is_reported() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            peer = two.transport.find_peer(1)
            assert peer is not None
            assert peer.incoming is not None
            peer.incoming.abort()
            await until(lambda: 2 in one.driver.unreachable, "reported")
            await until(lambda: one.has(two), "connected again")
            one.send(heartbeat(1, 2, 7))
            await until(lambda: two.driver.contexts == [7], "arrived")
            assert two.lost == [1]

    run(test)


# Slow and silent peers


async def accept_and_hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a stream as a member does, then read nothing."""
    transport: Any = writer.transport
    transport.pause_reading()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
        b"X-Etcdpy-Protocol: 1\r\nX-Etcdpy-Stream: 1\r\nX-Server-Version: 3.4.23\r\n\r\n"
    )
    await asyncio.sleep(DEADLINE_S)


def test_a_peer_that_reads_nothing_holds_no_more_than_the_bounds_then_is_cut() -> None:
    async def test() -> None:
        limits = faster(write_bytes_max=64 << 10, queue_bytes_max=256 << 10, silence_s=1.0)
        one = Node(1, limits)
        async with raw_server(accept_and_hold) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.streams_opened == 1, "connected")
            # The system's buffers take some; then ours fill, then the rest is dropped.
            for i in range(400):
                one.send(append(1, 2, i + 1, bytes(60_000)))
                await asyncio.sleep(0)
            assert peer.counters.dropped_messages > 300
            assert 0 < peer.queued_count <= 5
            assert 2 in one.driver.unreachable
            await until(lambda: one.transport.counters.failed[Cause.SILENT], "cut")
            await one.stop()

    run(test)


def test_the_queue_is_bounded_in_count() -> None:
    async def test() -> None:
        one = Node(1, faster(queue_count_max=10))
        one.transport.add_peer(2, [closed_port_url()])
        for i in range(12):
            one.send(heartbeat(1, 2, i))
        peer = one.transport.find_peer(2)
        assert peer is not None
        assert peer.queued_count == 10
        assert peer.counters.dropped_messages == 2
        await one.start()
        await one.stop()

    run(test)


def test_what_waited_for_a_slow_peer_arrives_in_order_when_it_reads_again() -> None:
    async def test() -> None:
        limits = faster(write_bytes_max=64 << 10, queue_bytes_max=64 << 20)
        async with cluster(1, 2, limits=limits) as (one, two):
            peer = two.transport.find_peer(1)
            sending = one.transport.find_peer(2)
            assert peer is not None
            assert sending is not None
            assert peer.incoming is not None
            socket_transport: Any = peer.incoming._transport
            socket_transport.pause_reading()
            count = 0
            while sending.queued_count < 20:
                count += 1
                one.send(append(1, 2, count, bytes(100_000)))
                await asyncio.sleep(0)
            socket_transport.resume_reading()
            await until(lambda: len(two.driver.messages) == count, "all arrived")
            assert [m.index for m in two.driver.messages] == list(range(count))
            assert sending.counters.dropped_messages == 0

    run(test)


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await reader.read()


def test_a_server_that_never_answers_is_given_up() -> None:
    async def test() -> None:
        one = Node(1, faster(dial_s=0.1))
        async with raw_server(never_answer) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: one.transport.counters.failed[Cause.SILENT] >= 2, "given up")
            await one.stop()

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
        b"X-Etcdpy-Protocol: 2\r\nX-Etcdpy-Stream: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
        b"X-Etcdpy-Protocol: 1\r\nX-Etcdpy-Stream: zz\r\n\r\n",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
        b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 412 Precondition Failed\r\nX-Etcdpy-Protocol: 1\r\nContent-Length: 2\r\n\r\n[[",
        b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_strange_answers_are_failures_like_others(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def test() -> None:
        one = Node(1)
        async with raw_server(serve) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.dials_failed >= 2, "failed")
            assert peer.counters.streams_opened == 0
            assert one.removed_by == []  # a 410 counts only from a member of ours
            await one.stop()

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        struct.pack("<III", 8, 3, 0) + bytes(8),  # a pong with a bad checksum
        struct.pack("<III", 5000, 4, 0),  # longer than an answer is
        struct.pack("<III", 8, 1, 0) + bytes(8),  # messages do not come this way
    ],
)
def test_garbage_from_the_accepting_side_ends_the_stream(garbage: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: etcdpy-peer\r\n"
            b"X-Etcdpy-Protocol: 1\r\nX-Etcdpy-Stream: 1\r\n\r\n"
        )
        await reader.readexactly(12)  # of the first ping
        writer.write(garbage)
        await reader.read()
        writer.close()

    async def test() -> None:
        one = Node(1)
        async with raw_server(serve) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: one.transport.counters.failed[Cause.BROKEN], "ended")
            await one.stop()

    run(test)


# Changes at run time


def test_a_removed_peer_is_told_and_refused() -> None:
    async def test() -> None:
        async with cluster(1, 2, 3) as (one, two, three):
            one.removed.add(2)
            one.transport.remove_peer(2)
            await until(lambda: one.transport.find_peer(2) is None and 1 in two.removed_by, "told")
            await until(lambda: one.transport.counters.rejected[Cause.REMOVED], "refused again")
            assert one.has(three)
            assert one.lost == []
            one.transport.remove_peer(2)

    run(test)


def test_what_was_sent_before_a_removal_still_arrives() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(append(1, 2, 1, bytes(500_000)), heartbeat(1, 2, 1))
            one.transport.remove_peer(2)
            await until(lambda: two.driver.contexts == [1], "arrived")

    run(test)


def test_a_member_not_known_here_yet_is_heard_and_answered() -> None:
    """Who lags behind the change that added a leader learns of it only from that leader."""

    async def test() -> None:
        one, two = Node(1), Node(2)
        one.knows(two)
        try:
            await one.start()
            await two.start()
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "heard")
            two.send(heartbeat(2, 1, 2))
            await until(lambda: one.driver.contexts == [2], "answered")
            guest = two.transport.find_peer(1)
            assert guest is not None
            assert guest.is_guest
            two.knows(one)
            assert two.transport.find_peer(1) is guest
            assert not guest.is_guest
        finally:
            await stop_all([one, two])

    run(test)


def test_guests_are_few_and_leave_nothing_behind() -> None:
    async def test() -> None:
        host = Node(1, faster(guests_max=1))
        guests = [Node(2), Node(3)]
        try:
            await host.start()
            for guest in guests:
                guest.knows(host)
                await guest.start()
            refused = host.transport.counters.rejected
            await until(lambda: refused[Cause.UNKNOWN], "one is too many")
            assert len(host.transport.peers) == 1
            await stop_all(guests)
            await until(lambda: host.transport.peers == [], "both have left")
        finally:
            await stop_all([host, *guests])

    run(test)


# What statistics are made of


def test_appends_are_counted_and_their_answers_timed() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(append(1, 2, 1, count=2))
            one.send(append(1, 2, 3), heartbeat(1, 2))
            await until(lambda: len(two.driver.messages) == 3, "arrived")
            two.send(Message(MessageKind.APPEND_RESPONSE, 1, 2, 3, 3))
            await until(lambda: one.driver.messages, "answered")
            follower = one.transport.find_peer(2)
            assert follower is not None
            shown = follower.latency.render()
            assert shown["counts"] == {"fail": 0, "success": 2}
            assert 0 < shown["latency"]["minimum"] <= shown["latency"]["maximum"] < 10_000
            assert one.transport.appends.sent_count == 2
            assert two.transport.appends.received_count == 2

    run(test)


def test_appends_that_could_not_be_sent_are_failures() -> None:
    async def test() -> None:
        one = Node(1)
        one.transport.add_peer(2, [closed_port_url()])
        await one.start()
        peer = one.transport.find_peer(2)
        assert peer is not None
        one.send(append(1, 2))
        await until(lambda: peer.latency.failed_count == 1, "counted")
        await one.stop()

    run(test)


# Life


def test_stop_lets_what_was_written_leave() -> None:
    """The last message of a leader that hands over is the one that matters."""

    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.send(append(1, 2, 1, bytes(300_000)), Message(MessageKind.TIMEOUT_NOW, 2, 1, 3))
            await one.stop()
            await until(lambda: len(two.driver.messages) == 2, "arrived")

    run(test)


def test_stop_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    async def test() -> None:
        one = Node(1, faster(goodbye_s=0.1))
        async with raw_server(accept_and_hold) as url:
            one.transport.add_peer(2, [url])
            await one.start()
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.streams_opened, "connected")
            for i in range(20):
                one.send(append(1, 2, i + 1, bytes(1_000_000)))
            async with asyncio.timeout(5):
                await one.stop()

    run(test)


def test_nothing_is_sent_or_taken_after_stop() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, _):
            await one.transport.stop()
            one.send(heartbeat(1, 2, 1))
            one.transport.send_snapshot(
                SnapshotRequest(2, Message(MessageKind.SNAPSHOT, 2, 1, 3, snapshot=SNAPSHOT))
            )
            assert one.driver.reports == [(2, False)]
            assert one.driver.messages == []

    run(test)


def test_a_message_too_large_for_any_frame_is_dropped_and_reported() -> None:
    async def test() -> None:
        limits = faster(batch_bytes_max=1 << 10, frame_bytes_max=64 << 10)
        async with cluster(1, 2, limits=limits) as (one, two):
            one.send(append(1, 2, 1, bytes(100_000)))
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "the next arrives")
            assert one.driver.unreachable == [2]
            assert len(two.driver.messages) == 1

    run(test)


def test_delays_are_between_half_and_all_of_the_backoff() -> None:
    """Two members that start together must not go on colliding."""

    class Draws:
        def __init__(self, values: Sequence[int]) -> None:
            self.values = list(values)

        def randrange(self, stop: int) -> int:
            return min(stop - 1, self.values.pop(0) if self.values else 0)

    async def test() -> None:
        loop = asyncio.get_running_loop()
        times: list[float] = []

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            times.append(loop.time())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await reader.read()

        one = Node(1, faster(backoff_min_s=0.1, backoff_max_s=0.2))
        async with raw_server(refuse) as url:
            one.transport._random = Draws([0, 0])
            one.transport.add_peer(2, [url])
            await one.start()
            await until(lambda: len(times) >= 3, "dialled")
            await one.stop()
        assert times[1] - times[0] >= 0.045
        assert times[2] - times[1] >= 0.09

    run(test)


def test_the_limits_fit_together() -> None:
    assert LIMITS.ping_s < LIMITS.silence_s
    with pytest.raises(AssertionError):
        faster(ping_s=3.0)


def test_aiohttp_answers_a_peer_as_any_server_does() -> None:
    """A web server that knows nothing of us is no member."""

    async def test() -> None:
        async def handle(request: web.BaseRequest) -> web.Response:
            return web.Response(status=404, text="nothing here")

        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        one = Node(1)
        one.transport.add_peer(2, [f"http://127.0.0.1:{runner.addresses[0][1]}"])
        await one.start()
        await until(lambda: one.transport.counters.failed[Cause.NOT_A_MEMBER] >= 2, "known for it")
        await one.stop()
        await runner.cleanup()

    run(test)
