"""Two members of whom only one can dial the other: both are heard, on the stream that there is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from etcdpy.http.peers.protocol import Cause
from tests.http.peering import (
    Node,
    append,
    closed_port_url,
    faster,
    heartbeat,
    run,
    stop_all,
    until,
)


@asynccontextmanager
async def hidden(**changes: object) -> AsyncIterator[tuple[Node, Node]]:
    """Members 1 and 2, connected; 2 is not where 1 is told that it is."""
    one, two = Node(1, faster(**changes)), Node(2, faster(**changes))
    two.transport.update_self([closed_port_url()])
    one.transport.add_peer(2, [closed_port_url()])
    two.knows(one)
    try:
        await one.start()
        await two.start()
        await until(lambda: one.has(two) and two.has(one), "connected")
        yield one, two
    finally:
        await stop_all([one, two])


def test_both_are_heard_in_order() -> None:
    async def test() -> None:
        async with hidden() as (one, two):
            for i in range(200):
                one.send(heartbeat(1, 2, i), heartbeat(1, 2, i + 1000))
                two.send(heartbeat(2, 1, i))
                await asyncio.sleep(0)
            await until(lambda: len(two.driver.messages) == 400, "one is heard")
            await until(lambda: len(one.driver.messages) == 200, "two is heard")
            assert one.driver.contexts == list(range(200))
            assert two.driver.contexts == [i + k for i in range(200) for k in (0, 1000)]
            assert one.driver.unreachable == []
            assert two.driver.unreachable == []

    run(test)


def test_large_batches_go_both_ways_at_once() -> None:
    """More than the buffers take, so that both wait for the other to read."""

    async def test() -> None:
        async with hidden(write_bytes_max=64 << 10, queue_bytes_max=64 << 20) as (one, two):
            for i in range(200):
                one.send(append(1, 2, i + 1, bytes(100_000)))
                two.send(append(2, 1, i + 1, bytes(100_000)))
            await until(lambda: len(two.driver.messages) == 200, "one is heard")
            await until(lambda: len(one.driver.messages) == 200, "two is heard")
            assert [m.index for m in one.driver.messages] == list(range(200))
            assert [m.index for m in two.driver.messages] == list(range(200))

    run(test)


def test_what_was_said_before_there_was_a_stream_is_said_on_it() -> None:
    async def test() -> None:
        one, two = Node(1), Node(2)
        one.transport.add_peer(2, [closed_port_url()])
        two.knows(one)
        one.send(heartbeat(1, 2, 1))  # nobody was dialled yet
        try:
            await two.start()
            peer = two.transport.find_peer(1)
            assert peer is not None
            await one.start()
            await until(lambda: one.has(two), "connected")
            one.send(heartbeat(1, 2, 2))
            await until(lambda: two.driver.contexts[-1:] == [2], "heard")
        finally:
            await stop_all([one, two])

    run(test)


def test_a_stream_of_its_own_is_used_once_it_is_there() -> None:
    async def test() -> None:
        async with hidden() as (one, two):
            peer = two.transport.find_peer(1)
            assert peer is not None
            assert peer.counters.streams_accepted == 0
            one.transport.add_peer(2, [two.url])
            await until(lambda: one.has_dialled(two), "found")
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "heard")
            outgoing = two.transport.find_peer(1)
            assert outgoing is peer
            assert peer.incoming is not None
            peer.incoming.abort()  # and the other one again when that is lost
            await until(lambda: 2 in one.driver.unreachable, "what was on its way is reported")
            assert one.has(two)
            one.send(heartbeat(1, 2, 2))
            await until(lambda: two.driver.contexts == [1, 2], "heard again")

    run(test)


def test_the_end_of_the_only_stream_is_the_loss_of_the_peer_on_both_sides() -> None:
    async def test() -> None:
        async with hidden() as (one, two):
            peer = one.transport.find_peer(2)
            assert peer is not None
            assert peer.incoming is not None
            peer.incoming.abort()
            await until(lambda: one.lost == [2] and two.lost == [1], "missed")
            await until(lambda: 2 in one.driver.unreachable and 1 in two.driver.unreachable, "told")
            await until(lambda: one.has(two) and two.has(one), "connected again")

    run(test)


def test_that_it_cannot_be_dialled_is_counted_and_goes_on() -> None:
    async def test() -> None:
        async with hidden() as (one, _):
            failed = one.transport.counters.failed
            await until(lambda: failed[Cause.UNREACHABLE] >= 3, "dialled again and again")
            assert one.driver.unreachable == []

    run(test)


def test_a_removed_peer_is_told_on_the_stream_that_it_dialled() -> None:
    async def test() -> None:
        async with hidden() as (one, two):
            one.removed.add(2)
            one.send(heartbeat(1, 2, 1))
            one.transport.remove_peer(2)
            await until(lambda: 1 in two.removed_by, "told")
            assert two.driver.contexts == [1]

    run(test)
