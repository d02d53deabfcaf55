"""The recordings, asked of members with client TLS, verified clients and auth on.

What auth stores moves every index by the same distance.  That nothing else is moved is what the
real etcd shows, which is asked in the same way in the soak.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance import differences, later, transcript
from tests.conformance.guarded import files, kind, member
from tests.conformance.replay import Player
from tests.conformance.test_golden import compare
from tests.harness.guarded import LOGIN, GuardedCluster, GuardedMember
from tests.harness.process import READY_DEADLINE_S, Kind, Member, wait_until
from tests.harness.secure import Files

__all__ = ["files", "kind", "member"]

SCENARIOS = transcript.load()
del SCENARIOS["auth_guest_denied"]  # there are users already
del SCENARIOS["response_framing"]  # whether there are chunks depends on how long indexes are


def is_slow(scenario: str) -> bool:
    return any(step.get("op") in ("sleep", "repeat") for step in SCENARIOS[scenario])


QUICK = [name for name in SCENARIOS if not is_slow(name)]


def some(count: int) -> list[Any]:
    """Return all recordings, of which so many quick ones are played outside the soak."""
    chosen = QUICK[:: len(QUICK) // count]
    return [
        pytest.param(name, marks=[] if name in chosen else [pytest.mark.soak]) for name in SCENARIOS
    ]


HEADERS = {"Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"}


def play(member: GuardedMember, scenario: str) -> None:
    """Play a recording, from an empty tree to an empty tree, and compare."""
    steps = SCENARIOS[scenario]
    listed = member.request("GET", "/v2/members").json()["members"]
    (own,) = [each["id"] for each in listed if each["name"] == member.name]
    distance = later.begin(member, own)
    player = Player(member.client_port, tls=member.clients_tls, headers=HEADERS)
    if member.kind is Kind.ETCD:  # by root's certificate: a password costs etcd 60 ms each time
        player = Player(member.client_port, tls=member.tls)
    recorded = steps if member.kind is Kind.ETCD else differences.expected(steps)
    try:
        expected = [later.moved(step, distance) for step in recorded]
        found = player.play(expected)
        compare(*([later.comparable(step) for step in each] for each in (expected, found)))
    finally:
        later.clear(member, steps)


@pytest.mark.parametrize("scenario", some(12))
def test_scenario_guarded(scenario: str, member: Member) -> None:
    assert isinstance(member, GuardedMember)
    play(member, scenario)


@pytest.fixture(scope="module")
def three(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedCluster]:
    """Three members that all recordings share, guarded on the side of members too."""
    directory = tmp_path_factory.mktemp("three")
    with GuardedCluster(Kind.ETCDPY, directory, 3, files=files) as cluster:
        yield cluster.start()


@pytest.mark.parametrize("scenario", some(3))
def test_scenario_of_a_guarded_follower(scenario: str, three: GuardedCluster) -> None:
    follower = three.follower()
    play(follower, scenario)
    index = follower.request("GET", "/v2/keys/").index

    def is_there() -> bool:
        return all(m.request("GET", "/v2/keys/").index >= index for m in three.members)

    wait_until(is_there, READY_DEADLINE_S, "all members are as far")
