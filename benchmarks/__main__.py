"""The command: which parts, on which servers, how long; the table and the kept JSON."""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import catchup, failover, million, replication, throughput, watchers, wrk
from benchmarks.probe import quantile
from benchmarks.samples import Sample, table
from tests.harness.cluster import Cluster
from tests.harness.process import ROOT, Kind, Limits, Member

RESULTS = Path(__file__).with_name("results")
SPARE_FILES = 500  # open files of a process beside the watchers' sockets
CLUSTER_SIZE = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run, from the command line."""

    parts: tuple[str, ...]
    kinds: tuple[Kind, ...]
    seconds: int
    rounds: int
    connections: tuple[int, ...]
    watchers: int
    keys: int
    failovers: int
    directory: Path | None


def parse(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="may be repeated")
    parser.add_argument("--server", action="append", type=Kind, choices=list(Kind))
    parser.add_argument("--quick", action="store_true", help="all parts, small, a few minutes")
    parser.add_argument("--seconds", type=int, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, help="how often each case is run on each server")
    parser.add_argument("--connections", type=int, action="append", help="may be repeated")
    parser.add_argument("--watchers", type=int)
    parser.add_argument("--keys", type=int)
    parser.add_argument("--failovers", type=int, help="how often each server's leader is killed")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    found = parser.parse_args(arguments)
    quick = found.quick
    return Plan(
        tuple(found.only or PARTS),
        tuple(kind for kind in (found.server or Kind) if _is_usable(kind)),
        found.seconds or (1 if quick else 4),
        found.rounds or (1 if quick else 3),
        tuple(found.connections or ((64,) if quick else (1, 64, 256))),
        found.watchers or (500 if quick else 10_000),
        found.keys or (20_000 if quick else 1_000_000),
        found.failovers or (2 if quick else 20),
        found.directory,
    )


def _is_usable(kind: Kind) -> bool:
    if not kind.is_present():
        print(f"{kind} is not on PATH: measured without it, no ratios")
    return kind.is_present()


@contextlib.contextmanager
def running(plan: Plan, kinds: tuple[Kind, ...]) -> Iterator[list[Member]]:
    """Start a fresh member of each kind; end them and remove what they wrote."""
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.ExitStack() as stack:
        members = []
        for kind in kinds:
            place = stack.enter_context(tempfile.TemporaryDirectory(dir=plan.directory))
            member = Member(kind, Path(place), limits=Limits(open_files=files_max))
            members.append(stack.enter_context(member).start())
        yield members


@contextlib.contextmanager
def clustered(plan: Plan, kinds: tuple[Kind, ...], *options: str) -> Iterator[list[Cluster]]:
    """Start a fresh cluster of each kind; end them and remove what they wrote."""
    with contextlib.ExitStack() as stack:
        clusters = []
        for kind in kinds:
            place = stack.enter_context(tempfile.TemporaryDirectory(dir=plan.directory))
            cluster = stack.enter_context(Cluster(kind, Path(place), CLUSTER_SIZE, *options))
            cluster.start()
            clusters.append(cluster)
        yield clusters


def run_throughput(plan: Plan) -> Iterator[Sample]:
    """Both servers run; each case goes to them by turns."""
    if not wrk.is_present():
        print("wrk is not on PATH (Debian package wrk): no throughput")
        return
    with running(plan, plan.kinds) as members:
        for member in members:
            throughput.prepare(member)
        for case in throughput.cases(plan.connections):
            print(f"  {case}", file=sys.stderr, flush=True)
            for _ in range(plan.rounds):
                for member in members:
                    yield from throughput.measure(member, case, plan.seconds)


def run_watchers(plan: Plan) -> Iterator[Sample]:
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES
    count = min(plan.watchers, room)
    if count < plan.watchers:
        print(f"only {count:,} watchers: the limit of open files is {room + SPARE_FILES:,}")
    for kind in plan.kinds:
        print(f"  {count:,} watchers on {kind}", file=sys.stderr, flush=True)
        with running(plan, (kind,)) as (member,):
            yield from watchers.measure(member, count, plan.rounds)


def run_million(plan: Plan) -> Iterator[Sample]:
    if not wrk.is_present():
        print("wrk is not on PATH (Debian package wrk): no load of a million keys")
        return
    for kind in plan.kinds:
        print(f"  {plan.keys:,} keys on {kind}", file=sys.stderr, flush=True)
        with running(plan, (kind,)) as (member,):
            yield from million.measure(member, plan.keys)


def run_failover(plan: Plan) -> Iterator[Sample]:
    """Both clusters run all the time; each round ends one's leader and then the other's."""
    ways = (
        ("leader killed with -9, next write", failover.kill, plan.failovers),
        ("leader asked to end, longest pause", failover.terminate, max(1, plan.failovers // 4)),
    )
    with clustered(plan, plan.kinds) as clusters:
        for case, end, rounds in ways:
            print(f"  {case}", file=sys.stderr, flush=True)
            found: dict[Kind, list[float]] = {kind: [] for kind in plan.kinds}
            for _ in range(rounds):
                for cluster in clusters:
                    found[cluster.kind].append(end(cluster) * 1000)
            for kind, pauses_ms in found.items():
                yield from (Sample(case, "ms", kind, pause_ms) for pause_ms in pauses_ms)
                yield Sample(case, "p90 ms", kind, quantile(pauses_ms, 0.9))


def run_catchup(plan: Plan) -> Iterator[Sample]:
    if not wrk.is_present():
        print("wrk is not on PATH (Debian package wrk): nothing to catch up with")
        return
    for kind in plan.kinds:
        print(f"  {plan.keys:,} keys on three of {kind}", file=sys.stderr, flush=True)
        with clustered(plan, (kind,), *catchup.options(plan.keys)) as (cluster,):
            yield from catchup.measure(cluster, plan.keys)


def run_replication(plan: Plan) -> Iterator[Sample]:
    """Both clusters run; each case goes to them by turns."""
    if not wrk.is_present():
        print("wrk is not on PATH (Debian package wrk): no writes to three members")
        return
    with clustered(plan, plan.kinds) as clusters:
        for case in replication.cases(plan.connections):
            print(f"  {case.load}", file=sys.stderr, flush=True)
            for _ in range(plan.rounds):
                for cluster in clusters:
                    yield from replication.measure(cluster, case, plan.seconds)


PARTS: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "throughput": run_throughput,
    "watchers": run_watchers,
    "million": run_million,
    "failover": run_failover,
    "replication": run_replication,
    "catchup": run_catchup,
}


def main(arguments: list[str]) -> int:
    plan = parse(arguments)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    samples: list[Sample] = []
    started_s = time.time()
    for part in plan.parts:
        print(f"{part}:", file=sys.stderr, flush=True)
        found = list(PARTS[part](plan))
        samples += found
        if found:
            print(f"\n{part}\n{table(found, plan.kinds)}\n", flush=True)
    print(f"{time.time() - started_s:.0f} s; kept in {keep(plan, samples, started_s)}")
    return 0


def keep(plan: Plan, samples: list[Sample], started_s: float) -> Path:
    """Write the run as JSON and return where."""
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started_s))
    path = RESULTS / f"{stamp}.json"
    run = {
        "started": stamp,
        "machine": machine(),
        "plan": {**asdict(plan), "directory": str(plan.directory or tempfile.gettempdir())},
        "samples": [asdict(sample) for sample in samples],
    }
    path.write_text(json.dumps(run, indent=1))
    return path


def machine() -> dict[str, str | int | None]:
    """Return what a reader needs to judge the figures."""
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "etcd": _output("etcd", "--version").partition("\n")[0],
    }


def _output(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return ""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
