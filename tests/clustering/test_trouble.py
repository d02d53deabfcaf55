"""The words of a time-out: spec/cluster.md section 8, etcd's rules."""

import asyncio
from dataclasses import dataclass
from typing import cast

import pytest

from etcdpy.clustering.trouble import TimeoutCauses
from etcdpy.consensus.status import Status
from tests.harness.virtual_time import run_virtual

ELECTION_S = 1.0
REQUEST_S = 7.0

TIMED_OUT = b"etcdserver: request timed out"
LEADER_FAILED = TIMED_OUT + b", possibly due to previous leader failure"
CONNECTION_LOST = TIMED_OUT + b", possibly due to connection lost"

#: Connected since long before the request, since the midst of it, and not at all.
LONG, BRIEFLY, NOT = 100.0, 3.0, None


@dataclass
class FakeStatus:
    leader_id: int = 0


def explain(leader_id: int, connected: dict[int, float | None], member_count: int = 3) -> bytes:
    """Return what member 1 says of a request that waited for `REQUEST_S`."""
    causes = TimeoutCauses(
        1,
        cast(Status, FakeStatus(leader_id)),
        lambda: range(1, member_count + 1),
        connected.get,
        ELECTION_S,
    )
    return causes.explain(asyncio.get_running_loop().time() - REQUEST_S)


@pytest.mark.parametrize(
    ("leader_id", "connected", "cause"),
    [
        (0, {2: LONG, 3: LONG}, TIMED_OUT),
        (0, {2: NOT, 3: NOT}, TIMED_OUT),
        (2, {2: LONG, 3: NOT}, TIMED_OUT),
        (2, {2: BRIEFLY, 3: LONG}, CONNECTION_LOST),
        (2, {2: NOT, 3: LONG}, CONNECTION_LOST),
        (1, {2: LONG, 3: NOT}, TIMED_OUT),
        (1, {2: BRIEFLY, 3: NOT}, CONNECTION_LOST),
        (1, {2: NOT, 3: NOT}, CONNECTION_LOST),
    ],
)
def test_the_cause_is_judged_by_leader_and_connections(
    leader_id: int, connected: dict[int, float | None], cause: bytes
) -> None:
    async def main() -> None:
        assert explain(leader_id, connected) == cause

    run_virtual(main)


def test_a_leader_of_four_needs_two_others() -> None:
    async def main() -> None:
        assert explain(1, {2: LONG}, 4) == CONNECTION_LOST
        assert explain(1, {2: LONG, 3: LONG}, 4) == TIMED_OUT

    run_virtual(main)


def test_a_lone_leader_is_a_quorum() -> None:
    async def main() -> None:
        assert explain(1, {}, 1) == TIMED_OUT

    run_virtual(main)


@pytest.mark.parametrize(
    ("elected_after_s", "cause"),
    [
        (-0.5, TIMED_OUT),  # led already when the request came
        (0.5, LEADER_FAILED),
        (1.5, LEADER_FAILED),
        (2.5, TIMED_OUT),  # the former leader was gone before the request came
    ],
)
def test_who_was_elected_during_a_request_says_that_the_leader_failed(
    elected_after_s: float, cause: bytes
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        causes = TimeoutCauses(
            1,
            cast(Status, FakeStatus(1)),
            lambda: (1, 2, 3),
            {2: LONG, 3: LONG}.get,
            ELECTION_S,
        )
        began_s = loop.time() + 10
        await asyncio.sleep(10 + elected_after_s)
        causes.became_leader()
        await asyncio.sleep(REQUEST_S)
        assert causes.explain(began_s) == cause

    run_virtual(main)
