"""Pauses: how late the event loop is, and for how long the collector keeps the process.

A file of its own because everything else in a member runs on that loop: if it stands still, no
heartbeat leaves, no request is answered, and no other figure moves.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable

from etcdpy.http.gojson.writer import format_duration
from etcdpy.metrics.exposition import Histogram
from etcdpy.metrics.own import PAUSE_BUCKETS

log = logging.getLogger("etcdpy.member")

_NS_PER_S = 1_000_000_000


class LoopWatch:
    """Looks once in each interval how late it comes to it.

    The interval is that of heartbeats.  A lateness of more than two is a stall: a leader's
    followers have then missed a heartbeat.
    """

    def __init__(self) -> None:
        self.lags = Histogram.of_durations(PAUSE_BUCKETS)
        self.stalls_count = 0
        self._interval_s = 0.0
        self._on_look: Callable[[], None] | None = None
        self._due_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval_s: float, on_look: Callable[[], None]) -> None:
        """Begin to look, on the running loop; `on_look` is called each time."""
        self._interval_s = interval_s
        self._on_look = on_look
        self._plan()

    def stop(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note_lag(self, lag_ns: int) -> None:
        """Count how late the loop was; the timer's part."""
        self.lags.observe(lag_ns)
        limit_ns = int(2 * self._interval_s * _NS_PER_S)
        if lag_ns > limit_ns:
            self.stalls_count += 1
            log.warning(
                "the event loop stood still for %s, expected less than %s",
                format_duration(lag_ns),
                format_duration(limit_ns),
            )

    def _plan(self) -> None:
        # Not the loop's own clock: uvloop's counts in ms and stands still within a turn.
        self._due_ns = time.monotonic_ns() + int(self._interval_s * _NS_PER_S)
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def _look(self) -> None:
        self.note_lag(time.monotonic_ns() - self._due_ns)
        assert self._on_look is not None
        self._on_look()
        self._plan()


class CollectorWatch:
    """Measures each run of the cyclic collector, in whatever thread it happens."""

    def __init__(self) -> None:
        self.pauses = Histogram.of_durations(PAUSE_BUCKETS)
        self._began_ns = 0

    def start(self) -> None:
        """Begin to measure."""
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """End it; harmless when it never began."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        else:
            self.pauses.observe(time.perf_counter_ns() - self._began_ns)
