"""Writes to several members on this one machine, through the leader and through a follower."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import throughput
from benchmarks.samples import Sample
from benchmarks.throughput import PUT_MANY, Case
from tests.harness.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Target:
    """A load, and which member it goes to."""

    is_leader: bool
    load: Case


def cases(size: int, connections: Sequence[int]) -> list[Target]:
    """Return writes to many keys, for each of both roles; to a leader of five, one."""
    if size != 3:
        return [Target(True, Case(f"{size} members, PUT 10k keys, leader", PUT_MANY, 64))]
    return [
        Target(is_leader, Case(f"{size} members, PUT 10k keys, {role}", PUT_MANY, count))
        for is_leader, role in ((True, "leader"), (False, "follower"))
        for count in connections
    ]


def measure(
    clusters: Sequence[Cluster], target: Target, seconds: int, rounds: int
) -> Iterator[Sample]:
    """Run one case on each cluster by turns."""
    before = {cluster.kind: cluster.leader() for cluster in clusters}
    urls = [(cluster.kind, _url(cluster, target)) for cluster in clusters]
    yield from throughput.measure(urls, target.load, seconds, rounds)
    for cluster in clusters:
        if cluster.leader() is not before[cluster.kind]:
            yield Sample(str(target.load), "leader lost", cluster.kind, 1)


def _url(cluster: Cluster, target: Target) -> Callable[[], str]:
    def find() -> str:
        leader = cluster.leader()
        others = [one for one in cluster.members if one is not leader]
        return (leader if target.is_leader else others[0]).client_url

    return find
