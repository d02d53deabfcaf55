"""One client connection: aiohttp's protocol with etcd's manners.

A file of its own because everything that depends on aiohttp's insides is here, by name: requests
are read by `receiver` in place of aiohttp's parser, which takes and refuses other things than Go,
half-closed clients still get their answers, heads and bodies are bounded in time, and a watch can
take the connection over.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from yarl import URL

from etcdpy.http import wire
from etcdpy.http.acceptor import Arrival
from etcdpy.http.heads import CHUNKED, Head, HeadReader
from etcdpy.http.receiver import BodyPart, Receiver, Refusal
from etcdpy.http.watch import WatchFeed
from etcdpy.http.wire import Framing, Response

# aiohttp wants one in each request; the handlers read the target as it came.
_NO_URL = URL("/")

_TCP_KEEPALIVE_S = 30
# How long a refused client may go on sending before its connection is closed under it, so that
# the refusal is not lost to a reset; Go's number.
_LINGER_S = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a half received request may stand still, in seconds; idle ones are not limited."""

    head_s: float = 60.0
    body_s: float = 60.0


class BodyError(Exception):
    """The body cannot be read whole; `cause` is Go's text."""

    def __init__(self, cause: bytes) -> None:
        super().__init__(cause)
        self.cause = cause


class _Refused(Exception):
    """Carries the last words of a connection through aiohttp's queue of requests."""

    def __init__(self, words: bytes) -> None:
        super().__init__(words)
        self.words = words


class Sent(web.StreamResponse):
    """Tells aiohttp that the answer has been written already, and whether another may follow.

    Nothing of a StreamResponse is used, therefore its set-up is left out.
    """

    def __init__(self, connection: "Connection", *, is_kept: bool) -> None:
        self._connection = connection
        self._is_kept = is_kept

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request."""
        return self._is_kept and self._connection.has_more

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head is out."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until the client has taken enough of what was written."""
        await self._connection.drain()


