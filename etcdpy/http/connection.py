"""One client connection: aiohttp's protocol with etcd's manners.

A file of its own because everything that depends on aiohttp's insides is here, by name: half-closed
clients still get their answers, heads and bodies are bounded in size and time, what the parser
refuses is answered as etcd does, and a watch can take the connection over.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, InvalidURLError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from etcdpy.http import refused, wire
from etcdpy.http.refused import Understood
from etcdpy.http.watch import WatchFeed
from etcdpy.http.wire import Framing, Response

# Go allows a head of 1 MiB and 4 KiB of slack for its own buffering.
HEAD_BYTES_MAX = 1024 * 1024 + 4096

# The parser's own limits stand behind ours, which counts the whole head and answers as etcd does.
_PARSER_BYTES_MAX = 2 * HEAD_BYTES_MAX

TRUNCATED_BODY = b"unexpected EOF"
BAD_CHUNK = b"invalid byte in chunk length"

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
        "_answer_refused",
        "_date",
        "_head_parts",
        "_head_size",
        "_head_timer",
        "_is_body_broken",
        "_is_last_answered",
        "_is_refusing",
        "_last_payload",
        "_limits",
        "_refused_data",
        "cors",
        "feed",
        "is_half_closed",
    )

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        *,
        answer_refused: Callable[[Understood], Response | None],
        date: Callable[[], bytes],
        cors: bytes,
        limits: Limits,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=10 * 365 * 86400.0,  # idle connections are never closed
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to say "none"
            auto_decompress=False,
            max_line_size=_PARSER_BYTES_MAX,
            max_field_size=_PARSER_BYTES_MAX,
            max_headers=_PARSER_BYTES_MAX,
            lingering_time=5.0,
        )
        self._answer_refused = answer_refused
        self._date = date
        self._limits = limits
        self.cors = cors
        self.feed: WatchFeed | None = None
        self.is_half_closed = False
        self._is_refusing = False  # what comes is thrown away
        self._is_body_broken = False  # and with it the boundaries of all that follows
        self._is_last_answered = True  # the last request that came, or there was none
        self._last_payload: StreamReader = EMPTY_PAYLOAD
        self._head_parts: list[bytes] = []
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused_data = b""

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
        if self._is_body_broken:
            framing = framing._replace(is_keep_alive=False)
        self.send(wire.encode(response, framing, self._date(), self.cors))
        self._is_last_answered = not self._messages
        return Sent(self, is_kept=wire.is_kept(response, framing))

    def stream_head(self, headers: bytes, framing: Framing) -> bytes:
        """Return the head of a response that goes on for as long as there are events."""
        return wire.encode_stream_head(headers, framing, self._date(), self.cors)

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
            self._break_body(BodyError(TRUNCATED_BODY))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and watch over heads that do not end."""
        if self._is_refusing:
            return
        count = self._request_count
        is_in_body = not self._last_payload.is_eof()
        if not is_in_body and not data.isascii():
            data = refused.escape_target(data, is_start=not self._head_parts)
        super().data_received(data)
        if self._request_count == count:
            if not is_in_body and data:
                self._gather_head(data)
            return
        if self._messages:
            message, payload = self._messages[-1]
            if isinstance(message, _ErrInfo):
                is_only_one = self._request_count == count + 1
                self._note_refusal(data, is_in_body=is_in_body, is_only_one=is_only_one)
                return
            self._last_payload = payload
            self._is_last_answered = False
        self._forget_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp narrows asyncio's answer
        """Keep the sending side open for as long as an answer is due."""
        self.is_half_closed = True
        if self.feed is not None:
            self.feed.finish()
        if not self._last_payload.is_eof():
            self._break_body(BodyError(TRUNCATED_BODY))
        return bool(self._messages) or not self._is_last_answered

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

    # Heads

    def _gather_head(self, data: bytes) -> None:
        """Count and keep the bytes of a head that is not whole yet."""
        self._head_parts.append(data)
        self._head_size += len(data)
        if self._head_size > HEAD_BYTES_MAX:
            self._refuse(wire.refusal(431))
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._limits.head_s, self._drop_slow_head)

    def _forget_head(self) -> None:
        if self._head_parts:
            self._head_parts = []
            self._head_size = 0
            self._stop_head_timer()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _drop_slow_head(self) -> None:
        """Close on a client that has begun a request and does not go on."""
        self._head_timer = None
        self.cut()

    # Refusals

    def _note_refusal(self, data: bytes, *, is_in_body: bool, is_only_one: bool) -> None:
        """Keep what the parser has refused, for the answer when its turn comes."""
        self._is_refusing = True
        self._is_last_answered = False
        if is_in_body:
            self._is_body_broken = True
            self._messages.pop()
            self._break_body(BodyError(BAD_CHUNK))
        elif is_only_one:
            self._refused_data = b"".join(self._head_parts) + data
        self._forget_head()

    def _break_body(self, error: BodyError) -> None:
        """End the body that is being received, with an error for who still wants to read it."""
        if not self._is_last_answered:
            self._last_payload.set_exception(error)
        self._last_payload.feed_eof()

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return the handler of a request that the parser has refused."""
        is_line = isinstance(err_info.exc, BadHttpMethod | InvalidURLError)

        async def serve_refused(request: web.BaseRequest) -> web.StreamResponse:
            return self._serve_refused(is_request_line=is_line)

        return serve_refused

    def _serve_refused(self, *, is_request_line: bool) -> Sent:
        """Answer what the parser has refused, for its method or target or for something else."""
        verdict = refused.judge(self._refused_data) if self._refused_data else wire.refusal(400)
        if isinstance(verdict, Understood) and is_request_line:
            response = self._answer_refused(verdict)
            if response is not None:
                framing = Framing(verdict.method == "HEAD", verdict.is_http10, False)
                return self.respond(response, framing)
        self._refuse(verdict if isinstance(verdict, bytes) else wire.refusal(400))
        return Sent(self, is_kept=True)

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
        self._forget_head()
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
