"""Leadership from a member that stops to one that stays, so that clients wait for no election.

A file of its own because it is a conversation with time-outs, apart from the steps of the stop.
Source: spec/cluster.md section 8; Raft (thesis), section 3.10.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import Role

log = logging.getLogger("etcdpy.etcdserver")

_POLL_S = 0.005


async def hand_over(
    driver: Driver,
    member_id: int,
    voters: Collection[int],
    active_for_s: Callable[[int], float | None],
    timeout_s: float,
) -> None:
    """Have the voter that was connected longest lead instead of this member.

    Another takes its turn if that one goes away: all may be stopping at once.  Returns when
    another leads, when nobody can, or after `timeout_s`.
    """
    if driver.status.role is not Role.LEADER:
        log.info("skipped leadership transfer for stopping non-leader member")
        return
    if len(voters) < 2:
        log.info("skipped leadership transfer for single voting member cluster")
        return
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    to: int | None = None
    while driver.status.leader_id in (0, member_id):
        if to is None or active_for_s(to) is None:
            to = _find_longest_connected(voters, active_for_s)
            if to is None:
                _log_failure(member_id, "unhealthy cluster")
                return
            log.info("%x starts leadership transfer from %x to %x", member_id, member_id, to)
            driver.transfer_leadership(to)
        if loop.time() - began_s > timeout_s:
            _log_failure(member_id, "request timed out, leader transfer took too long")
            return
        await asyncio.sleep(_POLL_S)
    log.info(
        "%x finished leadership transfer from %x to %x (took %.1fms)",
        member_id,
        member_id,
        driver.status.leader_id,
        (loop.time() - began_s) * 1000,
    )


def _find_longest_connected(
    voters: Collection[int], active_for_s: Callable[[int], float | None]
) -> int | None:
    """Return the voter that is connected, and has been for longest; None if none is."""
    connected = [(active_s, i) for i in voters if (active_s := active_for_s(i)) is not None]
    return max(connected)[1] if connected else None


def _log_failure(member_id: int, reason: str) -> None:
    log.error("%x failed to transfer leadership (etcdserver: %s)", member_id, reason)
