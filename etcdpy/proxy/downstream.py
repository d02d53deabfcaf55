"""One client's connection to a proxy: requests in, answers out, one after the other.

A file of its own because it is the protocol that the transport calls.  Requests are read as the
members read them (`http.receiver`).  There is no task for a connection: a client that waits for an
event costs this object, its transport, and what holds its request.  A request that is held hears
of the client: that it is gone, has closed its sending side, or does not read.
Source: spec/keys.md section 19, spec/watch.md section 5; RFC 9112.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from etcdpy.http import wire
from etcdpy.http.acceptor import Arrival
from etcdpy.http.heads import CHUNKED, Head, HeadReader
from etcdpy.http.receiver import BodyPart, Receiver
from etcdpy.http.wire import Framing, Response
from etcdpy.proxy.body import Body
from etcdpy.proxy.exchange import Exchange

#: How long a half received head, or a body that stands still, is waited for.
SLOW_S = 60.0
#: How long a client may go on sending after the last answer on its connection; Go's number.
_LINGER_S = 0.5
#: Of requests behind the one that is being answered, so much is taken in.
_AHEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a proxy have in common."""

    serve: Callable[[Exchange], None]
    date: Callable[[], bytes]
    on_made: Callable[["Downstream"], None]
    on_lost: Callable[["Downstream"], None]


