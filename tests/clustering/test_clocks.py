"""How far other members' clocks are off, from what they answer."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from etcdpy.clustering.clocks import find_time
from etcdpy.http.health import get_probing
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind, wait_until
from tests.http.backend import TreeBackend
from tests.http.faces import ask

DEADLINE_S = 60.0
OFFSET_S = 30.0


@pytest.mark.parametrize(
    ("answer", "time_ns"),
    [
        (b'{"OK":true,"Now":"1970-01-01T00:00:01Z"}\n', 1_000_000_000),
        (b'{"OK":true,"Now":"1970-01-01T00:00:01.5Z"}\n', 1_500_000_000),
        (b'{"OK":true,"Now":"1970-01-02T00:00:00.000000001Z"}\n', 86_400_000_000_001),
        (b'{"OK":true,"Now":"1970-13-01T00:00:01Z"}\n', None),
        (b"404 page not found\n", None),
        (b"", None),
    ],
)
def test_the_time_is_read_to_the_nanosecond(answer: bytes, time_ns: int | None) -> None:
    assert find_time(answer) == time_ns


def test_what_a_member_says_of_its_time_is_read() -> None:
    before_ns = time.time_ns()
    told_ns = find_time(ask(get_probing, TreeBackend()).body)
    assert told_ns is not None
    assert before_ns <= told_ns <= time.time_ns()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 2, clocks=True) as members:
        yield members


def find_difference(member: ClusterMember, other: ClusterMember) -> float | None:
    name = f'etcdpy_clock_difference_seconds{{To="{other.id}"}} '
    lines = member.request("GET", "/metrics").body.decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), None)


def test_a_clock_that_is_off_is_shown_and_said_by_the_others(cluster: Cluster) -> None:
    first, second = cluster.all
    second.move_clock(OFFSET_S)
    cluster.start()
    cluster.identify()
    for member, other, ahead in ((first, second, 1), (second, first, -1)):
        said = f"the clock difference against peer {other.id} is too high ["
        wait_until(partial(has, member, said), DEADLINE_S, "the difference is said")
        assert find_difference(member, other) == pytest.approx(ahead * OFFSET_S, abs=5)


def has(member: ClusterMember, said: str) -> bool:
    return said in member.log_text()
