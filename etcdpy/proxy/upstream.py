"""Connections to members: opened, kept for the next request, and given up.

A file of its own because it is the proxy's other side: what is sent here was decided elsewhere.
A connection carries one request at a time, and it is known whether any byte of it may have reached
the member: a write that may have is never sent again.  The parts of a body go straight to a sink,
which may hold the connection while it can't take more.
Source: spec/cluster.md section 9 (`proxy-…-timeout`), RFC 9112.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

from etcdpy.proxy.answers import AnswerHead, AnswerPart, AnswerReader, BadAnswerError
from etcdpy.tls.contexts import ClientTls, TlsError
from etcdpy.urls import TLS_SCHEMES

#: Connections that wait for a request, at one member; etcd's number.
IDLE_MAX = 128
_KEEPALIVE_S = 30
#: Of a body that nobody takes yet, so much is held before the member has to wait.
_HELD_BYTES_MAX = 256 * 1024


class UpstreamError(Exception):
    """A member gave no whole answer; `is_sent` says whether it may have seen the request."""

    def __init__(self, reason: str, *, is_sent: bool) -> None:
        super().__init__(reason)
        self.is_sent = is_sent


class CrowdedError(Exception):
    """As many connections to members as there may be; which says nothing of any of them."""


class Sink(Protocol):
    """Takes the body of an answer."""

    def take(self, data: bytes) -> None:
        """Take a part, which is not empty."""

    def end(self, is_whole: bool) -> None:
        """Hear, once, that nothing more comes, and whether that was the body's own end."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a member may take for each step, in seconds; None is for ever."""

    dial_s: float | None = None
    write_s: float | None = None
    read_s: float | None = None


