"""What one request, one watch and one told event cost, in processor time of who does the work.

Processor time says what a machine can carry, whatever else runs beside: docs/scaling.md multiplies
these.  Three members and a proxy run on this one machine; each figure is that of one process.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import throughput, watchers, wrk
from benchmarks.memory import pss_bytes
from benchmarks.samples import Sample
from benchmarks.wrk import Requests
from tests.harness.cluster import Cluster
from tests.harness.process import Kind, Limits, Member, wait_until
from tests.harness.proxy import Proxy

CONNECTIONS = 64
MEMBERS = 3
DEADLINE_S = 120.0
_US_PER_S = 1_000_000
_UNIT = "cpu us each"


@dataclass(frozen=True, slots=True)
class Stand:
    """Three members, and a proxy before them."""

    cluster: Cluster
    proxy: Proxy
    watchers: int


@contextlib.contextmanager
def standing(kind: Kind, place: Path | None, count: int) -> Iterator[Stand]:
    """Start a fresh stand that can hold `count` watches at once; end and remove it."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
        cluster = stack.enter_context(Cluster(kind, directory / "cluster", MEMBERS))
        cluster.start()
        limits = Limits(open_files=2 * count + 4096)
        options = ["--proxy-dial-timeout=30000"]  # a busy machine is not a dead member
        options += ["--proxy-coalesce"] if kind is Kind.ETCDPY else []
        proxy = Proxy(kind, directory / "proxy", cluster.members, *options, limits=limits)
        stack.enter_context(proxy).start()
        wait_until(proxy.endpoints_are_known, DEADLINE_S, "the members are known")
        yield Stand(cluster, proxy, count)


def measure(stand: Stand, seconds: int, rounds: int) -> Iterator[Sample]:
    """Measure all units, one after the other."""
    leader = stand.cluster.leader()
    follower = next(one for one in stand.cluster.members if one is not leader)
    throughput.prepare(leader)
    for number in range(rounds):
        for name, server, of, requests in (
            ("GET, at the member", follower, follower, throughput.GET),
            ("GET by proxy, at the proxy", stand.proxy, stand.proxy, throughput.GET),
            ("PUT by three, at the leader", leader, leader, throughput.PUT_MANY),
            ("PUT by three, at a follower", leader, follower, throughput.PUT_MANY),
            ("PUT by proxy, at the proxy", stand.proxy, stand.proxy, throughput.PUT_MANY),
        ):
            yield from _measure_requests(name, server, of, requests, seconds)
        holders: list[tuple[str, Member]] = [("member", follower)]
        if stand.proxy.kind is Kind.ETCDPY:  # etcd's, a connection for each watch, is in `proxy`
            holders.append(("proxy", stand.proxy))
        for name, holder in holders:
            samples = _measure_watches(name, holder, leader, stand)
            # The memory of the first watches is used again by the next ones.
            yield from (sample for sample in samples if sample.unit == _UNIT or not number)


def cpu_us(member: Member) -> float:
    """Return the processor time that a server has used, in microseconds."""
    times = psutil.Process(member.pid).cpu_times()
    return (times.user + times.system) * _US_PER_S


def _measure_requests(
    name: str, server: Member, of: Member, requests: Requests, seconds: int
) -> Iterator[Sample]:
    print(f"  {name}, {server.kind}", file=sys.stderr, flush=True)
    before_us = cpu_us(of)
    load = wrk.run(server.client_url, CONNECTIONS, seconds, requests)
    yield Sample(name, _UNIT, server.kind, (cpu_us(of) - before_us) / max(1, load.requests))


def _measure_watches(name: str, server: Member, writer: Member, stand: Stand) -> Iterator[Sample]:
    print(f"  watches at the {name}, {server.kind}", file=sys.stderr, flush=True)
    count, kind = stand.watchers, server.kind
    writer.request("PUT", watchers.KEY, {"value": "0"})
    before_us, before = cpu_us(server), pss_bytes(server.pid)
    with contextlib.closing(watchers.Crowd(server, count)) as crowd:
        yield Sample(
            f"a watch opened, at the {name}", _UNIT, kind, (cpu_us(server) - before_us) / count
        )
        held = (pss_bytes(server.pid) - before) / count / 1000
        yield Sample(f"a watch that waits, at the {name}", "kB each", kind, held)
        before_us = cpu_us(server)
        writer.request("PUT", watchers.KEY, {"value": "1"})
        crowd.receive_all()
        told_us = (cpu_us(server) - before_us) / count
        yield Sample(f"a watch told, at the {name}", _UNIT, kind, told_us)
