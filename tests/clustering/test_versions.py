"""The cluster version: who decides it, when it rises, what is said of it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from etcdpy.clustering.versions import DECISION_WAIT_S, MONITOR_INTERVAL_S, VersionMonitor, lowest
from etcdpy.errors import RAFT_INTERNAL, EtcdError, FatalError
from tests.harness.virtual_time import run_virtual


@pytest.mark.parametrize(
    ("releases", "version"),
    [
        (["3.4.23"], "3.4.0"),
        (["3.4.23", "3.10.1", "3.5.0"], "3.4.0"),
        (["3.10.1", "3.9.0"], "3.9.0"),
        (["4.0.0", "3.99.9"], "3.99.0"),
        (["3.4.23", ""], None),
        (["3.4.23", "nonsense"], None),
        ([], None),
    ],
)
def test_the_lowest_release_counts_if_all_are_known(
    releases: list[str], version: str | None
) -> None:
    assert lowest(releases) == version


class Rig:
    """A monitor in a cluster that agrees at once to what is proposed."""

    def __init__(self, *, version: str | None = None, is_leader: bool = True) -> None:
        self.version = version
        self.is_leader = is_leader
        self.releases = ["3.4.23", "3.4.23"]
        self.proposed: list[str] = []
        self.times: list[float] = []
        self.refusals = 0  # how many proposals are still to be refused
        self.fatal: list[FatalError] = []
        self.loop = asyncio.get_running_loop()
        self.began_s = self.loop.time()
        self.monitor = VersionMonitor(
            current=lambda: self.version,
            is_leader=lambda: self.is_leader,
            releases=lambda: self.releases,
            agree=self._agree,
            on_fatal=self.fatal.append,
        )

    async def _agree(self, version: str) -> None:
        self.proposed.append(version)
        self.times.append(self.loop.time() - self.began_s)
        if self.refusals:
            self.refusals -= 1
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: request timed out")
        self.version = version


def run(test: Callable[[Rig], Coroutine[None, None, None]], rig: Callable[[], Rig] = Rig) -> None:
    async def main() -> None:
        made = rig()
        made.monitor.start()
        await test(made)
        made.monitor.stop()

    run_virtual(main)


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def test_the_leader_decides_at_once_when_all_are_known(caplog: pytest.LogCaptureFixture) -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(0.05)
        assert (rig.proposed, rig.times) == (["3.4.0"], [0.0])

    run(test)
    assert caplog.messages == [
        "setting up the initial cluster version to 3.4",
        "set the initial cluster version to 3.4",
        "enabled capabilities for version 3.4",
    ]


def test_a_follower_says_what_another_has_decided(caplog: pytest.LogCaptureFixture) -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(30.0)
        rig.version = "3.4.0"
        await asyncio.sleep(0.2)
        assert rig.proposed == []

    run(test, lambda: Rig(is_leader=False))
    assert caplog.messages == [
        "set the initial cluster version to 3.4",
        "enabled capabilities for version 3.4",
    ]


def test_who_becomes_leader_later_decides() -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(30.0)
        rig.is_leader = True
        await asyncio.sleep(0.2)
        assert rig.proposed == ["3.4.0"]

    run(test, lambda: Rig(is_leader=False))


def test_a_member_that_says_nothing_is_waited_for_a_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(rig: Rig) -> None:
        rig.releases = ["3.4.23", ""]
        await asyncio.sleep(DECISION_WAIT_S * 2)
        assert rig.proposed == ["3.0.0"]
        assert rig.times[0] == pytest.approx(DECISION_WAIT_S, abs=0.2)
        rig.releases = ["3.4.23", "3.4.1"]
        await asyncio.sleep(MONITOR_INTERVAL_S)
        assert rig.proposed == ["3.0.0", "3.4.0"]

    run(test)
    assert caplog.messages[2:] == [
        "enabled capabilities for version 3.0",
        "updating the cluster version from 3.0 to 3.4",
        "updated the cluster version from 3.0 to 3.4",
        "enabled capabilities for version 3.4",
    ]


def test_a_version_is_never_lowered() -> None:
    async def test(rig: Rig) -> None:
        rig.releases = ["3.3.9", "3.4.23"]
        await asyncio.sleep(MONITOR_INTERVAL_S * 3)
        assert rig.proposed == []

    run(test, lambda: Rig(version="3.4.0"))


def test_a_refused_version_is_proposed_again() -> None:
    async def test(rig: Rig) -> None:
        rig.refusals = 2
        await asyncio.sleep(1.0)
        assert rig.proposed == ["3.4.0"] * 3

    run(test)


def test_a_version_that_another_set_meanwhile_is_not_set_again() -> None:
    async def test(rig: Rig) -> None:
        rig.refusals = 1
        await asyncio.sleep(0.05)
        rig.version = "3.4.0"
        await asyncio.sleep(MONITOR_INTERVAL_S * 2)
        assert rig.proposed == ["3.4.0"]

    run(test)


def test_a_restarted_member_says_at_once_what_it_knows(caplog: pytest.LogCaptureFixture) -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(MONITOR_INTERVAL_S * 2)

    run(test, lambda: Rig(version="3.4.0"))
    assert caplog.messages == ["enabled capabilities for version 3.4"]


OLDER = (
    "cluster cannot be downgraded (current version: 3.4.23 is lower than determined"
    " cluster version: 3.5)."
)


def test_a_member_older_than_its_cluster_does_not_start() -> None:
    async def test(rig: Rig) -> None:
        assert [str(error) for error in rig.fatal] == [OLDER]

    run(test, lambda: Rig(version="3.5.0"))


def test_a_member_that_becomes_too_old_ends() -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(0.05)
        assert rig.fatal == []
        rig.version = "3.5.0"
        await asyncio.sleep(MONITOR_INTERVAL_S + 0.1)
        assert [str(error) for error in rig.fatal] == [OLDER]

    run(test, lambda: Rig(version="3.4.0", is_leader=False))


def test_nothing_is_proposed_after_the_stop() -> None:
    async def main() -> None:
        rig = Rig(is_leader=False)
        rig.monitor.start()
        await asyncio.sleep(1.0)
        rig.monitor.stop()
        rig.is_leader = True
        await asyncio.sleep(10.0)
        assert rig.proposed == []

    run_virtual(main)
