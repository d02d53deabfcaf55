"""Notifier: passes the word to the owners of watches that were told something.

A file of its own because it is about sharing: one write can be news to ten thousand clients, and
writing to as many sockets takes a tenth of a second.  Few are told at once.  Many are told a
millisecond at a time, but before anybody is told of a next event: so no watcher is ever more than
one event behind, and none that is read can overflow.
"""

import asyncio
import time
from collections import deque

from etcdpy.tree.watch import Watcher, WatchHub

#: So many owners are told at once, and between two looks at the clock: a millisecond, and less.
AT_ONCE_MAX = 100
OWNERS_PER_LOOK = 8
#: How long the loop is kept from others at a time.
SLICE_S = 0.001


class Notifier:
    """Wakes the owners of one tree's watchers."""

    def __init__(self, hub: WatchHub) -> None:
        self._hub = hub
        self._late: deque[Watcher] = deque()  # told of an event, whose owners are not woken yet

    def tell(self) -> None:
        """Pass the word of what has just been applied."""
        ready = self._hub.take_ready()
        while self._late:
            _wake(self._late.popleft())
        if len(ready) <= AT_ONCE_MAX:
            for watcher in ready:
                _wake(watcher)
            return
        self._late.extend(ready)
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Wake as many as a slice has time for."""
        late = self._late
        due_s = time.perf_counter() + SLICE_S
        while late:
            for _ in range(min(OWNERS_PER_LOOK, len(late))):
                _wake(late.popleft())
            if time.perf_counter() >= due_s:
                break
        if late:
            asyncio.get_running_loop().call_soon(self._go_on)


def _wake(watcher: Watcher) -> None:
    if watcher.owner is not None:
        watcher.owner.wake()
