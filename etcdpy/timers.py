"""Timers: what a member does again and again, on its loop, until it stops."""

import asyncio
from collections.abc import Callable


class Timers:
    """Repeats actions, each with its own interval; a late one is done once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: dict[int, asyncio.TimerHandle] = {}  # by the order of `repeat`

    def repeat(self, interval_s: float, action: Callable[[], None]) -> None:
        """Do `action` every so many seconds, for the first time after the first of them."""
        number = len(self._handles)

        def run() -> None:
            self._handles[number] = self._loop.call_later(interval_s, run)
            action()

        self._handles[number] = self._loop.call_later(interval_s, run)

    def stop(self) -> None:
        """Do nothing any more."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
