"""What a stranger or a peer does again and again is said once, and counted each time."""

import pytest

from etcdpy.http.peers.protocol import Cause
from etcdpy.http.peers.said import SAID_COUNT_MAX, Said
from tests.http.peering import greeting, logged, run, until
from tests.http.peers.test_port import PING, ask, dial, lone
from tests.http.peers.test_snapshot_stream import Body, good, post

TIMES = 20


def test_each_thing_is_new_once_of_each_until_it_is_forgotten() -> None:
    said = Said()
    assert [said.is_new("a", "x"), said.is_new("a", "x"), said.is_new("a", "y")] == [1, 0, 1]
    assert said.is_new("b", "x")
    said.forget("a")
    assert (said.has("a"), said.has("b")) == (False, True)
    assert [said.is_new("a", "x"), said.is_new("b", "x")] == [True, False]


def test_there_is_an_end_to_it() -> None:
    said = Said()
    assert all(said.is_new(f"{number:x}", "x") for number in range(SAID_COUNT_MAX))
    assert not said.is_new("one more", "x")


def test_a_guest_that_comes_again_and_again_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")

    async def test() -> None:
        async with lone() as node:
            rejected = node.transport.counters.rejected
            for _ in range(TIMES):
                async with dial(node) as dialled:
                    await dialled.open_stream(0xBAD, 1)
                    dialled.writer.write(dialled.frame(PING, b"12345678"))
                    await dialled.receive()
                    dialled.writer.write(b"\xff" * 100)
                    await dialled.ends()
                await until(lambda: node.transport.find_peer(0xBAD) is None, "forgotten")
            assert rejected[Cause.BROKEN] == TIMES

    run(test)
    assert logged(caplog, "added guest peer bad") == 1
    assert logged(caplog, "peer bad became active") == 1
    assert logged(caplog, "peer bad became inactive") == 1
    assert logged(caplog, "lost the TCP streaming connection from peer bad (") == 1
    assert logged(caplog, "peer bad at ") <= 1  # if it was dialled meanwhile
    assert logged(caplog, "bad") <= 5


def test_a_refused_snapshot_is_said_once_until_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    no_tree = Body().head().block(2, 1, b"no tree").foot(1, 1, 7).data

    async def test() -> None:
        async with lone() as node:
            for _ in range(TIMES):
                assert (await post(node, no_tree)).status == 400
            assert logged(caplog, "failed to save database snapshot from 2: damaged at row 1") == 1
            assert logged(caplog, "receiving database snapshot from 2") == 1
            assert node.transport.counters.rejected[Cause.BROKEN] == TIMES
            assert (await post(node, good().data)).status == 204
            assert (await post(node, no_tree)).status == 400
            assert logged(caplog, "failed to save database snapshot from 2") == 2

    run(test)


def test_an_id_is_the_same_however_it_is_written(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with lone() as node:
            for text in ("bad", "BAD", "0bad"):
                headers = greeting(0xBAD, 3, **{"X-Server-From": text})
                assert (await ask(node, "GET /raft/stream/etcdpy/bad", headers)).status == 421

    run(test)
    assert logged(caplog, "from bad refused") == 1
