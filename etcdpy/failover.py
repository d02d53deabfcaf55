"""An election as soon as the leader's connection breaks, not only when its silence was too long.

A file of its own because it is a shortcut beside Raft, which is as safe without it.  The kernel
of a killed leader's machine ends its streams at once; waiting for the election time-out would only
let clients wait.  What is asked is a pre-vote, which members that still hear their leader ignore:
a healthy leader whose stream merely broke is not disturbed.
"""

import asyncio
import logging
from collections.abc import Callable

from etcdpy.consensus.driver import Driver
from etcdpy.consensus.interfaces import RandomSource

log = logging.getLogger("etcdpy.consensus")

_STEPS = 1024


class EarlyElection:
    """Campaigns after the loss of the leader's stream, at a random moment.

    All followers lose it at once: those that ask at the same time would split the votes.
    """

    def __init__(
        self,
        driver: Driver,
        is_active: Callable[[int], bool],
        spread_s: float,
        random_source: RandomSource,
    ) -> None:
        """`is_active` tells whether a peer is connected; `spread_s` is the longest delay."""
        self._driver = driver
        self._is_active = is_active
        self._spread_s = spread_s
        self._random = random_source
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def peer_lost(self, peer_id: int) -> None:
        """Note that the stream from a peer has ended, and not by this member's doing."""
        if peer_id != self._driver.status.leader_id or self._timer is not None:
            return
        delay_s = self._spread_s * self._random.randrange(_STEPS) / _STEPS
        self._timer = self._loop.call_later(delay_s, self._campaign, peer_id)

    def stop(self) -> None:
        """Campaign no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _campaign(self, leader_id: int) -> None:
        self._timer = None
        if self._driver.status.leader_id == leader_id and not self._is_active(leader_id):
            log.info("lost the stream of leader %x: campaigning at once", leader_id)
            self._driver.campaign()
