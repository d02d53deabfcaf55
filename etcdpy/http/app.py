"""The HTTP servers of a member: sockets, aiohttp, and the way from a request to its face.

A file of its own because it is the adapter: the faces know values, `handler` knows aiohttp's
insides, and here the two meet.  Rules for changing it: no answer is decided here, and nothing of
a request is read before the server is ready, which is when the member has published itself.
Source: spec/cluster.md section 6, spec/watch.md section 5.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from aiohttp import HttpVersion10, web

from etcdpy.errors import EtcdError
from etcdpy.http import keys, wire
from etcdpy.http.acceptor import Acceptor, Arrival, Listener
from etcdpy.http.access import Access
from etcdpy.http.answerers import FastPath
from etcdpy.http.backend import Backend
from etcdpy.http.connection import Connection
from etcdpy.http.fast import FastKeys
from etcdpy.http.handler import BodyError, Handler, Sent, handler_of
from etcdpy.http.heads import HeadReader
from etcdpy.http.keys import KeysRenderer
from etcdpy.http.limits import DEFAULT_LIMITS, Limit, Limits
from etcdpy.http.outgoing import Outgoing
from etcdpy.http.parties import remote_of, url_of_server
from etcdpy.http.routes import BodyRule, Match, Routes
from etcdpy.http.runner import Asked, KeysRunner
from etcdpy.http.target import TargetError, host_of
from etcdpy.http.watch import EventRenderer
from etcdpy.http.wire import ANONYMOUS, Caller, Framing, Request, Response
from etcdpy.tls.contexts import ServerTls

log = logging.getLogger("etcdpy.http.app")

#: Without a caller's bound: as many as a process can have descriptors on a stock Linux.
CONNECTIONS_MAX = 1 << 20

# A body that nobody reads is waited for if it is smaller; a larger one ends the connection.
_UNREAD_BYTES_MAX = 256 * 1024

# A form so long may hold millions of fields and escapes: it is read beside the loop.
_LONG_FORM_BYTES = 256 * 1024

# What is asked of the server as a whole, under whatever name.
_ASK_THE_SERVER = (b"*", "OPTIONS")

# How long stopping waits for bytes that were written already to leave, and how often it looks
# whether those who may still be answered have been.
_FLUSH_S = 0.05
_DRAIN_INTERVAL_S = 0.01


class RaftFace(Protocol):
    """Answers the requests of other members; `peers.RaftFace` does."""

    async def serve(
        self, request: web.BaseRequest, path: bytes, connection: Connection, framing: Framing
    ) -> bool:
        """Answer one request under /raft, which may take the connection over.

        Return whether another request may follow.
        """


class HttpServer:
    """Serves one set of routes on any number of listening sockets.

    Connections are accepted from `start` on and stay silent until `set_ready`; `stop` cuts them
    within milliseconds, watches without the end of their bodies.
    """

    def __init__(
        self,
        backend: Backend,
        routes: Routes,
        *,
        cors: bytes = wire.CORS,
        limits: Limits = DEFAULT_LIMITS,
        connections_max: int = CONNECTIONS_MAX,
        raft: RaftFace | None = None,
        access: Access | None = None,
    ) -> None:
        """`connections_max` are held at once, more of them wait to be accepted.

        `raft` is for a peer port; without it there is nothing under /raft.  With `access` the
        lines of `cors` are those that it has for each request.
        """
        self._access = access
        self._backend = backend
        self.reached = backend.monitor.traffic.reached
        self._raft = raft
        self._routes = routes
        self._cors = cors
        self.limits = limits
        self._connections_max = connections_max
        self.date = wire.DateLine()
        self._runner: KeysRunner | None = None
        self.is_stopping = False
        self._ready = asyncio.Event()
        self.fast: FastPath | None = None
        self.waiting_count = 0  # requests of the fast path that wait, watches too
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()  # requests that are being served
        self._parts: set[asyncio.Task[None]] = set()  # of requests that are counted elsewhere
        self._aiohttp: web.Server | None = None
        self._acceptor: Acceptor | None = None
        self._heads: dict[bool, HeadReader] = {}  # by whether the connection has TLS

    # Life

    async def start(self, listeners: Sequence[Listener], tls: ServerTls | None = None) -> None:
        """Accept connections on listening sockets, which are ours from now on."""
        # etcd tells gRPC and HTTP/1 apart by the first line, on a port for clients and without TLS.
        self._heads = {
            False: HeadReader(is_muxed=self._routes.has_cors),
            True: HeadReader(is_muxed=False),
        }
        loop = asyncio.get_running_loop()
        self.outgoing = Outgoing(loop, self._backend.monitor.traffic)
        self._aiohttp = web.Server(self._handle, loop=loop)
        self._acceptor = Acceptor(listeners, self._make_connection, self._connections_max, tls)
        self._acceptor.start()

    def set_ready(self) -> None:
        """Begin to answer: the member has joined, its cluster id is known."""
        renderer = KeysRenderer(self._backend.cluster_id)
        self._runner = KeysRunner(self._backend, renderer, EventRenderer(), self._spawn)
        if self._routes.has_keys:
            self.fast = FastKeys(self._runner, self._routes, self._access, self._spawn)
        self._ready.set()

    async def stop(self, drain_s: float = 0.0) -> None:
        """Close listeners and connections; returns when all tasks have ended.

        Requests that came with TLS may take `drain_s` more, watches as well: etcd has it so.
        """
        self.is_stopping = True
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._drain(drain_s)
        connections = list(self._connections)
        transports = [c.transport for c in connections if c.transport is not None]
        for connection in connections:
            connection.cut()
        tasks = [*self._tasks, *self._parts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._flush(transports)

    async def _drain(self, drain_s: float) -> None:
        """Cut connections with TLS when they have answered what they were asked."""
        serving = {c for c in self._connections if c.arrival.is_tls}
        for connection in list(serving):
            connection.cut_when_answered()
        deadline_s = asyncio.get_running_loop().time() + drain_s
        while any(c.is_answering and c.is_open for c in serving):
            if asyncio.get_running_loop().time() >= deadline_s:
                return
            await asyncio.sleep(_DRAIN_INTERVAL_S)

    async def _flush(self, transports: list[asyncio.Transport]) -> None:
        """Give written bytes a moment to leave, then abort those whose clients don't read."""
        slow = [transport for transport in transports if transport.get_write_buffer_size()]
        if slow:
            await asyncio.sleep(_FLUSH_S)
        for transport in slow:
            transport.abort()

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def full_count(self) -> int:
        """How often no more connections were accepted, because as many were open as may be."""
        return 0 if self._acceptor is None else self._acceptor.full_count

    @property
    def serving_count(self) -> int:
        """How many requests are being served, watches too."""
        return len(self._tasks) + self.waiting_count

    # What connections call

    def make_handler(self, connection: Connection) -> Handler:
        """Return aiohttp's handler of a connection's requests that the fast path does not serve."""
        assert self._aiohttp is not None
        handler = Handler(self._aiohttp, asyncio.get_running_loop(), connection)
        assert connection.transport is not None
        handler.connection_made(connection.transport)
        return handler

    def connection_made(self, connection: Connection) -> None:
        """Take note of a new connection."""
        self._connections.add(connection)
        if self.is_stopping:  # accepted before, made known after the others were cut
            connection.cut()

    def connection_lost(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        self._connections.discard(connection)
        assert self._acceptor is not None
        self._acceptor.connection_closed()

    def _make_connection(self, arrival: Arrival) -> Connection:
        """Return the protocol of a connection that was just accepted."""
        return Connection(
            self,
            asyncio.get_running_loop(),
            arrival=arrival,
            heads=self._heads[arrival.is_tls],
            cors=self._cors,
        )

    # Requests

    def _spawn(self, serving: Coroutine[Any, Any, None]) -> None:
        """Run a part of serving that takes its time in a task."""
        task = asyncio.get_running_loop().create_task(serving)
        self._parts.add(task)
        task.add_done_callback(self._parts.discard)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; called by aiohttp in a task of the request's own."""
        task = asyncio.current_task()
        assert task is not None
        handler = handler_of(request)
        self._tasks.add(task)
        try:
            if not self._ready.is_set():
                await self._ready.wait()
            is_kept = await self._serve(request, handler)
        finally:
            self._tasks.discard(task)
        return Sent(handler, is_kept=is_kept)

    async def _serve(self, request: web.BaseRequest, handler: Handler) -> bool:
        """Answer one request; return whether another may follow."""
        connection = handler.connection
        method = request.method
        is_http10 = request.version == HttpVersion10
        framing = wire.PLAIN
        if method == "HEAD" or is_http10 or not request.keep_alive:
            framing = Framing(method == "HEAD", is_http10, bool(request.keep_alive))
        expectation = request.headers.get("Expect")
        if expectation and not _expects_continue(expectation):
            close = b"Connection: close\r\n" if is_http10 else b""
            return connection.respond(Response(417, close, b"", True, True), framing)
        if log.isEnabledFor(logging.DEBUG) and self._routes.has_cors:
            log.debug("[%s] %s remote:%s", method, request.raw_path, _remote_of(request))
        raw_target = request.raw_path.encode("utf-8", "surrogateescape")
        try:
            match = self._routes.resolve(method, raw_target)
        except TargetError:
            connection.end_with(wire.refusal(400))
            return True
        if self._access is not None and (raw_target, method) != _ASK_THE_SERVER:
            refusal = _find_refusal(self._access, request, connection, raw_target)
            if refusal is not None:
                return connection.respond(refusal, _frame_unread(request, handler, framing))
        if isinstance(match, Match) and match.route.is_raft:
            return await self._serve_raft(request, match.path, connection, framing)
        if isinstance(match, Response):
            return connection.respond(match, _frame_unread(request, handler, framing))
        return await self._serve_face(request, match, handler, framing)

    async def _serve_raft(
        self, request: web.BaseRequest, path: bytes, connection: Connection, framing: Framing
    ) -> bool:
        if self._raft is None:
            return connection.respond(wire.NOT_FOUND, framing)
        return await self._raft.serve(request, path, connection, framing)

    async def _serve_face(
        self, request: web.BaseRequest, match: Match, handler: Handler, framing: Framing
    ) -> bool:
        route, connection = match.route, handler.connection
        values = Request(
            request.method, match.path, match.raw_query, caller=_caller(request, connection)
        )
        if route.guard is not None:
            refusal = await route.guard(self._backend, values)
            if refusal is not None:
                return connection.respond(refusal, _frame_unread(request, handler, framing))
        if route.body is not None and request.method in route.body.methods:
            values = await self._read_body(route.body, values, request, handler)
        if route.is_compressible:
            accepted = request.headers.get("Accept-Encoding", "")
            values = values._replace(accept_encoding=accepted)
        if route.is_self_naming:
            host = request.headers.get("Host", "")
            url = url_of_server(host, is_tls=connection.arrival.is_tls)
            values = values._replace(asked_at=url)
        framing = _frame_unread(request, handler, framing)
        if route.handler is not None:
            return connection.respond(await route.handler(self._backend, values), framing)
        return await self._serve_keys(values, connection, framing)

    async def _read_body(
        self, rule: BodyRule, values: Request, request: web.BaseRequest, handler: Handler
    ) -> Request:
        """Return the request with its media type, and its body as far as it could be read.

        Raises: ConnectionError for a client that stops sending.
        """
        content_type = request.headers.get("Content-Type", "").encode("utf-8", "surrogateescape")
        values = values._replace(content_type=content_type)
        if not rule.is_wanted(values):
            return values
        if _is_waiting(request):
            handler.connection.send(wire.CONTINUE)
        body, error = b"", b""
        bytes_max = min(rule.bytes_max, self.limits.body_bytes_max)
        try:
            body = await handler.read_body(request.content, bytes_max, self.limits.body_s)
        except BodyError as broken:
            error = broken.cause
        except TimeoutError as slow:
            self.reached[Limit.BODY_TIMEOUT] += 1
            handler.connection.cut()
            raise ConnectionError("the request body does not come") from slow
        if len(body) > bytes_max:
            self.reached[Limit.BODY_BYTES] += 1
            body, error = b"", rule.too_large
        return values._replace(body=body, body_error=error)

    async def _serve_keys(self, values: Request, connection: Connection, framing: Framing) -> bool:
        """Do what a keys request asks for."""
        backend, runner = self._backend, self._runner
        assert runner is not None
        now_ns = backend.now_ns()
        asked = Asked(values.method, values.path, framing)
        try:
            if len(values.body) < _LONG_FORM_BYTES:
                plan = keys.parse(values, now_ns)
            else:
                plan = await asyncio.to_thread(keys.parse, values, now_ns)
            if backend.authority.is_enabled():
                await backend.authority.check_key(
                    values.caller,
                    keys.key_of(values.path),
                    is_write=isinstance(plan, keys.Write),
                    is_recursive=plan.is_recursive,
                )
        except EtcdError as error:
            return runner.refuse(error, asked, connection)
        return await runner.run_to_end(plan, asked, connection)


def _find_refusal(
    access: Access, request: web.BaseRequest, connection: Connection, raw_target: bytes
) -> Response | None:
    """Return the refusal of a client that calls us by a wrong name, and see to its CORS lines."""
    connection.cors = access.cors_for(request.headers.get("Origin", ""))
    if connection.arrival.is_tls:
        return None
    host = host_of(raw_target, request.method).decode("utf-8", "surrogateescape")
    return access.find_refusal(host or request.headers.get("Host", ""))


def _caller(request: web.BaseRequest, connection: Connection) -> Caller:
    """Return who asks; of the raw headers the connection hands on that one only."""
    names = connection.arrival.certificate_names
    raw = request.raw_headers
    if not raw and not names:
        return ANONYMOUS
    return Caller(raw[0][1] if raw else b"", names)


def _remote_of(request: web.BaseRequest) -> str:
    return remote_of(request.transport and request.transport.get_extra_info("peername"))


def _expects_continue(expectation: str) -> bool:
    return "100-continue" in expectation.lower().replace(",", " ").split()


def _is_waiting(request: web.BaseRequest) -> bool:
    """Tell whether the client waits with its body to be asked for it."""
    has_expectation = bool(request.headers.get("Expect"))
    return has_expectation and request.body_exists and request.version != HttpVersion10


def _frame_unread(request: web.BaseRequest, handler: Handler, framing: Framing) -> Framing:
    """Return the framing of an answer before which the body has been read, or will not be.

    The connection ends where the rest may never come, or is too much to throw away.
    """
    content, is_waiting = request.content, _is_waiting(request)
    if content.at_eof() and not (is_waiting and content.exception()):
        return framing
    if is_waiting:
        handler.expect_no_body()
    elif int(request.headers.get("Content-Length", "").lstrip("0") or "0") < _UNREAD_BYTES_MAX:
        return framing
    return framing._replace(is_keep_alive=False)
