"""The recordings and the random requests, asked of a leader and of a follower of three members."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import differences, later, transcript
from tests.conformance.cluster_side_by_side import (
    ClusterPair,
    Side,
    running_clusters,
    start_fresh,
    wait_for_index,
)
from tests.conformance.differential import run
from tests.conformance.replay import Player
from tests.conformance.test_golden import compare
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind

SCENARIOS = transcript.load()
PARTS = ("a", "leader")
#: It leaves users and roles, which no other recording has.
AUTH = "auth_guest_denied"
#: Whether there are chunks depends on how long indexes are.
FRAMING = "response_framing"
#: What the leader, which does the expiring, plays of what mostly waits outside the soak.
EXPIRY = {"expiry_of_a_directory", "expiry_order"}


def cases() -> Iterator[Any]:
    """Yield each recording with each part."""
    for name, steps in SCENARIOS.items():
        for part in PARTS if name != AUTH else ():
            is_long = part == "leader" and transcript.has_sleep(steps) and name not in EXPIRY
            yield pytest.param(name, part, marks=[pytest.mark.soak] if is_long else [])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Three members of etcdpy that all recordings share."""
    with Cluster(Kind.ETCDPY, tmp_path_factory.mktemp("three"), 3) as cluster:
        side = Side(start_fresh(cluster))
        side.cast_all()
        yield side


def play(scenario: str, member: ClusterMember) -> None:
    """Play a recording on a member with an empty tree, and compare."""
    steps = SCENARIOS[scenario]
    distance = later.begin(member, member.id)
    if scenario == FRAMING:
        while not later.is_even(steps, distance):
            distance = later.begin(member, member.id)
        steps = later.shortened(steps, distance)
    expected = [later.moved(step, distance) for step in differences.expected(steps)]
    found = Player(member.client_port).play(expected)
    compare(*([later.comparable(step) for step in each] for each in (expected, found)))


@pytest.mark.parametrize(("scenario", "part"), [*cases()])
def test_scenario(scenario: str, part: str, three: Side) -> None:
    member = three[part]
    try:
        play(scenario, member)
    finally:
        later.clear(member, SCENARIOS[scenario])
        for other in three.running.values():
            wait_for_index(other, member.request("GET", "/v2/keys/").index)


@pytest.mark.parametrize("part", PARTS)
def test_scenario_of_auth(part: str, tmp_path: Path) -> None:
    """On new members each time: the directories of users and roles count when they are made."""
    with Cluster(Kind.ETCDPY, tmp_path, 3) as cluster:
        side = Side(start_fresh(cluster))
        side.cast_all()
        play(AUTH, side[part])


@pytest.mark.live
@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH")
@pytest.mark.parametrize(("seed", "part"), [(3, "leader"), (4, "a")])
def test_random_requests_are_answered_alike(seed: int, part: str, tmp_path: Path) -> None:
    with running_clusters(tmp_path) as sides:
        pair = ClusterPair(sides.ours[part], sides.theirs[part], sides)
        run(pair, seed, step_count=150)
