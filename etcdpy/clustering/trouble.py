"""Trouble: what to tell a client whose request was not done in time.

A file of its own because the words are judged from three sides at once: who leads, since when, and
how long the ways to the others have been open.  The words are etcd's, and so are the rules.
Source: spec/cluster.md section 8.
"""

import asyncio
from collections.abc import Callable, Collection

from etcdpy.consensus.quorum import majority
from etcdpy.consensus.status import Status

TIMED_OUT = b"etcdserver: request timed out"
_LEADER_FAILED = TIMED_OUT + b", possibly due to previous leader failure"
_CONNECTION_LOST = TIMED_OUT + b", possibly due to connection lost"


class TimeoutCauses:
    """Finds the cause of a time-out from what this member has seen."""

    def __init__(
        self,
        member_id: int,
        status: Status,
        member_ids: Callable[[], Collection[int]],
        active_for_s: Callable[[int], float | None],
        election_s: float,
    ) -> None:
        """`active_for_s` tells for how long a peer has been connected, None if it is not."""
        self._member_id = member_id
        self._status = status
        self._member_ids = member_ids
        self._active_for_s = active_for_s
        self._election_s = election_s
        self._loop = asyncio.get_running_loop()
        self._elected_s = float("-inf")  # loop time at which this member last became leader

    def became_leader(self) -> None:
        """Note that this member leads from now on."""
        self._elected_s = self._loop.time()

    def explain(self, began_s: float) -> bytes:
        """Return the cause for a request that began at that loop time and whose time is up now."""
        if self._elected_s - 2 * self._election_s < began_s < self._elected_s:
            return _LEADER_FAILED
        leader_id = self._status.leader_id
        if leader_id == self._member_id:
            member_ids = self._member_ids()
            connected = sum(
                i == self._member_id or self._was_connected(i, began_s) for i in member_ids
            )
            return TIMED_OUT if connected >= majority(len(member_ids)) else _CONNECTION_LOST
        if leader_id and not self._was_connected(leader_id, began_s):
            return _CONNECTION_LOST
        return TIMED_OUT

    def _was_connected(self, member_id: int, since_s: float) -> bool:
        """Tell whether a peer has been connected without a break since before `since_s`."""
        active_s = self._active_for_s(member_id)
        return active_s is not None and self._loop.time() - active_s < since_s
