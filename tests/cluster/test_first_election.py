"""Founders that find each other do not wait for a whole election time-out; unless told to."""

from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.process import Kind

HURRIED = "fast-forwarding 8 ticks (election ticks 10)"


@pytest.mark.parametrize("is_hurried", [True, False])
def test_the_first_election_is_hurried_once_a_majority_is_connected(
    tmp_path: Path, is_hurried: bool
) -> None:
    flag = f"--initial-election-tick-advance={str(is_hurried).lower()}"
    # So long that nobody can be elected before the others are connected.
    times = ["--heartbeat-interval=500", "--election-timeout=5000"]
    with Cluster(Kind.ETCDPY, tmp_path, 3, flag, *times) as cluster:
        cluster.start()
        hurried = [member for member in cluster.members if HURRIED in member.log_text()]
        assert bool(hurried) is is_hurried
