"""When the loop writes to the log by itself, and what the driver then does."""

import asyncio
import threading

import pytest

from etcdpy.consensus.messages import Message, MessageKind
from etcdpy.consensus.writer import Pace
from etcdpy.errors import FatalError
from tests.consensus.harness import bootstrapped, with_log
from tests.consensus.rig import DEADLINE_S, Rig, run

MAX_S = 0.001


def quick() -> Pace:
    """Return a pace that has seen quick writes only."""
    pace = Pace(MAX_S)
    for _ in range(8):
        pace.wrote(MAX_S / 10)
    return pace


def test_the_thread_writes_until_the_disk_is_known_to_be_quick() -> None:
    pace = Pace(MAX_S)
    assert not pace.is_quick
    pace.wrote(MAX_S / 10)
    assert not pace.is_quick
    assert quick().is_quick


def test_after_a_slow_write_the_thread_writes_until_it_is_far_enough_back() -> None:
    pace = quick()
    pace.wrote(10 * MAX_S)
    count = 0
    while not pace.is_quick:
        pace.wrote(MAX_S / 10)
        count += 1
    assert count == 22  # 0.9 ** 22 is below a tenth


def test_a_slow_disk_is_never_for_the_loop() -> None:
    pace = quick()
    for _ in range(100):
        pace.wrote(2 * MAX_S)
        assert not pace.is_quick


def test_the_loop_writes_only_while_it_is_idle_a_part_of_the_time() -> None:
    pace = quick()
    assert pace.has_time(10.0, 1.0)
    assert not pace.has_time(10.1, 1.095)  # 95 of 100 ms
    assert not pace.has_time(10.11, 1.095)  # too soon to know better
    assert pace.has_time(10.2, 1.175)  # 80 of 100 ms
    assert pace.has_time(10.21, 1.185)


def test_with_a_limit_of_nothing_the_loop_never_writes() -> None:
    pace = Pace(0.0)
    pace.wrote(0.0)
    assert not pace.is_quick


class Always(Pace):
    """Every write is one for the loop, unless the thread has something to do."""

    @property
    def is_quick(self) -> bool:
        return True

    def has_time(self, now_s: float, busy_s: float) -> bool:
        return True


@pytest.mark.interpreted
def test_a_write_on_the_loop_is_done_and_applied_in_the_turn_that_began_it() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1]), pace=Always()).started()
        rig.driver.propose(b"a")
        await asyncio.sleep(0)
        assert rig.collector.datas == [b"a"]
        assert rig.storage.threads == {threading.get_ident()}
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_what_does_not_wait_for_the_write_leaves_before_the_loop_writes() -> None:
    async def main() -> None:
        rig = Rig(with_log([2], (1, 2), term=3, vote=1), pace=Always())
        rig.driver.start()
        rig.driver.campaign()
        await rig.until(lambda: rig.collector.of_kind(MessageKind.PRE_VOTE))
        rig.driver.step(Message(MessageKind.PRE_VOTE_RESPONSE, 1, 2, 4))
        await rig.until(lambda: rig.collector.of_kind(MessageKind.VOTE))
        rig.driver.step(Message(MessageKind.VOTE_RESPONSE, 1, 2, 4))
        await rig.until(lambda: rig.collector.of_kind(MessageKind.APPEND))
        rig.driver.step(Message(MessageKind.APPEND_RESPONSE, 1, 2, 4, 3))
        await rig.until(lambda: rig.driver.status.applied == 3)
        frames = len(rig.storage.frames)
        rig.driver.propose(b"a")
        await asyncio.sleep(0)
        assert [e.data for m in rig.collector.messages for e in m.entries][-1] == b"a"
        assert len(rig.storage.frames) == frames  # and a turn of the loop later:
        await asyncio.sleep(0)
        assert len(rig.storage.frames) == frames + 1
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_the_loop_writes_nothing_while_the_thread_has_a_job() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1]), pace=Always()).started()
        rig.storage.threads.clear()
        gate = threading.Event()
        job = rig.driver.run_in_writer(lambda: assert_set(gate))
        rig.driver.propose(b"a")
        for _ in range(3):
            await asyncio.sleep(0)
        assert rig.collector.datas == []
        gate.set()
        await job
        await rig.until_applied(1)
        assert threading.get_ident() not in rig.storage.threads
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_a_write_on_the_loop_that_fails_ends_the_member() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1]), pace=Always()).started()
        rig.storage.error = FatalError("no space left on device")
        rig.driver.propose(b"a")
        await asyncio.sleep(0)
        assert [str(error) for error in rig.fatal] == ["no space left on device"]
        assert rig.collector.datas == []
        await rig.driver.stop()

    run(main)


def assert_set(gate: threading.Event) -> None:
    assert gate.wait(DEADLINE_S)
