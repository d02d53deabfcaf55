"""A follower that missed so much that only a snapshot helps, and what the leader's clients feel.

All keys are written, then one follower is stopped and all keys are written again: nothing that it
holds is of use any more, and the log no longer has the entries that it lacks.  It is started while
a client writes to the leader at an even pace, as one did before it was stopped.  Each time the
members' own snapshots of what was written before are over first: they are not what is measured.
"""

import re
import time
from collections.abc import Iterator

from benchmarks import wrk
from benchmarks.pacer import Pacer, delays_ms
from benchmarks.probe import quantile
from benchmarks.samples import Sample
from benchmarks.settling import wait_for_snapshots
from tests.harness.cluster import UNANSWERED, Cluster
from tests.harness.process import Kind, Member, ServerError, wait_until

CONNECTIONS = 64
LOAD_S_MAX = 1800
PER_S = 200
NORMAL_S = 20.0
DRAIN_S = 10.0
CATCH_UP_DEADLINE_S = 600.0
KEY = "/v2/keys/fill/000/0"
SNAPSHOT_SENT = re.compile(r"database snapshot \[.*\] sent out")  # both servers' words
# Entries to a snapshot: etcd's default for a million keys.  Only a snapshot shortens the log, and
# a tail of 5,000 entries is kept: fewer keys need snapshots more often, but not so often that the
# paced writes alone make one due.
SNAPSHOT_COUNT_MAX = 100_000
SNAPSHOTS_PER_LOAD = 3


def options(keys: int) -> tuple[str, ...]:
    """Return the flags of the members that are to hold `keys` keys."""
    return ("--snapshot-count", str(min(SNAPSHOT_COUNT_MAX, keys // SNAPSHOTS_PER_LOAD)))


def measure(cluster: Cluster, keys: int) -> Iterator[Sample]:
    """Measure one freshly started cluster.  Raises: ServerError when there was no snapshot."""
    case = f"{keys:,} keys"
    load = _fill(cluster, keys)
    yield Sample(f"{case}: load, all followers up", "req/s", cluster.kind, load.per_s)
    leader = cluster.leader()
    normal = _normal(leader)
    yield from _delays(f"{case}: normal", cluster.kind, normal)

    follower = next(one for one in cluster.members if one is not leader)
    follower.stop()
    load = _fill(cluster, keys)
    yield Sample(f"{case}: load, one follower down", "req/s", cluster.kind, load.per_s)
    leader = cluster.leader()
    sent_before = _snapshots_sent(leader)
    with Pacer([leader.client_url], PER_S, DRAIN_S) as pacer:
        from_s = time.perf_counter()
        follower.launch()
        wait_until(lambda: _has_caught_up(leader, follower), CATCH_UP_DEADLINE_S, "catching up")
        to_s = time.perf_counter()
    if _snapshots_sent(leader) == sent_before:
        raise ServerError(f"no snapshot was sent\n{leader.log_tail()}")
    during = delays_ms(pacer.writes, from_s, to_s)
    yield Sample(f"{case}: follower caught up", "s", cluster.kind, to_s - from_s)
    yield from _delays(f"{case}: catching up", cluster.kind, during)
    for share, unit in ((0.5, "p50 ratio"), (0.99, "p99 ratio")):
        ratio = quantile(during, share) / quantile(normal, share)
        yield Sample(f"{case}: catching up / normal", unit, cluster.kind, ratio)
    if pacer.failures:
        yield Sample(f"{case}: catching up", "errors", cluster.kind, pacer.failures)


def _fill(cluster: Cluster, keys: int) -> wrk.Load:
    """Write every key once.  Raises: ServerError if that took too long."""
    leader = cluster.leader()
    before = leader.request("GET", "/v2/keys/").index
    load = wrk.fill(leader.client_url, CONNECTIONS, LOAD_S_MAX, keys)
    wait_for_snapshots(cluster.running)
    if leader.request("GET", "/v2/keys/").index - before < keys:
        raise ServerError(f"{keys:,} keys were not written within {LOAD_S_MAX} s")
    return load


def _normal(leader: Member) -> list[float]:
    """Return how long paced writes take while nothing else happens."""
    with Pacer([leader.client_url], PER_S, DRAIN_S) as pacer:
        from_s = time.perf_counter()
        time.sleep(NORMAL_S)
        to_s = time.perf_counter()
    return delays_ms(pacer.writes, from_s, to_s)


def _delays(case: str, kind: Kind, found: list[float]) -> Iterator[Sample]:
    yield Sample(f"{case}, {PER_S} PUT/s", "p50 ms", kind, quantile(found, 0.5))
    yield Sample(f"{case}, {PER_S} PUT/s", "p99 ms", kind, quantile(found, 0.99))
    yield Sample(f"{case}, {PER_S} PUT/s", "worst ms", kind, max(found))


def _snapshots_sent(leader: Member) -> int:
    return len(SNAPSHOT_SENT.findall(leader.log_text()))


def _has_caught_up(leader: Member, follower: Member) -> bool:
    """Tell whether the follower has all that the leader had a moment ago."""
    try:
        follower.request("GET", KEY, deadline_s=1.0)  # does not answer before it serves
        index = leader.request("GET", KEY).index
        return follower.request("GET", KEY).index >= index
    except UNANSWERED:
        return False
