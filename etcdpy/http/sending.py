"""Clients that do not read: how long what waits for them may stand still.

A file of its own because a closed transport still waits for them: one that is full is watched
until it has been emptied or aborted, whatever becomes of the connection meanwhile.
"""

import asyncio

from etcdpy.http.limits import Limit, Limits, Reached


class StallWatch:
    """Watches one full transport from `begin` to `end`, which may come again and again.

    Aborts it when its client has taken nothing for as long as may be.
    """

    __slots__ = ("_left_bytes", "_loop", "_reached", "_stalled_s", "_timer", "_transport")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.WriteTransport,
        limits: Limits,
        reached: Reached,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._stalled_s = limits.send_s
        self._reached = reached
        self._left_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Hear that the transport is full."""
        if self._timer is None and self._stalled_s is not None:
            self._wait(self._stalled_s)

    def end(self) -> None:
        """Hear that it is not any more, or is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, stalled_s: float) -> None:
        self._left_bytes = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(stalled_s, self._look, stalled_s)

    def _look(self, stalled_s: float) -> None:
        if self._transport.get_write_buffer_size() < self._left_bytes:
            self._wait(stalled_s)
            return
        self._timer = None
        self._reached[Limit.SEND_TIMEOUT] += 1
        self._transport.abort()
