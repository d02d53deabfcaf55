"""A proxy before one member: what requests through it cost, and what a waiting watch costs.

Ours holds all watches of one key as one at the member; etcd's has a connection to the member for
each, and sends nothing of an answer before the event, so that only the member knows who waits.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import throughput, watchers
from benchmarks.memory import pss_bytes
from benchmarks.samples import Sample
from benchmarks.throughput import Case
from tests.harness.process import Kind, Limits, Member, wait_until
from tests.harness.proxy import Proxy

DEADLINE_S = 120.0
#: Beside the watches of clients: those that a proxy needs itself, and what is on its way out.
OWN_FILES = 1000
#: With fewer a proxy could not carry the requests of `cases`.
FILES_MIN = 4096


@dataclass(frozen=True, slots=True)
class Pair:
    """A member, and the proxy before it."""

    member: Member
    proxy: Proxy


@contextlib.contextmanager
def standing(kinds: Sequence[Kind], place: Path | None, count: int) -> Iterator[list[Pair]]:
    """Start a fresh pair of each kind with files for `count` watches; end and remove them."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for kind in kinds:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
            each = 1 if kind is Kind.ETCDPY else 2
            limits = Limits(open_files=max(each * count + OWN_FILES, FILES_MIN))
            options = ["--proxy-dial-timeout=30000"]  # a busy machine is not a dead member
            options += ["--proxy-coalesce"] if kind is Kind.ETCDPY else []
            member = Member(kind, directory / "member", limits=limits)
            stack.enter_context(member).start()
            proxy = Proxy(kind, directory / "proxy", [member], *options, limits=limits)
            stack.enter_context(proxy).start()
            wait_until(proxy.endpoints_are_known, DEADLINE_S, "the member is known")
            pairs.append(Pair(member, proxy))
        yield pairs


def cases(connections: Sequence[int]) -> list[Case]:
    """Return the requests that go through a proxy."""
    kinds = (("GET by proxy", throughput.GET), ("PUT 10k keys by proxy", throughput.PUT_MANY))
    return [Case(name, requests, count) for name, requests in kinds for count in connections]


def measure(pair: Pair, count: int, rounds: int) -> Iterator[Sample]:
    """Let `count` watches wait at the proxy, write once at the member; `rounds` times over."""
    member, proxy = pair.member, pair.proxy
    case = f"{count:,} watchers by proxy"
    print(f"  {case} of {proxy.kind}", file=sys.stderr, flush=True)
    member.request("PUT", watchers.KEY, {"value": "0"})
    before, member_before = pss_bytes(proxy.pid), pss_bytes(member.pid)
    crowd = watchers.Crowd(proxy, count, is_told_at_once=proxy.kind is Kind.ETCDPY)
    try:
        _wait_registered(pair, count)
        each = (pss_bytes(proxy.pid) - before) / count
        yield Sample(case, "kB each", proxy.kind, each / 1000)
        each = (pss_bytes(member.pid) - member_before) / count
        yield Sample(case, "kB each at the member", proxy.kind, each / 1000)
        yield Sample(case, "watches at the member", proxy.kind, watching(member))
        for number in range(rounds):
            if number:
                crowd.wait_again()
                _wait_registered(pair, count)
            start_s = time.perf_counter()
            member.request("PUT", watchers.KEY, {"value": str(number)})
            crowd.receive_all()
            yield Sample(case, "ms to last", proxy.kind, (time.perf_counter() - start_s) * 1000)
    finally:
        crowd.close()


def _wait_registered(pair: Pair, count: int) -> None:
    """Wait until all clients wait where they are told of the next write."""
    wanted = 1 if pair.proxy.kind is Kind.ETCDPY else count
    words = f"{wanted} watches at the member"
    wait_until(lambda: watching(pair.member) >= wanted, DEADLINE_S, words)


def watching(member: Member) -> int:
    """Return how many watches wait at a member."""
    stats = member.request("GET", "/v2/stats/store", deadline_s=60.0).json()
    return int(stats["watchers"])
