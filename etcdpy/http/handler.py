"""aiohttp's side of a connection: its task, its queue of requests, its streams for bodies.

A file of its own because everything that depends on aiohttp's insides is here, by name: its parser
is not used, since it takes and refuses other things than Go; requests come from the connection
that owns the socket, and answers go out through it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from yarl import URL

from etcdpy.http import wire
from etcdpy.http.connection import LINGER_S, Connection
from etcdpy.http.heads import CHUNKED, Head
from etcdpy.http.receiver import BodyPart, Refusal

# aiohttp wants one in each request; the handlers read the target as it came.
_NO_URL = URL("/")


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

    def __init__(self, handler: "Handler", *, is_kept: bool) -> None:
        self._handler = handler
        self._is_kept = is_kept

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request."""
        return self._is_kept and self._handler.has_more and not self._handler.is_body_broken

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head is out."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until the client has taken enough of what was written."""
        self._handler.note_answered()
        await self._handler.connection.drain()


class Handler(RequestHandler):
    """Answers the requests of one connection that need a task; see the module."""

    __slots__ = ("_is_broken", "_last_payload", "connection", "is_busy")

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, connection: Connection
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=10 * 365 * 86400.0,  # idle connections are never closed
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to say "none"
            lingering_time=5.0,
        )
        self._parser = None
        self.connection = connection
        self.is_busy = False
        self._is_broken = False  # the last body, and nothing can follow it
        self._last_payload: StreamReader = EMPTY_PAYLOAD

    # What the application calls

    @property
    def has_more(self) -> bool:
        """Whether requests can still come, or some wait."""
        return self.connection.has_more or bool(self._messages)

    def note_answered(self) -> None:
        """Hear that a request was answered."""
        self.is_busy = bool(self._messages)
        self.connection.watch_time()  # of a head that has begun meanwhile

    def expect_no_body(self) -> None:
        """Hear that the client was not asked for the body that it has announced."""
        self._lingering_time = LINGER_S

    async def read_body(self, content: StreamReader, bytes_max: int, time_s: float | None) -> bytes:
        """Return a request body; one that is too long is given up one byte after `bytes_max`.

        `time_s` is for how long it may stand still; None is for ever.

        Raises: BodyError for a body that breaks off, TimeoutError for one that stands still,
        ConnectionError when the client is gone.
        """
        if content.is_eof() and content.exception() is None:
            return content.read_nowait()
        parts: list[bytes] = []
        size = 0
        while size <= bytes_max and not content.at_eof():
            if not self.connection.is_open:
                raise ConnectionResetError("the client is gone")
            async with asyncio.timeout(time_s):
                part = await content.readany()
            parts.append(part)
            size += len(part)
        error = content.exception()
        if error is not None:  # it came together with the last part
            raise error
        return b"".join(parts)

    # What the connection calls

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken now; `data_received` is called when there is room."""
        if self._reading_paused:
            return True
        if len(self._messages) < self._max_msg_queue_size:
            return False
        self._buffer_paused = True
        return True

    @property
    def is_body_broken(self) -> bool:
        """Whether no request can follow the one that is being answered."""
        return self._is_broken and not self._messages

    def take_head(self, head: Head) -> None:
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

    def take_body(self, part: BodyPart) -> None:
        """Hand on a part of the body of the last request."""
        if part.data:
            self._last_payload.feed_data(part.data)
        if part.fault:
            self._is_broken = True
            self._end_body(part.fault)
        elif part.is_last:
            self._last_payload.feed_eof()

    def break_body(self, cause: bytes, *, is_last: bool) -> None:
        """Hear that a body breaks off; with `is_last` nothing can follow it."""
        if not self._last_payload.is_eof():
            self._is_broken = is_last
            self._end_body(cause)

    def take_refusal(self, refusal: Refusal) -> None:
        """Put the end of the connection in the queue, behind the requests before it."""
        error = _Refused(refusal.data)
        self._queue(_ErrInfo(status=400, exc=error, message=""), EMPTY_PAYLOAD)

    def clear(self) -> None:
        """Forget the requests that wait."""
        self._messages.clear()
        self.is_busy = False

    def _queue(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> None:
        """Hand a request to aiohttp's task."""
        self._request_count += 1
        self.is_busy = True
        self._messages.append((message, payload))
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _end_body(self, cause: bytes) -> None:
        """End the body that is being received, with an error for who still wants to read it."""
        if self.is_busy:
            self._last_payload.set_exception(BodyError(cause))
        self._last_payload.feed_eof()

    # What aiohttp calls

    async def start(self) -> None:
        """Serve requests one after the other; a connection may be lost before its first turn."""
        if self.connection.is_open:
            await super().start()

    def data_received(self, data: bytes) -> None:
        """Hear that the queue has room again: aiohttp calls this with nothing."""
        self.connection.take_events()

    def pause_reading(self) -> None:
        """Hold what comes: a body is not read as fast as it arrives."""
        self._reading_paused = True
        self.connection.hold()

    def _resume_transport_reading(self) -> None:
        self.connection.take_events()

    # Refusals

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return the handler of what is no request."""
        error = err_info.exc
        assert isinstance(error, _Refused)

        async def serve_refused(request: web.BaseRequest) -> web.StreamResponse:
            self.connection.end_with(error.words)
            return Sent(self, is_kept=bool(error.words))

        return serve_refused

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request whose handler failed: our bug, logged, unless the client is gone."""
        if isinstance(exc, ConnectionError):
            self.connection.end_with(b"")
            return Sent(self, is_kept=False)
        self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
        self.connection.end_with(wire.refusal(500))
        return Sent(self, is_kept=True)


def handler_of(request: web.BaseRequest) -> Handler:
    """Return the handler that a request was given to."""
    return cast(Handler, request.protocol)
