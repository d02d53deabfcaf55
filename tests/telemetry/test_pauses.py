"""How late the loop is and how long the collector takes."""

import asyncio
import gc

import pytest

from etcdpy.telemetry.pauses import CollectorWatch, LoopWatch
from tests.harness.virtual_time import run_virtual


def test_the_loop_is_looked_at_once_an_interval() -> None:
    watch = LoopWatch()
    looks = []

    async def main() -> None:
        watch.start(0.1, lambda: looks.append(asyncio.get_running_loop().time()))
        await asyncio.sleep(1.05)
        watch.stop()
        await asyncio.sleep(1)

    run_virtual(main)
    assert len(looks) == 10
    assert sum(watch.lags.counts) == 10


def test_a_loop_that_stands_still_for_two_intervals_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = LoopWatch()

    async def main() -> None:
        watch.start(0.1, lambda: None)
        watch.note_lag(200_000_000)
        assert watch.stalls_count == 0
        watch.note_lag(1_500_000_000)
        watch.stop()

    run_virtual(main)
    assert watch.stalls_count == 1
    assert caplog.messages == [
        "the event loop stood still for 1.5s, expected less than 200ms",
    ]


def test_stopping_before_the_start_is_harmless() -> None:
    LoopWatch().stop()
    CollectorWatch().stop()


def test_each_run_of_the_collector_is_measured_until_the_end() -> None:
    watch = CollectorWatch()
    watch.start()
    try:
        gc.collect()
    finally:
        watch.stop()
    measured = sum(watch.pauses.counts)
    gc.collect()
    assert measured >= 1
    assert watch.pauses.total > 0
    assert sum(watch.pauses.counts) == measured