class Connection(RequestHandler):
    """A client connection; see the module."""

    __slots__ = (
        "_date",
        "_head_timer",
        "_is_body_broken",
        "_is_last_answered",
        "_is_refusing",
        "_last_payload",
        "_limits",
        "_receiver",
        "arrival",
        "cors",
        "feed",
        "is_half_closed",
    )

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        *,
        arrival: Arrival,
        heads: HeadReader,
        date: Callable[[], bytes],
        cors: bytes,
        limits: Limits,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=10 * 365 * 86400.0,  # idle connections are never closed
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to say "none"
            lingering_time=5.0,
        )
        self._parser = None
        self._receiver = Receiver(heads)
        self._date = date
        self._limits = limits
        self.arrival = arrival
        self.cors = cors
        self.feed: WatchFeed | None = None
        self.is_half_closed = False
        self._is_refusing = False  # what comes is thrown away
        self._is_body_broken = False  # that of the last request, and nothing can follow it
        self._is_last_answered = True  # the last request that came, or there was none
        self._last_payload: StreamReader = EMPTY_PAYLOAD
        self._head_timer: asyncio.TimerHandle | None = None

    # What the application calls

    @property
    def has_more(self) -> bool:
        """Whether requests can still come: the client has not ended its side, or some wait."""
        return not self.is_half_closed or bool(self._messages)

    @property
    def is_open(self) -> bool:
        """Whether bytes written now can still reach the client."""
        return self.transport is not None

    def send(self, data: bytes) -> None:
        """Write bytes as they are; nothing happens once the client is gone."""
        if self.transport is not None:
            self.transport.write(data)

    def respond(self, response: Response, framing: Framing) -> Sent:
        """Write a whole response."""
        framing = self.settle(framing)
        self.send(wire.encode(response, framing, self._date(), self.cors))
        return self.answered(is_kept=wire.is_kept(response, framing))

    def settle(self, framing: Framing) -> Framing:
        """Return how a request is to be answered, now that its body was taken or left."""
        if self._is_body_broken and not self._messages:
            return framing._replace(is_keep_alive=False)
        return framing

    def answered(self, *, is_kept: bool) -> Sent:
        """Hear that all of a response has been written."""
        self._is_last_answered = not self._messages
        return Sent(self, is_kept=is_kept)

    def stream_head(self, headers: bytes, framing: Framing) -> bytes:
        """Return the head of a response that goes on for as long as there are events."""
        return wire.encode_stream_head(headers, framing, self._date(), self.cors)

    def expect_no_body(self) -> None:
        """Hear that the client was not asked for the body that it has announced."""
        self._lingering_time = _LINGER_S

    async def drain(self) -> None:
        """Wait while the client does not take what was written."""
        if self.writing_paused and self.transport is not None:
            await self._drain_helper()

    async def read_body(self, content: StreamReader, bytes_max: int) -> bytes:
        """Return a request body; one that is too long is given up one byte after `bytes_max`.

        Raises: BodyError for a body that breaks off, TimeoutError for one that stands still,
        ConnectionError when the client is gone.
        """
        if content.is_eof() and content.exception() is None:
            return content.read_nowait()
        parts: list[bytes] = []
        size = 0
        while size <= bytes_max and not content.at_eof():
            if not self.is_open:
                raise ConnectionResetError("the client is gone")
            async with asyncio.timeout(self._limits.body_s):
                part = await content.readany()
            parts.append(part)
            size += len(part)
        error = content.exception()
        if error is not None:  # it came together with the last part
            raise error
        return b"".join(parts)

    def cut(self) -> None:
        """End the connection now, in the middle of whatever it does."""
        if self.feed is not None:
            self.feed.cut()
        self.force_close()

    async def start(self) -> None:
        """Serve requests one after the other; a connection may be lost before its first turn."""
        if self.is_open:
            await super().start()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, with keep-alive probes every 30 s."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _TCP_KEEPALIVE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _TCP_KEEPALIVE_S)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection, and its watch at once."""
        self._stop_head_timer()
        if self.feed is not None:
            self.feed.cut()
        if not self._last_payload.is_eof():
            self._break_body(BodyError(self._receiver.truncation))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; aiohttp calls this with nothing when its queue has room again."""
        if self._is_refusing or self._force_close or self._close:
            return
        receiver = self._receiver
        receiver.feed(data)
        while len(self._messages) < self._max_msg_queue_size:
            event = receiver.next_event()
            if event is None:
                break
            if isinstance(event, Head):
                self._take_head(event)
            elif isinstance(event, BodyPart):
                self._take_body(event)
            else:
                self._take_refusal(event)
        else:
            if not self._buffer_paused:
                self._pause_reading_for_buffer()
        self._watch_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp narrows asyncio's answer
        """Keep the sending side open for as long as an answer is due."""
        self.is_half_closed = True
        if self.feed is not None:
            self.feed.finish()
        if not self._last_payload.is_eof():
            self._is_body_broken = self._receiver.is_chunked
            self._break_body(BodyError(self._receiver.truncation))
        refusal = self._receiver.end()
        if refusal is not None and not self._is_refusing:
            self._take_refusal(refusal)
        # With TLS the transport closes both sides, whatever is said here.
        return not self.arrival.is_tls and (bool(self._messages) or not self._is_last_answered)

    def pause_reading(self) -> None:
        """Hold what comes: a body is not read as fast as it arrives."""
        self._reading_paused = True
        self._pause_transport_reading()

    def pause_writing(self) -> None:
        """Hear that the client does not read."""
        super().pause_writing()
        if self.feed is not None:
            self.feed.pause()

    def resume_writing(self) -> None:
        """Hear that the client reads again."""
        super().resume_writing()
        if self.feed is not None:
            self.feed.resume()

    # Requests that arrive

    def _take_head(self, head: Head) -> None:
        """Put a request in the queue."""
        fields = head.fields
        payload = EMPTY_PAYLOAD
        if fields.body_size:
            payload = StreamReader(self, self._read_bufsize, loop=self._loop)
        message = RawRequestMessage(
            head.method,
            head.target.decode("utf-8", "surrogateescape"),
            HttpVersion10 if head.is_http10 else HttpVersion11,
            fields.headers,
            ((b"Authorization", fields.authorization),) if fields.authorization else (),
            not fields.is_kept,
            None,  # no compression is undone
            False,  # nor an upgrade made
            fields.body_size == CHUNKED,
            _NO_URL,
        )
        self._last_payload = payload
        self._queue(message, payload)

    def _take_body(self, part: BodyPart) -> None:
        """Hand on a part of the body of the last request."""
        if part.data:
            self._last_payload.feed_data(part.data)
        if part.fault:
            self._is_body_broken = self._is_refusing = True
            self._break_body(BodyError(part.fault))
        elif part.is_last:
            self._last_payload.feed_eof()

    def _take_refusal(self, refusal: Refusal) -> None:
        """Put the end of the connection in the queue, behind the requests before it."""
        self._is_refusing = True
        error = _Refused(refusal.data)
        self._queue(_ErrInfo(status=400, exc=error, message=""), EMPTY_PAYLOAD)

    def _queue(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> None:
        """Hand a request to aiohttp's task."""
        self._request_count += 1
        self._is_last_answered = False
        self._messages.append((message, payload))
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _break_body(self, error: BodyError) -> None:
        """End the body that is being received, with an error for who still wants to read it."""
        if not self._is_last_answered:
            self._last_payload.set_exception(error)
        self._last_payload.feed_eof()

    def _watch_head(self) -> None:
        """Give a head that has begun its time."""
        if not self._receiver.has_begun_head:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._limits.head_s, self._drop_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _drop_slow_head(self) -> None:
        """Close on a client that has begun a request and does not go on."""
        self._head_timer = None
        self.cut()

    # Refusals

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return the handler of what is no request."""
        error = err_info.exc
        assert isinstance(error, _Refused)

        async def serve_refused(request: web.BaseRequest) -> web.StreamResponse:
            self._refuse(error.words)
            return Sent(self, is_kept=bool(error.words))

        return serve_refused

    def refuse(self, status: int) -> Sent:
        """Answer a request that no handler shall see, and end the connection."""
        self._refuse(wire.refusal(status))
        return Sent(self, is_kept=True)

    def drop(self) -> Sent:
        """End the connection without an answer."""
        self._refuse(b"")
        return Sent(self, is_kept=False)

    def _refuse(self, data: bytes) -> None:
        """Send the last bytes of this connection and close it when the client has had them."""
        self._is_refusing = self._is_last_answered = True
        self._messages.clear()
        self._stop_head_timer()
        transport = self.transport
        if transport is None:
            return
        if self.is_half_closed or not data or not transport.can_write_eof():
            self.send(data)
            transport.close()
            return
        self.send(data)
        transport.write_eof()
        self._head_timer = self._loop.call_later(_LINGER_S, self.cut)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request whose handler failed: our bug, logged, unless the client is gone."""
        if isinstance(exc, ConnectionError):
            return self.drop()
        self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
        return self.refuse(500)


def connection_of(request: web.BaseRequest) -> Connection:
    """Return the connection that a request came on."""
    return cast(Connection, request.protocol)
