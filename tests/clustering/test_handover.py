"""A leader that stops: who is asked to lead, and how long that may take."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from etcdpy.clustering.handover import hand_over
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import Role
from tests.harness.virtual_time import run_virtual

TIMEOUT_S = 7.0
ME = 1


@dataclass
class FakeStatus:
    role: Role = Role.LEADER
    leader_id: int = ME


@dataclass
class FakeDriver:
    """A driver whose cluster obeys a transfer after a while, or never."""

    status: FakeStatus = field(default_factory=FakeStatus)
    obeys_after_s: float | None = 0.1
    asked: list[int] = field(default_factory=list)

    def transfer_leadership(self, to: int) -> None:
        self.asked.append(to)
        if self.obeys_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self.obeys_after_s, self._lead, to)

    def _lead(self, leader_id: int) -> None:
        self.status.role = Role.FOLLOWER
        self.status.leader_id = leader_id


class Connections:
    """For how long each peer has been connected; it can be lost later."""

    def __init__(self, connected: dict[int, float]) -> None:
        self.connected = connected

    def active_for_s(self, member_id: int) -> float | None:
        return self.connected.get(member_id)


async def time_of(
    driver: FakeDriver, connections: Connections, voters: tuple[int, ...] = (1, 2, 3)
) -> float:
    """Hand over and return how long that took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await hand_over(cast(Driver, driver), ME, voters, connections.active_for_s, TIMEOUT_S)
    return loop.time() - began_s


def test_the_voter_that_was_connected_longest_leads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        driver = FakeDriver()
        took_s = await time_of(driver, Connections({2: 5.0, 3: 9.0, 4: 99.0}))
        assert (driver.asked, driver.status.leader_id) == ([3], 3)
        assert took_s == pytest.approx(0.1, abs=0.01)

    run_virtual(main)
    assert caplog.messages[0] == "1 starts leadership transfer from 1 to 3"
    assert caplog.messages[1].startswith("1 finished leadership transfer from 1 to 3 (took ")


def test_it_is_over_too_when_somebody_else_leads() -> None:
    async def main() -> None:
        driver = FakeDriver(obeys_after_s=None)
        asyncio.get_running_loop().call_later(0.5, driver._lead, 2)
        assert await time_of(driver, Connections({2: 5.0, 3: 9.0})) < 0.6

    run_virtual(main)


@pytest.mark.parametrize(
    ("status", "voters"),
    [
        (FakeStatus(Role.FOLLOWER, 2), (1, 2, 3)),
        (FakeStatus(Role.FOLLOWER, 0), (1, 2, 3)),
        (FakeStatus(), (1,)),
    ],
)
def test_who_does_not_lead_or_is_alone_asks_nobody(
    status: FakeStatus, voters: tuple[int, ...]
) -> None:
    async def main() -> None:
        driver = FakeDriver(status)
        assert await time_of(driver, Connections({2: 5.0}), voters) == 0.0
        assert driver.asked == []

    run_virtual(main)


def test_without_a_connected_voter_nobody_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        driver = FakeDriver()
        assert await time_of(driver, Connections({4: 9.0})) == 0.0
        assert driver.asked == []

    run_virtual(main)
    assert caplog.messages == ["1 failed to transfer leadership (etcdserver: unhealthy cluster)"]


def test_a_transfer_that_does_not_happen_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        driver = FakeDriver(obeys_after_s=None)
        took_s = await time_of(driver, Connections({2: 5.0}))
        assert took_s == pytest.approx(TIMEOUT_S, abs=0.1)
        assert driver.asked == [2]

    run_virtual(main)
    assert caplog.messages == [
        "1 failed to transfer leadership"
        " (etcdserver: request timed out, leader transfer took too long)"
    ]


def test_when_the_chosen_one_goes_away_another_is_asked() -> None:
    async def main() -> None:
        driver, connections = FakeDriver(obeys_after_s=3.0), Connections({2: 5.0, 3: 9.0})
        asyncio.get_running_loop().call_later(1.0, connections.connected.pop, 3)
        await time_of(driver, connections)
        assert driver.asked == [3, 2]

    run_virtual(main)


def test_when_all_others_go_away_nobody_is_waited_for() -> None:
    """As when all members are told to stop at once: those that do not lead are gone at once."""

    async def main() -> None:
        driver, connections = FakeDriver(obeys_after_s=None), Connections({2: 5.0, 3: 9.0})
        asyncio.get_running_loop().call_later(0.2, connections.connected.clear)
        assert await time_of(driver, connections) < 0.3

    run_virtual(main)
