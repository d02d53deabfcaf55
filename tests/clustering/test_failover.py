"""An early election: when a follower that lost the leader's stream campaigns, and when not."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import cast

from etcdpy.clustering.failover import ATTEMPTS_MAX, EarlyElection
from etcdpy.consensus.driver import Driver
from tests.harness.virtual_time import run_virtual

SPREAD_S = 0.1
LEADER, OTHER = 1, 2


@dataclass
class FakeStatus:
    leader_id: int = LEADER


@dataclass
class FakeDriver:
    """Notes when it is asked to campaign; `elects` makes that succeed at once."""

    status: FakeStatus = field(default_factory=FakeStatus)
    elects: bool = False
    campaigns_s: list[float] = field(default_factory=list)

    def campaign(self) -> None:
        self.campaigns_s.append(asyncio.get_running_loop().time())
        self.status.leader_id = OTHER if self.elects else 0


@dataclass
class Scene:
    """A follower whose leader's stream may break."""

    driver: FakeDriver
    active: set[int]
    election: EarlyElection


def scene(*, elects: bool = False, seed: int = 0) -> Scene:
    driver = FakeDriver(elects=elects)
    active: set[int] = set()
    election = EarlyElection(cast(Driver, driver), active.__contains__, SPREAD_S, Random(seed))
    return Scene(driver, active, election)


def test_it_campaigns_within_the_spread_and_once_when_that_elects() -> None:
    async def test() -> None:
        for seed in range(50):
            began_s = asyncio.get_running_loop().time()
            it = scene(elects=True, seed=seed)
            it.election.peer_lost(LEADER)
            await asyncio.sleep(100 * SPREAD_S)
            assert len(it.driver.campaigns_s) == 1
            assert 0 <= it.driver.campaigns_s[0] - began_s < SPREAD_S

    run_virtual(test)


def test_two_members_seldom_ask_at_the_same_time() -> None:
    async def test() -> None:
        scenes = [scene(elects=True, seed=seed) for seed in range(20)]
        for it in scenes:
            it.election.peer_lost(LEADER)
        await asyncio.sleep(SPREAD_S)
        assert len({it.driver.campaigns_s[0] for it in scenes}) > 15

    run_virtual(test)


def test_without_success_it_asks_again_ever_less_often_and_then_leaves_it_to_the_timer() -> None:
    async def test() -> None:
        began_s = asyncio.get_running_loop().time()
        it = scene()
        it.election.peer_lost(LEADER)
        await asyncio.sleep(100 * SPREAD_S)
        campaigns_s = it.driver.campaigns_s
        assert len(campaigns_s) == ATTEMPTS_MAX
        for attempt, (before_s, campaign_s) in enumerate(
            zip([began_s, *campaigns_s], campaigns_s, strict=False)
        ):
            assert campaign_s - before_s < SPREAD_S * 2**attempt

    run_virtual(test)


def test_the_loss_of_another_peer_is_no_reason() -> None:
    async def test() -> None:
        it = scene()
        it.election.peer_lost(OTHER)
        await asyncio.sleep(100 * SPREAD_S)
        assert it.driver.campaigns_s == []

    run_virtual(test)


def test_a_leader_that_is_connected_again_is_left_alone() -> None:
    async def test() -> None:
        it = scene()
        it.election.peer_lost(LEADER)
        it.active.add(LEADER)
        await asyncio.sleep(100 * SPREAD_S)
        assert it.driver.campaigns_s == []

    run_virtual(test)


def test_another_leader_that_was_found_meanwhile_is_left_alone() -> None:
    async def test() -> None:
        it = scene()
        it.election.peer_lost(LEADER)
        it.driver.status.leader_id = OTHER
        await asyncio.sleep(100 * SPREAD_S)
        assert it.driver.campaigns_s == []

    run_virtual(test)


def test_a_member_that_stops_does_not_campaign() -> None:
    async def test() -> None:
        it = scene()
        it.election.peer_lost(LEADER)
        it.election.stop()
        await asyncio.sleep(100 * SPREAD_S)
        assert it.driver.campaigns_s == []

    run_virtual(test)
