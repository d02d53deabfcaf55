"""Pairs: a client's connection and the one to a member, each passed on to the other.

A file of its own because it is the path of every byte.  What one side does not take is not read
from the other: at most a buffer of `BUFFER_BYTES_MAX` and one read stand between them.  The end of
one direction is passed on and leaves the other one open; etcd cuts both.
"""

import asyncio
from collections.abc import Callable
from typing import cast

#: What may wait for a side that does not read, before the other is not read any more.
BUFFER_BYTES_MAX = 64 * 1024
#: How long what was still to be passed on may take when one side is gone.
LINGER_S = 30.0


class Pair:
    """One forwarded connection.  `client` is accepted first; `member` is the protocol of the dial.

    `on_client` is called when the client is there: of what it sends at most one read is kept before
    `member` is there too.  `on_end` is called when both are gone.
    """

    def __init__(self, on_client: Callable[["Pair"], None], on_end: Callable[["Pair"], None]):
        self.client = _Side(self)
        self.member = _Side(self)
        self.client.other, self.member.other = self.member, self.client
        self._on_client = on_client
        self._on_end = on_end
        self._is_ended = False

    def made(self, side: "_Side") -> None:
        """Take note that a side is connected."""
        if side is self.client:
            self._on_client(self)
        elif self.client.is_lost:
            side.transport.abort()
        else:
            self.client.pass_on_early()

    def lost(self, side: "_Side") -> None:
        """Take note that a side is gone: the other has what was meant for it, and ends."""
        if self._is_ended:
            return  # a member that came when its client had gone
        if side.other.is_lost or not side.other.is_connected:
            self._is_ended = True
            self._on_end(self)
        elif side.is_broken:
            side.other.transport.abort()
        else:
            side.other.end()

    def abort(self) -> None:
        """Cut both sides."""
        for side in (self.client, self.member):
            if side.is_connected and not side.is_lost:
                side.transport.abort()


class _Side(asyncio.Protocol):
    """One of the two connections."""

    other: "_Side"
    transport: asyncio.Transport

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._linger: asyncio.TimerHandle | None = None
        self.is_connected = False
        self.is_lost = False
        self.is_broken = False
        self.has_ended = False  # it sends nothing any more
        self._early = b""  # came before there was somebody to pass it on to

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)
        self.is_connected = True
        self._pair.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on, or keep it until somebody is there."""
        if self.other.is_connected:
            self.other.transport.write(data)
            return
        # Not in `connection_made`: uvloop begins to read after it, whatever was said there.
        self.transport.pause_reading()
        self._early += data

    def pass_on_early(self) -> None:
        """Pass on what came before the other side was there, and read on."""
        self.transport.resume_reading()
        if self._early:
            self.other.transport.write(self._early)
            self._early = b""
        if self.has_ended:
            self.other.transport.write_eof()

    def eof_received(self) -> bool:
        """Pass on that there is no more; this side may still be written to."""
        self.has_ended = True
        if self.other.is_lost:
            return False
        if self.other.has_ended:
            self.other.end()
            return False
        if self.other.is_connected:
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """Read no more of what this side does not take."""
        if not self.other.is_lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if not self.other.is_lost:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.is_lost = True
        self.is_broken = exc is not None
        if self._linger is not None:
            self._linger.cancel()
        self._pair.lost(self)

    def end(self) -> None:
        """Close when all is written; cut what takes too long."""
        if self._linger is None and not self.is_lost:
            self.transport.close()
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER_S, self.transport.abort)
