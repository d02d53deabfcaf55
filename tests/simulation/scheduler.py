"""Scheduler: virtual time.  Events happen in the order of their time, ties in order of arrival."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

US = 1_000  # virtual nanoseconds
MS = 1_000_000
SECOND = 1_000_000_000

#: Far above the events of any plan: a run that gets here goes round in a circle.
STEPS_MAX = 1_000_000

Handler = Callable[[Any], None]


class Scheduler:
    """A heap of what will happen.  `now` is virtual nanoseconds, `steps` counts events handled."""

    __slots__ = ("_heap", "_sequence", "now", "steps")

    def __init__(self) -> None:
        self.now = 0
        self.steps = 0
        self._heap: list[tuple[int, int, Handler, Any]] = []
        self._sequence = 0

    def at(self, when: int, handler: Handler, argument: Any) -> None:
        """Have `handler(argument)` called at `when`, which must not be past."""
        assert when >= self.now
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (when, sequence, handler, argument))

    def after(self, delay: int, handler: Handler, argument: Any) -> None:
        """Have `handler(argument)` called in `delay`."""
        assert delay >= 0
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (self.now + delay, sequence, handler, argument))

    def run_until(self, end: int) -> None:
        """Handle all events up to and including `end`; afterwards it is `end`.

        Raises: RuntimeError after `STEPS_MAX` events in all.
        """
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, handler, argument = heappop(heap)
            self.steps = steps = self.steps + 1
            handler(argument)
            if steps > STEPS_MAX:
                raise RuntimeError(f"{steps} events and no end: some of them cause each other")
        self.now = end
