"""A million keys: the time to write them, memory, restart, and the pauses that clients feel.

The load runs with the default snapshot count, so it crosses several snapshots; then the member is
killed and started again, and its tree is made to be written out once more while hardly anything
else happens.
"""

import time
from collections.abc import Iterator

from benchmarks import wrk
from benchmarks.memory import MIB, PeakMemory, pss_bytes
from benchmarks.probe import Probe, quantile
from benchmarks.samples import Sample
from tests.harness.process import Member, ServerError, wait_until

CONNECTIONS = 64
LOAD_S_MAX = 900
QUIET_S = 3.0
SETTLE_S = 3.0  # longer than the writing of one snapshot
SNAPSHOT_DEADLINE_S = 120.0
# One probe of PUT and GET takes some milliseconds: a snapshot is due within a few seconds.
SNAPSHOT_COUNT = 500


def measure(member: Member, keys: int) -> Iterator[Sample]:
    """Measure one freshly started member."""
    case = f"{keys:,} keys"

    def sample(name: str, unit: str, value: float) -> Sample:
        return Sample(f"{case}: {name}", unit, member.kind, value)

    with PeakMemory(member.pid) as memory, Probe(member.client_url) as probe:
        load = wrk.fill(member.client_url, CONNECTIONS, LOAD_S_MAX, keys)
    for number in (0, keys // 2, keys - 1):
        path = f"/v2/keys/fill/{number % 1000:03}/{number}"
        assert member.request("GET", path).status == 200, f"the load left out {path}"
    yield sample("load", "req/s", load.per_s)
    yield sample("load, all requests", "p99 ms", load.p99_us / 1000)
    yield from _pauses(member, f"{case}: load", probe)
    if load.errors:
        yield sample("load", "errors", load.errors)
    yield sample("memory after the load", "MiB", pss_bytes(member.pid) / MIB)
    yield sample("memory at peak", "MiB", memory.peak_bytes / MIB)
    yield sample("restart", "s to ready", _restart(member))
    yield sample("memory after the restart", "MiB", pss_bytes(member.pid) / MIB)
    with Probe(member.client_url) as probe:
        time.sleep(QUIET_S)
    yield from _pauses(member, f"{case}: quiet", probe)
    yield from _snapshot_pauses(member, case)


def _restart(member: Member) -> float:
    member.kill()
    start = time.perf_counter()
    member.start(LOAD_S_MAX)
    return time.perf_counter() - start


def _snapshot_pauses(member: Member, case: str) -> Iterator[Sample]:
    member.stop()
    member.options = ("--snapshot-count", str(SNAPSHOT_COUNT))
    member.start(LOAD_S_MAX)
    before = _settled_snapshots(member)
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


def _settled_snapshots(member: Member) -> set[str]:
    """Return the snapshot files once those that the start made due are finished."""
    found: set[str] | None = None
    while found != (now := _snapshots(member)):
        found = now
        time.sleep(SETTLE_S)
    return now


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
