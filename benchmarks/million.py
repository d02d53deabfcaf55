"""A million keys: the time to write them, memory, restart, and the pauses that clients feel.

Single requests are measured at smaller sizes too, each on a member of its own, by turns.  The load
runs with the default snapshot count, so it crosses several snapshots; then the member is killed and
started again, and its tree is made to be written out once more while hardly anything else happens.
Last come the operations that concern all keys at once.

The load never rests: its `p99` is of requests that queue behind others, and wrk counts for a pause
also what it would have sent meanwhile.  So a pause of a second shows in it; what one client alone
would feel is the probe's.
"""

import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import large, throughput, wrk
from benchmarks.memory import MIB, PeakMemory, pss_bytes
from benchmarks.probe import Probe, quantile
from benchmarks.samples import Sample
from benchmarks.settling import wait_for_snapshots
from benchmarks.throughput import Case
from benchmarks.wrk import Load, Requests
from tests.harness.process import Member, ServerError, wait_until

CONNECTIONS = 64
STAGES = (1_000, 10_000, 100_000)
LOAD_S_MAX = 900
QUIET_S = 3.0
SNAPSHOT_DEADLINE_S = 120.0
# One probe of PUT and GET takes some milliseconds: a snapshot is due within a few seconds.
SNAPSHOT_COUNT = 500


def stages(keys: int) -> list[int]:
    """Return the sizes at which single requests are measured."""
    return [*(size for size in STAGES if size < keys), keys]


def measure(
    member: Member, smaller: Sequence[Member], keys: int, seconds: int, rounds: int
) -> Iterator[Sample]:
    """Measure one freshly started member, and `smaller` ones, of as many keys as `stages` says."""
    case = f"{keys:,} keys"
    filled = list(zip(stages(keys), [*smaller, member], strict=True))
    for size, small in filled[:-1]:
        wrk.fill(small.client_url, CONNECTIONS, LOAD_S_MAX, size)

    def sample(name: str, unit: str, value: float) -> Sample:
        return Sample(f"{case}: {name}", unit, member.kind, value)

    with PeakMemory(member.pid) as memory, Probe(member.client_url) as probe:
        load = wrk.fill(member.client_url, CONNECTIONS, LOAD_S_MAX, keys)
    for number in (0, keys // 2, keys - 1):
        path = f"/v2/keys/fill/{number % 1000:03}/{number}"
        assert member.request("GET", path).status == 200, f"the load left out {path}"
    yield sample("load", "req/s", load.per_s)
    yield sample("load, all requests", "p99 ms", wrk.pooled_ms([load], 0.99))
    yield from _pauses(member, f"{case}: load", probe)
    if load.errors:
        yield sample("load", "errors", load.errors)
    yield sample("memory after the load", "MiB", pss_bytes(member.pid) / MIB)
    yield sample("memory at peak", "MiB", memory.peak_bytes / MIB)
    yield from _single_requests(filled, seconds, rounds)
    for small in smaller:
        small.stop()
    yield sample("restart", "s to ready", _restart(member))
    yield sample("memory after the restart", "MiB", pss_bytes(member.pid) / MIB)
    with Probe(member.client_url) as probe:
        time.sleep(QUIET_S)
    yield from _pauses(member, f"{case}: quiet", probe)
    yield from _snapshot_pauses(member, case)
    member.stop()
    member.options = ()
    member.start(LOAD_S_MAX)
    yield from large.measure(member, keys, is_filled=True)


def _single_requests(
    filled: Sequence[tuple[int, Member]], seconds: int, rounds: int
) -> Iterator[Sample]:
    """Read and write keys drawn at random, on members of these sizes by turns."""
    for verb, mode in (("GET", "read"), ("PUT", "rewrite")):
        cases = [
            (Case(f"{verb} of {size:,} keys", Requests(mode, size), CONNECTIONS), member)
            for size, member in filled
        ]
        print(f"  {verb} by the number of keys", file=sys.stderr, flush=True)
        loads: list[list[Load]] = [[] for _ in cases]
        for _ in range(rounds):
            for found, (case, member) in zip(loads, cases, strict=True):
                found.append(wrk.run(member.client_url, CONNECTIONS, seconds, case.requests))
        for found, (case, member) in zip(loads, cases, strict=True):
            yield from throughput.told(case, member.kind, found)


def _restart(member: Member) -> float:
    member.kill()
    start = time.perf_counter()
    member.start(LOAD_S_MAX)
    return time.perf_counter() - start


def _snapshot_pauses(member: Member, case: str) -> Iterator[Sample]:
    member.stop()
    member.options = ("--snapshot-count", str(SNAPSHOT_COUNT))
    member.start(LOAD_S_MAX)
    wait_for_snapshots([member])
    before = _snapshots(member)
    with PeakMemory(member.pid) as memory, Probe(member.client_url) as probe:
        try:
            # The first can be due after a few writes; up to the second there are enough to judge.
            wait_until(
                lambda: len(_snapshots(member) - before) >= 2, SNAPSHOT_DEADLINE_S, "two snapshots"
            )
        except ServerError as error:
            print(f"{member.kind}: {error}")
            return
    yield from _pauses(member, f"{case}: snapshot", probe)
    yield Sample(f"{case}: memory at peak, snapshot", "MiB", member.kind, memory.peak_bytes / MIB)


def _snapshots(member: Member) -> set[str]:
    """Return the finished snapshot files, by the name that either server gives them."""
    return {path.name for path in member.data_dir.rglob("*") if path.suffix in _SUFFIXES}


_SUFFIXES = {".snap", ".snapshot"}


def _pauses(member: Member, case: str, probe: Probe) -> Iterator[Sample]:
    for name, values in (("GET", probe.delays.get_ms), ("PUT", probe.delays.put_ms)):
        yield Sample(f"{case}, {name} probe", "p99 ms", member.kind, quantile(values, 0.99))
        yield Sample(f"{case}, {name} probe", "worst ms", member.kind, max(values, default=0.0))
    if probe.failures:
        yield Sample(f"{case}, probe", "errors", member.kind, probe.failures)
