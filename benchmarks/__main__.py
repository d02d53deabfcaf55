"""The command: runs the parts of a plan, prints a table of each, keeps all as JSON."""

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    authenticated,
    catchup,
    failover,
    kept,
    million,
    proxy,
    replication,
    throughput,
    units,
    watchers,
    wrk,
)
from benchmarks.plan import Plan, parse, runs_of_wrk, waits_s
from benchmarks.probe import quantile
from benchmarks.samples import Sample, table
from tests.harness.cluster import Cluster
from tests.harness.process import Kind, Limits, Member

SPARE_FILES = 500  # open files of a process beside the watchers' sockets
CLUSTER_SIZES = (3, 5)


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
def clustered(
    plan: Plan, kinds: tuple[Kind, ...], size: int, *options: str
) -> Iterator[list[Cluster]]:
    """Start a fresh cluster of each kind; end them and remove what they wrote."""
    with contextlib.ExitStack() as stack:
        clusters = []
        for kind in kinds:
            place = stack.enter_context(tempfile.TemporaryDirectory(dir=plan.directory))
            cluster = stack.enter_context(Cluster(kind, Path(place), size, *options))
            cluster.start()
            clusters.append(cluster)
        yield clusters


def run_throughput(plan: Plan) -> Iterator[Sample]:
    """Both servers run; each case goes to them by turns."""
    with running(plan, plan.kinds) as members:
        for member in members:
            throughput.prepare(member)
        curve = throughput.CURVE_CONNECTIONS if plan.has_curves else ()
        for case in throughput.cases(plan.connections, curve):
            yield from throughput.measure(
                throughput.targets(members), case, plan.seconds, plan.rounds
            )


def run_values(plan: Plan) -> Iterator[Sample]:
    with running(plan, plan.kinds) as members:
        for case in throughput.value_cases():
            for member in members:
                throughput.prepare(member, case.requests.size)
            yield from throughput.measure(
                throughput.targets(members), case, plan.seconds, plan.rounds
            )


def run_watchers(plan: Plan) -> Iterator[Sample]:
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES
    count = min(plan.watchers, room)
    if count < plan.watchers:
        print(f"only {count:,} watchers: the limit of open files is {room + SPARE_FILES:,}")
    for kind in plan.kinds:
        print(f"  {count:,} watchers on {kind}", file=sys.stderr, flush=True)
        with running(plan, (kind,)) as (member,):
            yield from watchers.measure(member, count, plan.seconds, plan.rounds)


def run_million(plan: Plan) -> Iterator[Sample]:
    for kind in plan.kinds:
        print(f"  {plan.keys:,} keys on {kind}", file=sys.stderr, flush=True)
        kinds = (kind,) * len(million.stages(plan.keys))
        with running(plan, kinds) as (member, *smaller):
            yield from million.measure(member, smaller, plan.keys, plan.seconds, plan.rounds)


def run_auth(plan: Plan) -> Iterator[Sample]:
    with running(plan, plan.kinds) as members:
        for member in members:
            throughput.prepare(member)
        yield from authenticated.measure(members, plan.seconds, plan.rounds)


def run_failover(plan: Plan) -> Iterator[Sample]:
    """Both clusters run all the time; each round ends one's leader and then the other's."""
    ways = (
        ("leader killed with -9, next write", failover.kill, plan.failovers),
        ("leader asked to end, longest pause", failover.terminate, max(1, plan.failovers // 4)),
    )
    with clustered(plan, plan.kinds, 3) as clusters:
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
    for kind in plan.kinds:
        print(f"  {plan.catchup_keys:,} keys on three of {kind}", file=sys.stderr, flush=True)
        options = catchup.options(plan.catchup_keys)
        with clustered(plan, (kind,), 3, *options) as (cluster,):
            yield from catchup.measure(cluster, plan.catchup_keys)


def run_replication(plan: Plan) -> Iterator[Sample]:
    """Both clusters run; each case goes to them by turns."""
    for size in CLUSTER_SIZES:
        with clustered(plan, plan.kinds, size) as clusters:
            for case in replication.cases(size, plan.connections):
                yield from replication.measure(clusters, case, plan.seconds, plan.rounds)


def run_proxy(plan: Plan) -> Iterator[Sample]:
    """As many watches as plain proxies can hold too, then as many as one that coalesces can."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES - proxy.OWN_FILES
    wanted = 2 * plan.watchers
    few, many = min(wanted // 10, room // 2), min(wanted, room)
    if many < wanted:
        print(f"only {many:,} watchers of {wanted:,}: the limit of open files")
    with proxy.standing(plan.kinds, plan.directory, few) as pairs:
        proxies = [pair.proxy for pair in pairs]
        for one in proxies:
            throughput.prepare(one)
        for case in proxy.cases(plan.connections):
            yield from throughput.measure(
                throughput.targets(proxies), case, plan.seconds, plan.rounds
            )
        for pair in pairs:
            yield from proxy.measure(pair, few, plan.rounds)
    if Kind.ETCDPY in plan.kinds:
        with proxy.standing((Kind.ETCDPY,), plan.directory, many) as (pair,):
            yield from proxy.measure(pair, many, plan.rounds)


def run_units(plan: Plan) -> Iterator[Sample]:
    for kind in plan.kinds:
        with units.standing(kind, plan.directory, plan.watchers // 4) as stand:
            yield from units.measure(stand, plan.seconds, plan.rounds)


RUN: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "throughput": run_throughput,
    "values": run_values,
    "watchers": run_watchers,
    "million": run_million,
    "replication": run_replication,
    "auth": run_auth,
    "proxy": run_proxy,
    "units": run_units,
    "failover": run_failover,
    "catchup": run_catchup,
}
WITHOUT_WRK = {"failover"}


def main(arguments: list[str]) -> int:
    plan = parse(arguments)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    minutes = (waits_s(plan) + runs_of_wrk(plan) * plan.seconds) / 60
    print(f"about {minutes:.0f} minutes: {plan.rounds} rounds of {plan.seconds} s", flush=True)
    samples: list[Sample] = []
    started_s = time.time()
    for part in plan.parts:
        if part not in WITHOUT_WRK and not wrk.is_present():
            print(f"wrk is not on PATH (Debian package wrk): no {part}")
            continue
        print(f"{part}:", file=sys.stderr, flush=True)
        part_began_s = time.time()
        found = list(RUN[part](plan))
        samples += found
        if found:
            print(f"\n{part} ({time.time() - part_began_s:.0f} s)\n{table(found, plan.kinds)}\n")
            sys.stdout.flush()
    run = kept.Run.of(plan, arguments, started_s, samples)
    print(f"{time.time() - started_s:.0f} s; kept in {run.keep(plan.json)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
