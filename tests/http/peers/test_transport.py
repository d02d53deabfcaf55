"""What the other members get of what one sends, and what its driver is told."""

import asyncio

import pytest

from etcdpy.consensus.messages import Message, MessageKind, SnapshotRequest
from etcdpy.http.peers.peer import DialError, Peer
from etcdpy.http.peers.protocol import Cause
from etcdpy.http.peers.stream import OutgoingStream
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
    run,
    stop_all,
    until,
)


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


def test_active_means_both_ways_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(peer: Peer, url: str) -> OutgoingStream:
        raise DialError(Cause.UNREACHABLE, "not any more")

    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            first_s = one.transport.active_for_s(2)
            assert first_s is not None
            assert 0 <= first_s < DEADLINE_S
            peer = one.transport.find_peer(2)
            assert peer is not None
            assert peer.round_trip_s > 0
            other = two.transport.find_peer(1)
            assert other is not None
            assert peer.incoming is not None
            assert other.incoming is not None
            for node in (one, two):
                monkeypatch.setattr(node.transport._dialer, "open_stream", fail)
            peer.incoming.abort()
            await until(lambda: other.counters.dials_failed, "the other has lost its stream")
            assert one.has(two)
            assert two.has(one)
            other.incoming.abort()
            await until(lambda: peer.counters.disconnected == 1, "seen")
            assert one.transport.active_for_s(9) is None

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
            assert two.lost == []  # it could still be heard on the other stream

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


def test_a_guest_is_answered_at_the_address_that_it_says() -> None:
    async def test() -> None:
        one, two, moved = Node(1), Node(2), Node(1)
        one.knows(two)
        one.transport.update_self([moved.url])
        try:
            for node in (one, two, moved):
                await node.start()
            await until(lambda: two.has_dialled(moved), "dialled there")
            two.send(heartbeat(2, 1, 2))
            await until(lambda: moved.driver.contexts == [2], "answered there")
            # Guests are not members: statistics show only those.
            assert two.transport.render_followers() == {}
        finally:
            await stop_all([one, two, moved])

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
            assert list(one.transport.render_followers()) == ["2"]
            assert one.transport.render_followers()["2"] == shown
            assert one.transport.render_appends()["sendAppendRequestCnt"] == 2
            assert two.transport.render_appends()["recvAppendRequestCnt"] == 2

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


def test_the_limits_fit_together() -> None:
    assert LIMITS.ping_s < LIMITS.silence_s
    with pytest.raises(AssertionError):
        faster(ping_s=3.0)
