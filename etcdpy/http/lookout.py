"""Waiting awake for a client's next request, where it is likely to come at once.

A file of its own because it is about one client that asks, waits and asks again: half of what it
waits for is the time that this process, and its processor, take to wake up.  Go's scheduler looks
around before it sleeps too.  So after a single answer the loop goes on looking at its sockets for
a moment; if that was in vain it is done more and more seldom, until it is worth it again.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter

from etcdpy.http.traffic import Traffic

# Longer than a client on the same machine takes to wake up and to ask again.
LOOK_S = 0.000_1
# After so many looks in vain one in 2 ** so many answers is followed by another.
MISSES_MAX = 10


class Lookout:
    """Keeps the loop awake for a moment.  `arrivals` is counted up by whoever hears of bytes."""

    __slots__ = (
        "_arrivals_before",
        "_began_s",
        "_clock",
        "_loop",
        "_misses",
        "_skipped",
        "_traffic",
        "arrivals",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        traffic: Traffic,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`traffic` is told for how long the loop was kept awake."""
        self._loop = loop
        self._traffic = traffic
        self._clock = clock
        self.arrivals = 0
        self._arrivals_before = 0
        self._began_s = 0.0
        self._misses = 0  # in a row
        self._skipped = 0

    def begin(self) -> None:
        """Look for what comes next, unless that has been in vain of late."""
        self._skipped += 1
        if self._skipped >> self._misses == 0:
            return
        self._skipped = 0
        self._arrivals_before = self.arrivals
        self._began_s = self._clock()
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        looked_s = self._clock() - self._began_s
        has_come = self.arrivals != self._arrivals_before
        if not has_come and looked_s < LOOK_S:
            self._loop.call_soon(self._go_on)
            return
        self._misses = 0 if has_come else min(self._misses + 1, MISSES_MAX)
        self._traffic.looked_s += looked_s
