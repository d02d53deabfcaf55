"""Dialling one peer: where, how often, what is said of it, and what waits meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

from etcdpy.http.peers.protocol import Cause
from tests.http.peering import (
    Node,
    append,
    closed_port_url,
    cluster,
    faster,
    heartbeat,
    logged,
    raw_server,
    run,
    stop_all,
    until,
)


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
            one.transport.add_peer(2, [again.url])
            await again.start()
            two = again
            await until(lambda: one.has(again), "connected")
        finally:
            await stop_all([one, two])

    run(test)


@pytest.mark.interpreted
def test_even_our_own_bug_does_not_end_the_dialling(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with cluster(1, 2, is_joined=False) as (one, two):
            dialer = one.transport._dialer
            open_stream = dialer.open_stream
            attempts = 0

            async def fail_once(peer: Any, url: str) -> Any:
                nonlocal attempts
                attempts += 1
                if attempts == 1:
                    raise RuntimeError("a bug")
                return await open_stream(peer, url)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(dialer, "open_stream", fail_once)
                await until(lambda: one.has(two), "connected at the second attempt")

    run(test)
    assert logged(caplog, "dialling peer 2 failed") == 1


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
                one.send(append(1, 2, 1, bytes(500_000)))
                one.transport.add_peer(2, [moved.url])
                one.send(heartbeat(1, 2, 1))
                peer = one.transport.find_peer(2)
                assert peer is not None
                await until(lambda: peer.counters.streams_opened == 2, "dialled there")
                await until(lambda: one.has_dialled(moved), "connected there")
                one.send(heartbeat(1, 2, 2))
                await until(lambda: moved.driver.contexts == [2], "it is heard there")
                await until(lambda: two.driver.contexts == [1], "what was on its way has arrived")
                assert len(two.driver.messages) == 2
                assert one.driver.unreachable == []
                incoming = two.transport.find_peer(1)
                assert incoming is not None
                await until(lambda: incoming.incoming is None, "the former stream has ended")
            finally:
                await stop_all([two, moved])

    run(test)


def test_a_peer_that_is_not_where_it_moved_to_is_spoken_to_where_it_was() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.transport.add_peer(2, [closed_port_url()])
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.dials_failed, "not there")
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "arrived")
            assert one.driver.unreachable == []
            assert one.has(two)

    run(test)


def test_a_peer_that_moved_unbeknown_is_answered_where_it_says_it_is() -> None:
    """It may be the leader, and the only one who could tell of its move in the log."""

    async def test() -> None:
        one, two = Node(1), Node(2)
        one.transport.add_peer(2, [closed_port_url()])
        two.knows(one)
        try:
            await one.start()
            await two.start()
            await until(lambda: one.has(two) and two.has(one), "connected both ways")
            one.transport.add_peer(2, [closed_port_url()])  # an old place comes up in the log
            peer = one.transport.find_peer(2)
            assert peer is not None
            await until(lambda: peer.counters.streams_opened == 2 and one.has(two), "again")
        finally:
            await stop_all([one, two])

    run(test)


def test_an_update_to_the_same_address_keeps_the_stream() -> None:
    async def test() -> None:
        async with cluster(1, 2) as (one, two):
            one.transport.add_peer(2, [closed_port_url(), two.url])
            one.transport.add_peer(2, [two.url, closed_port_url()])
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "arrived")
            peer = one.transport.find_peer(2)
            assert peer is not None
            assert peer.counters.streams_opened == 1

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
