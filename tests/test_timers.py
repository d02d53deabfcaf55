"""What is repeated comes at its interval, until it is stopped."""

import asyncio

from etcdpy.timers import Timers
from tests.harness.virtual_time import run_virtual


def test_each_action_has_its_interval_and_all_stop_together() -> None:
    async def main() -> None:
        timers, often, seldom = Timers(), [], []
        timers.repeat(1.0, lambda: often.append(1))
        timers.repeat(4.0, lambda: seldom.append(1))
        await asyncio.sleep(8.5)
        assert (len(often), len(seldom)) == (8, 2)
        timers.stop()
        await asyncio.sleep(10)
        assert (len(often), len(seldom)) == (8, 2)

    run_virtual(main)


def test_an_action_that_fails_is_done_again() -> None:
    async def main() -> None:
        timers, calls = Timers(), []
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, found: problems.append(found))

        def fail() -> None:
            calls.append(1)
            raise ValueError("this once")

        timers.repeat(1.0, fail)
        await asyncio.sleep(2.5)
        timers.stop()
        assert len(calls) == len(problems) == 2

    run_virtual(main)
