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

    Returns when another leads, when nobody can, or after `timeout_s`.
    """
    if driver.status.role is not Role.LEADER:
        log.info("skipped leadership transfer for stopping non-leader member")
        return
    if len(voters) < 2:
        log.info("skipped leadership transfer for single voting member cluster")
        return
    active = [(active_for_s(i) or 0.0, i) for i in voters if active_for_s(i) is not None]
    if not active:
        log.error("%x failed to transfer leadership (etcdserver: unhealthy cluster)", member_id)
        return
    to = max(active)[1]
    log.info("%x starts leadership transfer from %x to %x", member_id, member_id, to)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    driver.transfer_leadership(to)
    while driver.status.leader_id in (0, member_id):
        if loop.time() - began_s > timeout_s:
            log.error(
                "%x failed to transfer leadership"
                " (etcdserver: request timed out, leader transfer took too long)",
                member_id,
            )
            return
        await asyncio.sleep(_POLL_S)
    took_ms = (loop.time() - began_s) * 1000
    log.info(
        "%x finished leadership transfer from %x to %x (took %.1fms)",
        member_id,
        member_id,
        driver.status.leader_id,
        took_ms,
    )
