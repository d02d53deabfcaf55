"""The body of a request on its way through a proxy: taken in parts, held within a bound.

A file of its own because both sides of the proxy meet here: the client's connection feeds, and
whoever forwards the request takes, at the pace of the slower one.
Source: spec/cluster.md section 9.
"""

import asyncio
from collections.abc import Callable

#: So much may wait to be taken before the client has to wait.
HELD_BYTES_MAX = 1 << 20


class Body:
    """A body that is being received; it `is_over` when nothing more of it comes."""

    __slots__ = (
        "_is_dropped",
        "_on_room",
        "_parts",
        "_waiter",
        "fault",
        "held_bytes",
        "is_held",
        "is_over",
        "is_waited_for",
        "left",
    )

    def __init__(self, left: int, on_room: Callable[[], None], *, is_waited_for: bool) -> None:
        """`left` bytes will come, -1 if nobody knows; `on_room` is called when `is_held` ends.

        `is_waited_for` says that the client waits until it is asked for the body.
        """
        self._on_room = on_room
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_dropped = False
        self.is_held = False  # so much waits to be taken that the client has to wait
        self.held_bytes = 0
        self.left = left
        self.is_over = False
        self.is_waited_for = is_waited_for
        self.fault = b""  # why it broke off, in Go's words

    @property
    def is_taken(self) -> bool:
        """Whether nothing more of it is there or will come."""
        return self.is_over and not self._parts

    def feed(self, data: bytes) -> None:
        """Take a part that has come."""
        self.is_waited_for = False
        if self.left > 0:
            self.left -= len(data)
        if self._is_dropped:
            return
        self._parts.append(data)
        self.held_bytes += len(data)
        self.is_held = self.held_bytes > HELD_BYTES_MAX
        self._wake()

    def end(self, fault: bytes = b"") -> None:
        """Hear that nothing more comes; with a `fault` that is not the end."""
        self.is_over = True
        self.fault = fault
        self._wake()

    def drop(self) -> None:
        """Throw away what is there and what will come."""
        self._is_dropped = True
        self.take()

    def take(self) -> bytes:
        """Return what is there."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.held_bytes = 0
        if self.is_held:
            self.is_held = False
            self._on_room()
        return data

    async def gathered(self) -> bool:
        """Wait until the body is here whole, or as much of it as is held; return whether whole."""
        while not self.is_over and self.held_bytes <= HELD_BYTES_MAX:
            await self._change()
        return self.is_over

    async def more(self) -> None:
        """Wait until there is something to take, or it is over."""
        while not self.is_over and not self._parts:
            await self._change()

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
