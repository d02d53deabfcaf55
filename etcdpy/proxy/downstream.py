"""One client's connection to a proxy: requests in, answers out, one after the other.

A file of its own because it is the protocol that the transport calls.  Requests are read as the
members read them (`http.receiver`).  There is no task for a connection: a client that waits for an
event costs this object, its transport, and what holds its request.  A request that is held hears
of the client: that it is gone, has closed its sending side, or does not read.
Source: spec/keys.md section 19, spec/watch.md section 5; RFC 9112.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from etcdpy.http import wire
from etcdpy.http.acceptor import Arrival, host_of
from etcdpy.http.heads import CHUNKED, Head, HeadReader
from etcdpy.http.limits import Limit, Limits, Reached
from etcdpy.http.receiver import BodyPart, Receiver
from etcdpy.http.sending import StallWatch
from etcdpy.http.wire import Framing, Response
from etcdpy.proxy.body import Body
from etcdpy.proxy.exchange import Exchange

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
    limits: Limits
    reached: Reached


class Downstream(asyncio.Protocol):
    """A client's connection; see the module."""

    __slots__ = (
        "_exchange",
        "_is_closing",
        "_is_in_turn",
        "_is_reading_paused",
        "_receiver",
        "_service",
        "_stall_watch",
        "_timer",
        "_transport",
        "arrival",
        "client_host",
        "is_half_closed",
        "is_writing_paused",
    )

    def __init__(self, service: Service, arrival: Arrival, heads: HeadReader) -> None:
        self._service = service
        self._receiver = Receiver(heads)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stall_watch: StallWatch | None = None  # since the client did not read at first
        self._is_closing = False  # what comes is thrown away
        self._is_in_turn = False  # `_read_on` runs: whoever ends an exchange returns to it
        self._is_reading_paused = False
        self.is_half_closed = False
        self.is_writing_paused = False
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
        if not is_kept or self._is_closing:
            self._close_softly()
            return
        if exchange is not None and exchange.body is not None:
            exchange.body.drop()
        self._read_on()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.client_host = host_of(transport.get_extra_info("peername"))
        self._service.on_made(self)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._is_closing:
            return
        self._receiver.feed(data)
        self._read_on()

    def eof_received(self) -> bool:
        """Keep the sending side open for as long as an answer is due."""
        self.is_half_closed = True
        exchange = self._exchange
        if exchange is None:
            self._read_on()
        elif exchange.body is not None and not exchange.body.is_over:
            exchange.body.end(self._receiver.truncation)
        if exchange is not None and exchange.holder is not None:
            exchange.holder.half_close()
        # With TLS the transport closes both sides, whatever is said here.
        return not self._is_closing and not self.arrival.is_tls

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whatever holds the request."""
        self._stop_timer()
        if self._stall_watch is not None:
            self._stall_watch.end()
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
        self.is_writing_paused = True
        if self._stall_watch is None and self._transport is not None:
            self._stall_watch = StallWatch(
                asyncio.get_running_loop(),
                self._transport,
                self._service.limits,
                self._service.reached,
            )
        if self._stall_watch is not None:
            self._stall_watch.begin()
        if self._exchange is not None and self._exchange.holder is not None:
            self._exchange.holder.pause()

    def resume_writing(self) -> None:
        """Hear that it reads again."""
        self.is_writing_paused = False
        if self._stall_watch is not None:
            self._stall_watch.end()
        if self._is_closing:
            self._linger()
        elif self._exchange is None:
            self._read_on()
        elif self._exchange.holder is not None:
            self._exchange.holder.resume()

    # Reading

    def _must_wait(self) -> bool:
        """Tell whether what follows waits: for an answer, or for a client that does not read."""
        exchange = self._exchange
        if exchange is None:
            return self.is_writing_paused
        return exchange.body is None or exchange.body.is_over

    def _read_on(self) -> None:
        """Take requests and bodies, until what follows has to wait."""
        if self._is_in_turn:
            return
        self._is_in_turn = True
        try:
            self._take_turns()
        finally:
            self._is_in_turn = False
        self._bound_unread()
        self._watch_pace()
        if self.is_half_closed and self._exchange is None and not self._receiver.unread_bytes:
            self._end_input()

    def _take_turns(self) -> None:
        while not self._is_closing and not self._must_wait():
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
        self._stop_timer()  # this head is whole; the next one has its own time
        fields = head.fields
        framing = wire.PLAIN
        if head.method == "HEAD" or head.is_http10 or not fields.is_kept:
            framing = Framing(head.method == "HEAD", head.is_http10, fields.is_kept)
        expectation = fields.headers.get("Expect", "")
        body = None
        if fields.body_size:
            left = -1 if fields.body_size == CHUNKED else fields.body_size
            is_waited_for = bool(expectation) and not head.is_http10
            body = Body(left, self._read_on, is_waited_for=is_waited_for)
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

    def _end_input(self) -> None:
        """Close when nothing more comes and nothing is owed, after what is to be said of a rest."""
        if self._is_closing:
            return
        refusal = self._receiver.end()
        if refusal is not None:
            self.refuse(refusal.data)
        else:
            self._close_softly()

    def _bound_unread(self) -> None:
        """Read nothing while there is enough that has to wait, else read on."""
        if self._transport is None or self._transport.is_closing():
            return
        body = self._exchange.body if self._exchange is not None else None
        is_body_held = body is not None and body.is_held
        is_much = is_body_held or self._receiver.unread_bytes > _AHEAD_BYTES_MAX
        is_paused = is_much and not self._is_closing
        if is_paused and not self._is_reading_paused:
            self._transport.pause_reading()
        elif self._is_reading_paused and not is_paused:
            self._transport.resume_reading()
        self._is_reading_paused = is_paused

    # The pace, and the end

    def _watch_pace(self) -> None:
        """Give a head or a body that has begun its time; a body anew whenever some of it has come.

        It has none while what has come of it has to wait here.
        """
        must_wait = self._must_wait()
        is_body_due = self._exchange is not None and not must_wait
        is_head_due = self._receiver.has_begun_head and not must_wait
        is_due = is_head_due or (is_body_due and not self._is_reading_paused)
        if self._is_closing:
            return
        if not is_due:
            self._stop_timer()
        elif is_body_due or self._timer is None:
            limits = self._service.limits
            slow_s = limits.body_s if is_body_due else limits.head_s
            limit = Limit.BODY_TIMEOUT if is_body_due else Limit.HEAD_TIMEOUT
            if slow_s is not None:
                self._start_timer(slow_s, lambda: self._drop_slow(limit))

    def _drop_slow(self, limit: Limit) -> None:
        """Cut a client that has begun a request and does not go on."""
        self._service.reached[limit] += 1
        self.cut()

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
        if transport is None or transport.is_closing():
            return
        # Whoever does not read the rest is watched, and `resume_writing` says that all has left.
        transport.set_write_buffer_limits(high=0)
        if self.is_half_closed or not transport.can_write_eof():
            transport.close()
            return
        self._bound_unread()
        transport.write_eof()
        self._stop_timer()
        self._linger()

    def _linger(self) -> None:
        """Give the client its time, from when the last byte has left, before it is cut."""
        if self._transport is None or self._transport.is_closing() or self.is_writing_paused:
            return
        self._start_timer(_LINGER_S, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
