"""A first election that does not wait for as long as a leader may be silent: there was none.

A file of its own because it is a shortcut beside Raft, which is as safe without it: ticks of the
clock pass sooner, nothing else.  A member that starts counts a whole election time-out and more
from its start before it asks for votes.  Once it is connected to enough others for a majority, and
no leader has spoken up, there is nothing to wait for; only two ticks are left, so that a leader
whose heartbeats are on their way is heard first.  That is etcd's `--initial-election-tick-advance`,
which wants two others connected in place of a majority.
"""

import asyncio
import logging
from collections.abc import Callable

from etcdpy.clustering.members import Cluster
from etcdpy.consensus.driver import Driver

log = logging.getLogger("etcdpy.etcdserver")

#: How often it is looked who is connected, and for how long; etcd's numbers.
LOOK_INTERVAL_S = 0.05
LOOKS_MAX = 100
#: Ticks that are left to hear of a leader.
TICKS_LEFT = 2


class FirstElection:
    """Hurries the first election of one member; `start`, then `stop`, once each."""

    def __init__(
        self,
        driver: Driver,
        member_id: int,
        cluster: Cluster,
        is_active: Callable[[int], bool],
        election_ticks: int,
    ) -> None:
        """`is_active` tells whether a peer is connected."""
        self._driver = driver
        self._member_id = member_id
        self._cluster = cluster
        self._is_active = is_active
        self._election_ticks = election_ticks
        self._looks_count = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look who is connected."""
        self._timer = self._loop.call_later(LOOK_INTERVAL_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        self._looks_count += 1
        voters = self._cluster.voter_ids
        if self._driver.status.leader_id or len(voters) <= 1:
            return  # who is alone campaigns at once
        others = [voter for voter in voters if voter != self._member_id]
        active_count = sum(map(self._is_active, others))
        if active_count + (self._member_id in voters) > len(voters) // 2:
            ticks = self._election_ticks - TICKS_LEFT
            log.info(
                "%x initialized peer connection; fast-forwarding %d ticks (election ticks %d)"
                " with %d active peer(s)",
                self._member_id,
                ticks,
                self._election_ticks,
                active_count,
            )
            self._driver.advance(ticks)
        elif self._looks_count < LOOKS_MAX:
            self.start()