class UpstreamConnection(asyncio.Protocol):
    """One connection to a member: `send`, `head`, `deliver_to`, and again if it `is_reusable`."""

    def __init__(self, timeouts: Timeouts, on_lost: Callable[["UpstreamConnection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._head: asyncio.Future[AnswerHead] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._sink: Sink | None = None
        self._is_kept = False
        self._is_over: bool | None = None  # whether the body was whole, once it is over
        self._writable: asyncio.Future[None] | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self.is_used = False  # it has carried a request before
        self.has_sent = False  # bytes of the present one

    # The request

    @property
    def is_open(self) -> bool:
        """Whether bytes can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        """Whether the answer is complete and another request may follow."""
        return self.is_open and self._is_kept and self._is_over is True

    @property
    def has_answered(self) -> bool:
        """Whether the head of the answer is here, or the connection has ended."""
        return self._head is not None and self._head.done()

    def begin(self, *, is_for_head: bool) -> None:
        """Begin a request, of which nothing is sent yet."""
        self._reader = AnswerReader(is_for_head=is_for_head)
        self._head = self._loop.create_future()
        self._held, self._held_bytes, self._sink = [], 0, None
        self._is_kept, self._is_over, self.has_sent = False, None, False

    async def send(self, data: bytes) -> None:
        """Send some of the request; returns when there is room for more.

        Raises: UpstreamError for a member that is gone or does not read.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise UpstreamError("the connection is closed", is_sent=self.has_sent)
        self.has_sent = True
        transport.write(data)
        if self._writable is None:
            return
        try:
            async with asyncio.timeout(self._timeouts.write_s):
                await asyncio.shield(self._writable)
        except TimeoutError:
            self.close()
            raise UpstreamError("i/o timeout", is_sent=True) from None

    async def head(self) -> AnswerHead:
        """Return the head of the answer when it has come.  Raises: UpstreamError."""
        assert self._head is not None
        self._restart_read_timer()
        return await asyncio.shield(self._head)

    def deliver_to(self, sink: Sink) -> None:
        """Hand the body to `sink`, from its first byte on."""
        assert self._sink is None
        held, self._held, self._held_bytes = self._held, [], 0
        self._sink = sink
        self.resume()
        for part in held:
            sink.take(part)
        if self._is_over is not None:
            sink.end(self._is_over)

    def pause(self) -> None:
        """Take nothing from the member for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take what the member sends again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Give the connection up at once, and whatever it carries."""
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, with keep-alive probes."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)

    def data_received(self, data: bytes) -> None:
        """Read the answer as far as it has come."""
        reader = self._reader
        if reader is None or self._is_over is not None:
            self.close()  # a member that speaks without being asked
            return
        self._restart_read_timer()
        reader.feed(data)
        try:
            while (event := reader.next_event()) is not None:
                if isinstance(event, AnswerHead):
                    self._take_head(event, is_last=reader.is_done)
                else:
                    self._take_part(event)
        except BadAnswerError as error:
            self._is_kept = False
            self._finish(is_whole=False, reason=str(error))
            self.close()

    def eof_received(self) -> None:
        """Close our side too."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        if self._reader is not None and self._is_over is None:
            reason = str(exc) if exc is not None else "EOF"
            self._finish(is_whole=self._reader.end(), reason=reason)
        self._wake_writer()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Hear that the member does not read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Hear that it reads again."""
        self._wake_writer()

    def _wake_writer(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _take_head(self, head: AnswerHead, *, is_last: bool) -> None:
        assert self._head is not None
        self._is_kept = head.is_kept
        if not self._head.done():
            self._head.set_result(head)
        if is_last:
            self._finish(is_whole=True)

    def _take_part(self, part: AnswerPart) -> None:
        if part.data and self._sink is not None:
            self._sink.take(part.data)
        elif part.data:
            self._held.append(part.data)
            self._held_bytes += len(part.data)
            if self._held_bytes > _HELD_BYTES_MAX:
                self.pause()
        if part.is_last:
            self._finish(is_whole=True)

    def _finish(self, *, is_whole: bool, reason: str = "") -> None:
        if self._is_over is not None:
            return
        self._is_over = is_whole
        self._stop_read_timer()
        assert self._head is not None
        if not self._head.done():
            self._head.set_exception(UpstreamError(reason, is_sent=self.has_sent))
            self._head.exception()  # whoever asked may have gone
        if self._sink is not None:
            self._sink.end(is_whole)

    def _restart_read_timer(self) -> None:
        self._stop_read_timer()
        if self._timeouts.read_s is not None and self._is_over is None:
            self._read_timer = self._loop.call_later(self._timeouts.read_s, self._read_late)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _read_late(self) -> None:
        self._finish(is_whole=False, reason="i/o timeout")
        self.close()


class Upstream:
    """Opens connections to members, and keeps those that are free."""

    def __init__(self, tls: ClientTls, timeouts: Timeouts, connections_max: int) -> None:
        self.connections_max = connections_max
        self._tls = tls
        self._timeouts = timeouts
        self._idle: dict[str, deque[UpstreamConnection]] = {}
        self._open: set[UpstreamConnection] = set()
        self._is_closed = False

    @property
    def open_count(self) -> int:
        """How many connections there are: used, free or being dialled."""
        return len(self._open)

    async def connect(self, url: str, *, is_fresh: bool = False) -> UpstreamConnection:
        """Return a connection to a member that carries no request; an `is_fresh` one is new.

        Raises: UpstreamError, CrowdedError.
        """
        idle = self._idle.get(url)
        while idle and not is_fresh:
            connection = idle.pop()
            if connection.is_open:
                return connection
        if len(self._open) >= self.connections_max and not self._give_up_idle():
            raise CrowdedError
        try:
            async with asyncio.timeout(self._timeouts.dial_s):
                return await self._dial(url)
        except TimeoutError:
            raise UpstreamError("dial: i/o timeout", is_sent=False) from None
        except (OSError, TlsError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UpstreamError(f"dial: {reason}", is_sent=False) from error

    def release(self, url: str, connection: UpstreamConnection) -> None:
        """Take a connection back, to be used again or closed."""
        idle = self._idle.setdefault(url, deque())
        if self._is_closed or not connection.is_reusable or len(idle) >= IDLE_MAX:
            connection.close()
            return
        connection.resume()  # the last client may have been slow
        connection.is_used = True
        idle.append(connection)

    def forget_idle(self, urls: set[str]) -> None:
        """Close what waits at members that are none any more; `urls` are those that are."""
        for url in self._idle.keys() - urls:
            for connection in self._idle.pop(url):
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.close()
        self._idle.clear()

    def _give_up_idle(self) -> bool:
        """Close the connection that has waited longest at some member; False if none waits."""
        for idle in self._idle.values():
            if idle:
                connection = idle.popleft()
                self._open.discard(connection)
                connection.close()
                return True
        return False

    async def _dial(self, url: str) -> UpstreamConnection:
        """Raises: OSError, TlsError, ValueError."""
        parts = urlsplit(url)
        context = self._tls.context() if parts.scheme in TLS_SCHEMES else None
        name = parts.hostname if context is not None else None
        loop = asyncio.get_running_loop()
        connection = UpstreamConnection(self._timeouts, self._lost)
        self._open.add(connection)
        try:
            if parts.scheme.startswith("unix"):
                await loop.create_unix_connection(
                    lambda: connection, parts.netloc, ssl=context, server_hostname=name
                )
            else:
                host = parts.hostname or ""
                port = parts.port or (443 if context is not None else 80)
                await loop.create_connection(
                    lambda: connection, host, port, ssl=context, server_hostname=name
                )
        except BaseException:
            self._open.discard(connection)
            raise
        return connection

    def _lost(self, connection: UpstreamConnection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        for idle in self._idle.values():
            if connection in idle:
                idle.remove(connection)
                return
