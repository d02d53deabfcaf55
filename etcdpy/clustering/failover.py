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

#: Two that ask at the same time split the votes; each later attempt is spread over twice the time.
ATTEMPTS_MAX = 4

_STEPS = 1024


class EarlyElection:
    """Campaigns after the loss of the leader's stream, at a random moment.

    All followers lose it at once, so that they would otherwise ask at the same time.
    """

    def __init__(
        self,
        driver: Driver,
        is_active: Callable[[int], bool],
        spread_s: float,
        random_source: RandomSource,
    ) -> None:
        """`is_active` tells whether a peer is connected; `spread_s` is the longest first delay."""
        self._driver = driver
        self._is_active = is_active
        self._spread_s = spread_s
        self._random = random_source
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def peer_lost(self, peer_id: int) -> None:
        """Note that the stream from a peer has ended, and not by this member's doing."""
        if peer_id == self._driver.status.leader_id and self._timer is None:
            self._wait(peer_id, 0)

    def stop(self) -> None:
        """Campaign no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, leader_id: int, attempt: int) -> None:
        spread_s = self._spread_s * 2**attempt
        delay_s = spread_s * self._random.randrange(_STEPS) / _STEPS
        self._timer = self._loop.call_later(delay_s, self._campaign, leader_id, attempt)

    def _campaign(self, leader_id: int, attempt: int) -> None:
        self._timer = None
        is_found = self._driver.status.leader_id not in (0, leader_id)
        if is_found or self._is_active(leader_id):
            return
        log.info("lost the stream of leader %x: campaigning at once", leader_id)
        self._driver.campaign()
        if attempt + 1 < ATTEMPTS_MAX:
            self._wait(leader_id, attempt + 1)
