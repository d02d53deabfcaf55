"""Requests per second and latency: GET, quorum GET, and PUT on one key and on 10,000."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import wrk
from benchmarks.samples import Sample
from benchmarks.wrk import Load, Requests
from tests.harness.process import Kind, Member

KEYS = 10_000
VALUE = "v" * 256
GET = Requests("get")
QUORUM_GET = Requests("quorum")
PUT_ONE = Requests("put")
PUT_MANY = Requests("put", KEYS)
#: Beside the usual numbers of connections, for a curve.
CURVE_CONNECTIONS = (4, 16, 1024)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request at one number of connections."""

    name: str
    requests: Requests
    connections: int

    def __str__(self) -> str:
        return f"{self.name}, {self.connections} conn"


def cases(connections: Sequence[int], curve: Sequence[int]) -> list[Case]:
    """Return the cases; `curve` are more connections, for the two kinds that matter most."""
    both = sorted({*connections, *curve})
    kinds = [
        ("GET", GET, both),
        ("quorum GET", QUORUM_GET, connections),
        ("PUT 1 key", PUT_ONE, connections),
        ("PUT 10k keys", PUT_MANY, both),
    ]
    return [Case(name, requests, count) for name, requests, counts in kinds for count in counts]


def value_cases() -> list[Case]:
    """Return reads and writes of values of several sizes."""
    return [
        Case(f"{verb} {size} B", Requests(mode, keys, size), 64)
        for verb, mode, keys in (("GET", "get", 1), ("PUT", "put", 100))
        for size in VALUE_SIZES
    ]


VALUE_SIZES = (16, 256, 4096, 65536)


def prepare(member: Member, size: int = len(VALUE)) -> None:
    """Write the key that the reads read."""
    member.request("PUT", "/v2/keys/bench/get", {"value": "v" * size})


def measure(
    targets: Sequence[tuple[Kind, Callable[[], str]]], case: Case, seconds: int, rounds: int
) -> Iterator[Sample]:
    """Run one case on each target by turns, `rounds` times; a target says its URL each time.

    The rates are one for each round; the latencies are those of all requests of all rounds.
    """
    print(f"  {case}", file=sys.stderr, flush=True)
    loads: dict[Kind, list[Load]] = {kind: [] for kind, _ in targets}
    for _ in range(rounds):
        for kind, url in targets:
            loads[kind].append(wrk.run(url(), case.connections, seconds, case.requests))
    for kind, found in loads.items():
        yield from told(case, kind, found)


def told(case: Case, kind: Kind, found: Sequence[Load]) -> Iterator[Sample]:
    """Yield what the rounds of one case have shown of one server."""
    yield from (Sample(str(case), "req/s", kind, load.per_s) for load in found)
    yield Sample(str(case), "p50 ms", kind, wrk.pooled_ms(found, 0.5))
    yield Sample(str(case), "p99 ms", kind, wrk.pooled_ms(found, 0.99))
    errors = sum(load.errors for load in found)
    if errors:
        yield Sample(str(case), "errors", kind, errors)


def targets(members: Sequence[Member]) -> list[tuple[Kind, Callable[[], str]]]:
    """Return single members as targets."""
    return [(member.kind, _url_of(member)) for member in members]


def _url_of(member: Member) -> Callable[[], str]:
    return lambda: member.client_url
