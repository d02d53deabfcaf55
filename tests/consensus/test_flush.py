"""Writes that the system makes durable while the loop goes on."""

import asyncio
import errno
import os
import threading
from collections.abc import Sequence
from functools import partial

import pytest

from etcdpy.consensus import writer as writer_module
from etcdpy.consensus.interfaces import Flusher
from etcdpy.consensus.messages import Entry, HardState
from etcdpy.errors import FatalError
from tests.consensus.harness import bootstrapped
from tests.consensus.rig import GatedStorage, Rig, run

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class HeldFlusher:
    """Ends what was begun when told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.waited: list[int] = []
        self.refusal: OSError | None = None  # of the beginning
        self.error: OSError | None = None  # of the end
        self.is_closed = False
        self._told = os.eventfd(0, os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._told

    def begin(self, handle: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.begun.append(handle)

    def let_end(self) -> None:
        os.eventfd_write(self._told, 1)

    def end(self) -> None:
        os.eventfd_read(self._told)
        if self.error is not None:
            raise self.error

    def wait(self, handle: int) -> None:
        self.waited.append(handle)
        assert threading.current_thread() is not threading.main_thread()

    def close(self) -> None:
        self.is_closed = True
        os.close(self._told)


class FlushedStorage(GatedStorage):
    """One whose frames the flusher makes durable; `begun` are the frames."""

    def __init__(self) -> None:
        super().__init__(bootstrapped([1]))
        self.held = HeldFlusher()
        self.begun: list[list[bytes]] = []
        self.takes_write = False
        self._frame: tuple[HardState | None, tuple[Entry, ...]] | None = None

    def flusher(self) -> Flusher | None:
        return self.held

    def begin_write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> int | None:
        assert threading.current_thread() is threading.main_thread()
        if self.takes_write:
            return None
        assert self._frame is None
        self._frame = hard_state, tuple(entries)
        self.begun.append([entry.data for entry in entries])
        return 7

    def end_write(self, error: OSError | None) -> None:
        assert self._frame is not None
        if error is not None:
            raise FatalError(f"cannot write: {error.strerror}")
        self.frames.append(self._frame)
        self._frame = None


class FlushRig(Rig):
    """A leader whose next write is one for the flusher."""

    def __init__(self) -> None:
        self.flushed = FlushedStorage()
        super().__init__(self.flushed)

    async def ready(self) -> "FlushRig":
        """Start, and let the thread write until the system is known to take bytes quickly."""
        await self.started()
        while not self.flushed.begun:
            count = len(self.collector.datas)
            self.driver.propose(b"warm")
            await asyncio.sleep(0)
            if self.flushed.begun:
                self.flushed.held.let_end()
            await self.until_applied(count + 1)
        self.flushed.begun.clear()
        self.flushed.held.begun.clear()
        self.flushed.threads.clear()
        self.collector.applied.clear()
        return self


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.interpreted
def test_nothing_is_applied_before_the_system_says_that_it_is_durable() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.driver.propose(b"a")
        await turns()
        rig.driver.propose(b"b")
        rig.driver.propose(b"c")
        await turns()
        assert rig.flushed.begun == [[b"a"]]
        assert rig.flushed.held.begun == [7]
        assert rig.collector.datas == []
        rig.flushed.held.let_end()
        await rig.until_applied(1)
        await turns()
        assert rig.flushed.begun == [[b"a"], [b"b", b"c"]]
        assert rig.collector.datas == [b"a"]
        rig.flushed.held.let_end()
        await rig.until_applied(3)
        assert not rig.flushed.threads
        await rig.driver.stop()
        assert rig.flushed.held.is_closed

    run(main)


@pytest.mark.interpreted
def test_a_write_that_did_not_become_durable_ends_the_member() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.flushed.held.error = NO_SPACE
        rig.driver.propose(b"a")
        await turns()
        rig.flushed.held.let_end()
        await rig.until(lambda: rig.fatal)
        assert str(rig.fatal[0]) == f"cannot write: {NO_SPACE.strerror}"
        assert rig.collector.datas == []
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_where_the_system_will_not_begin_the_thread_waits_for_the_disk() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.flushed.held.refusal = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        rig.driver.propose(b"a")
        await rig.until_applied(1)
        assert rig.flushed.begun == [[b"a"]]
        assert rig.flushed.held.waited == [7]
        assert not rig.flushed.threads  # it was written once
        assert not rig.flushed.held.is_closed  # it may be otherwise next time
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_a_system_that_never_begins_is_not_asked_again() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.flushed.held.refusal = OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        rig.driver.propose(b"a")
        await rig.until_applied(1)
        assert rig.flushed.held.waited == [7]
        assert rig.flushed.held.is_closed
        rig.driver.propose(b"b")
        await rig.until_applied(2)
        assert rig.flushed.begun == [[b"a"]]
        assert len(rig.flushed.threads) == 1
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_jobs_behind_a_write_that_did_not_become_durable_are_not_done() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.flushed.held.error = NO_SPACE
        rig.driver.propose(b"a")
        await turns()
        done: list[str] = []
        job = rig.driver.run_in_writer(lambda: done.append("x"))
        rig.flushed.held.let_end()
        with pytest.raises(OSError, match=NO_SPACE.strerror):
            await job
        assert done == []
        assert len(rig.fatal) == 1
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_what_takes_more_than_a_write_is_for_the_thread() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.flushed.takes_write = True
        rig.driver.propose(b"a")
        await rig.until_applied(1)
        assert threading.get_ident() not in rig.flushed.threads
        assert len(rig.flushed.threads) == 1
        assert not rig.flushed.held.begun
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_a_system_that_was_slow_to_take_the_bytes_leaves_some_writes_to_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        assert rig.driver._writer is not None
        rig.driver._writer._taking.wrote(10 * writer_module._TAKING_S_MAX)
        count = 0
        while not rig.flushed.begun:
            rig.driver.propose(b"a")
            await turns()
            if not rig.flushed.begun:
                count += 1
                await rig.until_applied(count)
        assert count == 22  # 0.9 ** 22 is below a tenth
        rig.flushed.held.let_end()
        await rig.until_applied(count + 1)
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_jobs_of_the_thread_wait_for_the_end() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.driver.propose(b"a")
        await turns()
        order: list[str] = []
        jobs = [rig.driver.run_in_writer(partial(order.append, name)) for name in "xy"]
        await asyncio.sleep(0.05)
        assert order == []
        rig.flushed.held.let_end()
        await asyncio.gather(*jobs)
        assert order == ["x", "y"]
        await rig.until_applied(1)
        await rig.driver.stop()

    run(main)


@pytest.mark.interpreted
def test_stopping_waits_for_the_end_and_answers() -> None:
    async def main() -> None:
        rig = await FlushRig().ready()
        rig.driver.propose(b"a")
        await turns()
        stopping = asyncio.create_task(rig.driver.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        assert rig.collector.datas == []
        rig.flushed.held.let_end()
        await stopping
        assert rig.collector.datas == [b"a"]

    run(main)