class Downstream(asyncio.Protocol):
    """A client's connection; see the module."""

    __slots__ = (
        "_ahead_bytes",
        "_exchange",
        "_is_closing",
        "_is_in_turn",
        "_is_reading_paused",
        "_receiver",
        "_service",
        "_timer",
        "_transport",
        "arrival",
        "client_host",
        "is_half_closed",
    )

    def __init__(self, service: Service, arrival: Arrival, heads: HeadReader) -> None:
        self._service = service
        self._receiver = Receiver(heads)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ahead_bytes = 0
        self._is_closing = False  # what comes is thrown away
        self._is_in_turn = False  # `_read_on` runs: whoever ends an exchange returns to it
        self._is_reading_paused = False
        self.is_half_closed = False
        self.arrival = arrival
        self.client_host = ""

    def date(self) -> bytes:
        """Return the Date line of now."""
        return self._service.date()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._exchange is not None

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still there."""
        if self._transport is not None:
            self._transport.write(data)

    def cut(self) -> None:
        """End the connection now, in the middle of whatever it does."""
        self._is_closing = True
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.close()
                self._start_timer(_LINGER_S, self._abort)
            else:
                self._transport.abort()

    def exchange_done(self, *, is_kept: bool) -> None:
        """Go on to the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if self._transport is None:
            return
        body = exchange.body if exchange is not None else None
        if not is_kept or self._is_closing:
            self._close_softly()
            return
        if body is not None and not body.is_over:
            body.drop()
        self._ahead_bytes = 0
        self._pause_reading(is_paused=False)
        self._read_on()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.client_host = _host_of(transport.get_extra_info("peername"))
        self._service.on_made(self)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._is_closing:
            return
        self._receiver.feed(data)
        if self._is_answering():
            self._ahead_bytes += len(data)
            if self._ahead_bytes > _AHEAD_BYTES_MAX:
                self._pause_reading(is_paused=True)
            return
        self._read_on()

    def eof_received(self) -> bool:
        """Keep the sending side open for as long as an answer is due."""
        self.is_half_closed = True
        exchange = self._exchange
        if exchange is None:
            refusal = self._receiver.end()
            if refusal is not None:
                self.refuse(refusal.data)
            return False
        if exchange.body is not None and not exchange.body.is_over:
            exchange.body.end(self._receiver.truncation)
        if exchange.holder is not None:
            exchange.holder.half_close()
        return self._exchange is not None and not self.arrival.is_tls

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whatever holds the request."""
        self._stop_timer()
        self._transport = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.is_done = True
            if exchange.body is not None and not exchange.body.is_over:
                exchange.body.end(self._receiver.truncation)
            holder, exchange.holder = exchange.holder, None
            if holder is not None:
                holder.leave()
        self._service.on_lost(self)

    def pause_writing(self) -> None:
        """Hear that the client does not read."""
        if self._exchange is not None and self._exchange.holder is not None:
            self._exchange.holder.pause()

    def resume_writing(self) -> None:
        """Hear that it reads again."""
        if self._exchange is not None and self._exchange.holder is not None:
            self._exchange.holder.resume()

    # Reading

    def _is_answering(self) -> bool:
        """Tell whether a request is here whole, so that what follows has to wait."""
        exchange = self._exchange
        return exchange is not None and (exchange.body is None or exchange.body.is_over)

    def _read_on(self) -> None:
        """Take requests and bodies, until one request has to be answered first."""
        if self._is_in_turn:
            return
        self._is_in_turn = True
        try:
            self._take_turns()
        finally:
            self._is_in_turn = False
        self._watch_pace()
        if self.is_half_closed and self._exchange is None and not self._is_closing:
            self._close_softly()

    def _take_turns(self) -> None:
        while not self._is_closing and not self._is_answering():
            event = self._receiver.next_event()
            if event is None:
                break
            if isinstance(event, Head):
                self._begin(event)
            elif isinstance(event, BodyPart):
                self._take_body(event)
            else:
                self.refuse(event.data)

    def _begin(self, head: Head) -> None:
        fields = head.fields
        framing = wire.PLAIN
        if head.method == "HEAD" or head.is_http10 or not fields.is_kept:
            framing = Framing(head.method == "HEAD", head.is_http10, fields.is_kept)
        expectation = fields.headers.get("Expect", "")
        body = None
        if fields.body_size:
            left = -1 if fields.body_size == CHUNKED else fields.body_size
            is_waited_for = bool(expectation) and not head.is_http10
            body = Body(left, self._hold_body, is_waited_for=is_waited_for)
        self._exchange = exchange = Exchange(self, head, framing, body)
        if expectation and "100-continue" not in expectation.lower().replace(",", " ").split():
            close = b"Connection: close\r\n" if head.is_http10 else b""
            exchange.respond(Response(417, close, b"", True, True))
            return
        self._service.serve(exchange)

    def _take_body(self, part: BodyPart) -> None:
        exchange = self._exchange
        if exchange is None or exchange.body is None:  # it was answered, and nobody reads the rest
            if part.fault:
                self._close_softly()
            return
        if part.data:
            exchange.body.feed(part.data)
        if part.is_last or part.fault:
            exchange.body.end(part.fault)

    def refuse(self, words: bytes) -> None:
        """Say the last words to a client that sends no request that anybody may see."""
        self.write(words)
        self._close_softly()

    def _hold_body(self, is_held: bool) -> None:
        """Take no more of a body for now, or go on."""
        self._pause_reading(is_paused=is_held)
        if not is_held:
            self._read_on()

    def _pause_reading(self, *, is_paused: bool) -> None:
        if self._transport is None or is_paused == self._is_reading_paused:
            return
        self._is_reading_paused = is_paused
        if self._transport.is_closing():
            return
        if is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # The pace, and the end

    def _watch_pace(self) -> None:
        """Give a head or a body that has begun its time, anew whenever some of it has come."""
        exchange = self._exchange
        is_body_due = exchange is not None and not self._is_answering()
        is_due = self._receiver.has_begun_head or (is_body_due and not self._is_reading_paused)
        if self._is_closing:
            return
        if not is_due:
            self._stop_timer()
        elif is_body_due or self._timer is None:
            self._start_timer(SLOW_S, self.cut)

    def _start_timer(self, delay_s: float, action: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_softly(self) -> None:
        """Close when the client has had the last bytes, so that a reset does not swallow them."""
        self._is_closing = True
        transport = self._transport
        if transport is None:
            return
        if self.is_half_closed or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self._start_timer(_LINGER_S, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _host_of(peer: object) -> str:
    """Return the host of a socket's address; an IPv4 address in IPv6's clothes is IPv4."""
    if not isinstance(peer, tuple):
        return ""
    host = str(peer[0])
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return host
