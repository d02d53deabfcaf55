"""How long nobody can write when the leader goes: killed with -9, or asked to end.

The client writes to the members that stay, to each of them every `1 / PER_S` seconds, without
waiting for the answers before: what is measured is so coarse and no coarser, however long a server
holds a write that came while there was no leader.
"""

import signal
import time
from itertools import pairwise

from benchmarks.pacer import Pacer
from tests.harness.cluster import UNANSWERED, Cluster
from tests.harness.process import Member, wait_until

PER_S = 200
WARM_WRITES = 20
DEADLINE_S = 60.0
SETTLE_S = 1.0  # more than the election timers' lower bound: nothing of the round before is left
KEY = "/v2/keys/whole"


def kill(cluster: Cluster) -> float:
    """Kill the leader; return the seconds to the next write that begins and is acknowledged."""
    leader = cluster.leader()
    with _survivors(cluster, leader) as pacer:
        _wait_for_writes(pacer)
        killed_s = time.perf_counter()
        leader.kill()
        after_s = _next_write_s(pacer, time.perf_counter()) - killed_s
    _make_whole(cluster, leader)
    return after_s


def terminate(cluster: Cluster) -> float:
    """Ask the leader to end; return the longest time without an acknowledged write, in seconds.

    Writes go on until the leader has handed over, so that the next one after the signal says
    nothing: the pause that a client feels can be anywhere up to the end of the process.
    """
    leader = cluster.leader()
    with _survivors(cluster, leader) as pacer:
        _wait_for_writes(pacer)
        asked_s = time.perf_counter()
        leader.stop(signal.SIGTERM)
        last_s = _next_write_s(pacer, time.perf_counter())
    times = [one.acknowledged_s for one in pacer.writes]
    times = [asked_s, *(at_s for at_s in times if asked_s < at_s <= last_s)]
    _make_whole(cluster, leader)
    return max(later - earlier for earlier, later in pairwise(times))


def _survivors(cluster: Cluster, leader: Member) -> Pacer:
    return Pacer([one.client_url for one in cluster.members if one is not leader], PER_S)


def _wait_for_writes(pacer: Pacer) -> None:
    wait_until(lambda: len(pacer.writes) >= WARM_WRITES, DEADLINE_S, "writes before the end")


def _next_write_s(pacer: Pacer, since_s: float) -> float:
    """Return when the first of the writes that begin after `since_s` is acknowledged."""

    def found() -> list[float]:
        return [one.acknowledged_s for one in pacer.writes if one.due_s > since_s]

    wait_until(lambda: bool(found()), DEADLINE_S, "a write after the leader's end")
    return min(found())


def _make_whole(cluster: Cluster, member: Member) -> None:
    """Start the member that ended and return when all three take part again."""
    member.start()
    wait_until(lambda: _is_whole(cluster), DEADLINE_S, "a whole cluster")
    time.sleep(SETTLE_S)


def _is_whole(cluster: Cluster) -> bool:
    """Tell whether a write through each member is acknowledged and all have applied the same."""
    try:
        for one in cluster.members:
            if one.request("PUT", KEY, {"value": one.name}).status >= 300:
                return False
        return len({one.request("GET", KEY).index for one in cluster.members}) == 1
    except UNANSWERED:
        return False
