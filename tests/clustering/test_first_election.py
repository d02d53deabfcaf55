"""The first election: hurried once there is a majority to win it with, and nobody leads."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from etcdpy.clustering.first_election import (
    LOOK_INTERVAL_S,
    LOOKS_MAX,
    TICKS_LEFT,
    FirstElection,
)
from etcdpy.clustering.members import Cluster
from etcdpy.consensus.driver import Driver
from tests.harness.virtual_time import run_virtual

TICKS = 10


@dataclass
class FakeStatus:
    leader_id: int = 0


@dataclass
class FakeDriver:
    status: FakeStatus = field(default_factory=FakeStatus)
    advances: list[int] = field(default_factory=list)

    def advance(self, ticks: int) -> None:
        self.advances.append(ticks)


@dataclass
class FakeCluster:
    voter_ids: list[int]


def hurry(driver: FakeDriver, voters: list[int], active: set[int]) -> FirstElection:
    election = FirstElection(
        cast(Driver, driver), 1, cast(Cluster, FakeCluster(voters)), active.__contains__, TICKS
    )
    election.start()
    return election


@pytest.mark.parametrize(
    ("voters", "active", "is_hurried"),
    [
        ([1], set(), False),
        ([1, 2], set(), False),
        ([1, 2], {2}, True),
        ([1, 2, 3], {2}, True),
        ([1, 2, 3], {7}, False),
        ([1, 2, 3, 4], {2}, False),
        ([1, 2, 3, 4, 5], {2, 3}, True),
        ([2, 3, 4], {2}, False),  # a learner has no vote of its own
        ([2, 3, 4], {2, 3}, True),
    ],
)
def test_a_majority_has_to_be_connected(
    voters: list[int], active: set[int], is_hurried: bool
) -> None:
    async def test() -> None:
        driver = FakeDriver()
        hurry(driver, voters, active)
        await asyncio.sleep(2 * LOOKS_MAX * LOOK_INTERVAL_S)
        assert driver.advances == ([TICKS - TICKS_LEFT] if is_hurried else [])

    run_virtual(test)


def test_who_connects_later_counts_for_some_seconds() -> None:
    async def test() -> None:
        driver, active = FakeDriver(), set[int]()
        hurry(driver, [1, 2, 3], active)
        await asyncio.sleep((LOOKS_MAX - 2) * LOOK_INTERVAL_S)
        active.add(3)
        await asyncio.sleep(3 * LOOK_INTERVAL_S)
        assert driver.advances == [TICKS - TICKS_LEFT]
        late = FakeDriver()
        active.clear()
        hurry(late, [1, 2, 3], active)
        await asyncio.sleep((LOOKS_MAX + 1) * LOOK_INTERVAL_S)
        active.add(3)
        await asyncio.sleep(10)
        assert late.advances == []

    run_virtual(test)


def test_nothing_is_hurried_once_there_is_a_leader_or_the_member_stops() -> None:
    async def test() -> None:
        led, stopped = FakeDriver(FakeStatus(leader_id=2)), FakeDriver()
        hurry(led, [1, 2, 3], {2, 3})
        hurry(stopped, [1, 2, 3], {2, 3}).stop()
        await asyncio.sleep(10)
        assert led.advances == stopped.advances == []

    run_virtual(test)
