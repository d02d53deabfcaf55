"""Requests per second and latency: GET, quorum GET, and PUT on one key and on 10,000."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import wrk
from benchmarks.samples import Sample
from tests.harness.process import Member

KEYS = 10_000
VALUE = "v" * 256


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request at one number of connections."""

    name: str
    mode: str
    keys: int
    connections: int

    def __str__(self) -> str:
        return f"{self.name}, {self.connections} conn"


def cases(connections: tuple[int, ...]) -> list[Case]:
    kinds = [
        ("GET", "get", 1),
        ("quorum GET", "quorum", 1),
        ("PUT 1 key", "put", 1),
        ("PUT 10k keys", "put", KEYS),
    ]
    return [Case(*kind, count) for kind in kinds for count in connections]


def prepare(member: Member) -> None:
    """Write the key that the reads read."""
    member.request("PUT", "/v2/keys/bench/get", {"value": VALUE})


def measure(member: Member, case: Case, seconds: int) -> Iterator[Sample]:
    """Run one case once."""
    load = wrk.run(member.client_url, case.connections, seconds, case.mode, case.keys)
    yield Sample(str(case), "req/s", member.kind, load.per_s)
    yield Sample(str(case), "p50 ms", member.kind, load.p50_us / 1000)
    yield Sample(str(case), "p99 ms", member.kind, load.p99_us / 1000)
    if load.errors:
        yield Sample(str(case), "errors", member.kind, load.errors)
