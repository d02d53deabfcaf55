"""Writes to three members on this one machine, through the leader and through a follower."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import throughput
from benchmarks.samples import Sample
from benchmarks.throughput import Case
from tests.harness.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Target:
    """A load, and which member it goes to."""

    is_leader: bool
    load: Case


def cases(connections: tuple[int, ...]) -> list[Target]:
    """Return the cases of `throughput` that write to many keys, for each of both roles."""
    return [
        Target(is_leader, Case(f"PUT 10k keys, {role}", "put", throughput.KEYS, count))
        for is_leader, role in ((True, "leader"), (False, "follower"))
        for count in connections
    ]


def measure(cluster: Cluster, target: Target, seconds: int) -> Iterator[Sample]:
    """Run one case once."""
    leader = cluster.leader()
    others = [one for one in cluster.members if one is not leader]
    member = leader if target.is_leader else others[0]
    yield from throughput.measure(member, target.load, seconds)
    if cluster.leader() is not leader:
        yield Sample(str(target.load), "leader lost", cluster.kind, 1)
