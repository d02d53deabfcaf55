"""The HTTP servers of a member: sockets, aiohttp, and the way from a request to its face.

A file of its own because it is the adapter: the faces know values, `connection` knows aiohttp's
insides, and here the two meet.  Rules for changing it: no answer is decided here, and nothing of
a request is read before the server is ready, which is when the member has published itself.
Source: spec/cluster.md section 6, spec/watch.md section 5.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from aiohttp import HttpVersion10, web
from aiohttp.web_protocol import RequestHandler

from etcdpy.errors import EtcdError
from etcdpy.http import keys, wire
from etcdpy.http.acceptor import Acceptor, Arrival, Listener
from etcdpy.http.access import Access
from etcdpy.http.backend import Backend
from etcdpy.http.connection import BodyError, Connection, Limits, Sent, connection_of
from etcdpy.http.heads import HeadReader
from etcdpy.http.keys import KeysRenderer
from etcdpy.http.listing import ListingSender
from etcdpy.http.routes import BodyRule, Match, Routes
from etcdpy.http.target import TargetError, host_of
from etcdpy.http.traffic import QUORUM_GET
from etcdpy.http.watch import EventRenderer, WatchFeed
from etcdpy.http.wire import ANONYMOUS, Caller, Framing, Request, Response
from etcdpy.tls.contexts import ServerTls
from etcdpy.tree.node import LargeListingError

log = logging.getLogger("etcdpy.http.app")

DEFAULT_LIMITS = Limits()
#: Without a caller's bound: as many as a process can have descriptors on a stock Linux.
CONNECTIONS_MAX = 1 << 20

# A body that nobody reads is waited for if it is smaller; a larger one ends the connection.
_UNREAD_BYTES_MAX = 256 * 1024

# A form so long may hold millions of fields and escapes: it is read beside the loop.
_LONG_FORM_BYTES = 256 * 1024

# What is asked of the server as a whole, under whatever name.
_ASK_THE_SERVER = (b"*", "OPTIONS")

# How long stopping waits for bytes that were written already to leave.
_FLUSH_S = 0.05


class RaftFace(Protocol):
    """Answers the requests of other members; `peers.RaftFace` does."""

    async def serve(
        self, request: web.BaseRequest, path: bytes, connection: Connection, framing: Framing
    ) -> Sent:
        """Answer one request under /raft; it may hold the connection, and take it over."""


class _AiohttpServer(web.Server):
    """aiohttp's low-level server, with connections of ours."""

    def __init__(self, server: "HttpServer", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server.handle, loop=loop)
        self._http_server = server

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._http_server.is_stopping:  # accepted before, made known after the others were cut
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._http_server.connection_lost()


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
        self._traffic = backend.monitor.traffic
        self._raft = raft
        self._routes = routes
        self._cors = cors
        self._limits = limits
        self._connections_max = connections_max
        self._date = wire.DateLine()
        self._render_event = EventRenderer()
        self._listings = ListingSender()
        self._renderer: KeysRenderer | None = None
        self.is_stopping = False
        self._ready = asyncio.Event()
        self._tasks: dict[asyncio.Task[Any], Connection] = {}  # requests that are being served
        self._aiohttp: _AiohttpServer | None = None
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
        self._aiohttp = _AiohttpServer(self, asyncio.get_running_loop())
        self._acceptor = Acceptor(listeners, self._make_connection, self._connections_max, tls)
        self._acceptor.start()

    def set_ready(self) -> None:
        """Begin to answer: the member has joined, its cluster id is known."""
        self._renderer = KeysRenderer(self._backend.cluster_id)
        self._ready.set()

    async def stop(self, drain_s: float = 0.0) -> None:
        """Close listeners and connections; returns when all tasks have ended.

        Requests that came with TLS may take `drain_s` more, watches as well: etcd has it so.
        """
        self.is_stopping = True
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._drain(drain_s)
        connections = self._connections()
        transports = [c.transport for c in connections if c.transport is not None]
        for connection in connections:
            connection.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._flush(transports)

    async def _drain(self, drain_s: float) -> None:
        """Cut connections with TLS when they have answered what they were asked."""
        serving = {task: c for task, c in self._tasks.items() if c.arrival.is_tls}
        if not serving or drain_s <= 0:
            return
        busy = set(serving.values())
        for connection in self._connections():
            if connection.arrival.is_tls and connection not in busy:
                connection.cut()
        for task, connection in serving.items():
            task.add_done_callback(partial(_cut_when_done, connection))
        await asyncio.wait(serving, timeout=drain_s)

    async def _flush(self, transports: list[asyncio.Transport]) -> None:
        """Give written bytes a moment to leave, then abort those whose clients don't read."""
        slow = [transport for transport in transports if transport.get_write_buffer_size()]
        if slow:
            await asyncio.sleep(_FLUSH_S)
        for transport in slow:
            transport.abort()

    def _connections(self) -> list[Connection]:
        if self._aiohttp is None:
            return []
        return [c for c in self._aiohttp.connections if isinstance(c, Connection)]

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections())

    @property
    def serving_count(self) -> int:
        """How many requests are being served, watches too."""
        return len(self._tasks)

    def connection_lost(self) -> None:
        """Take note that a connection has ended."""
        assert self._acceptor is not None
        self._acceptor.connection_closed()

    def _make_connection(self, arrival: Arrival) -> Connection:
        """Return the protocol of a connection that was just accepted."""
        assert self._aiohttp is not None
        return Connection(
            self._aiohttp,
            asyncio.get_running_loop(),
            arrival=arrival,
            heads=self._heads[arrival.is_tls],
            date=self._date,
            cors=self._cors,
            limits=self._limits,
        )

    # Requests

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; called by aiohttp in a task of the request's own."""
        task = asyncio.current_task()
        assert task is not None
        connection = connection_of(request)
        self._tasks[task] = connection
        try:
            if not self._ready.is_set():
                await self._ready.wait()
            return await self._serve(request, connection)
        finally:
            del self._tasks[task]

    async def _serve(self, request: web.BaseRequest, connection: Connection) -> Sent:
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
            log.debug("[%s] %s remote:%s", method, request.raw_path, _remote(request))
        raw_target = request.raw_path.encode("utf-8", "surrogateescape")
        try:
            match = self._routes.resolve(method, raw_target)
        except TargetError:
            return connection.refuse(400)
        if self._access is not None and (raw_target, method) != _ASK_THE_SERVER:
            refusal = _find_refusal(self._access, request, connection, raw_target)
            if refusal is not None:
                return connection.respond(refusal, _frame_unread(request, connection, framing))
        if isinstance(match, Match) and match.route.is_raft:
            return await self._serve_raft(request, match.path, connection, framing)
        if isinstance(match, Response):
            return connection.respond(match, _frame_unread(request, connection, framing))
        return await self._serve_face(request, match, connection, framing)

    async def _serve_raft(
        self, request: web.BaseRequest, path: bytes, connection: Connection, framing: Framing
    ) -> Sent:
        if self._raft is None:
            return connection.respond(wire.NOT_FOUND, framing)
        return await self._raft.serve(request, path, connection, framing)

    async def _serve_face(
        self, request: web.BaseRequest, match: Match, connection: Connection, framing: Framing
    ) -> Sent:
        route = match.route
        values = Request(
            request.method, match.path, match.raw_query, caller=_caller(request, connection)
        )
        if route.guard is not None:
            refusal = await route.guard(self._backend, values)
            if refusal is not None:
                return connection.respond(refusal, _frame_unread(request, connection, framing))
        if route.body is not None and request.method in route.body.methods:
            values = await self._read_body(route.body, values, request, connection)
        if route.is_compressible:
            accepted = request.headers.get("Accept-Encoding", "")
            values = values._replace(accept_encoding=accepted)
        framing = _frame_unread(request, connection, framing)
        if route.handler is not None:
            return connection.respond(await route.handler(self._backend, values), framing)
        return await self._serve_keys(values, connection, framing)

    async def _read_body(
        self, rule: BodyRule, values: Request, request: web.BaseRequest, connection: Connection
    ) -> Request:
        """Return the request with its media type, and its body as far as it could be read.

        Raises: ConnectionError for a client that stops sending.
        """
        content_type = request.headers.get("Content-Type", "").encode("utf-8", "surrogateescape")
        values = values._replace(content_type=content_type)
        if not rule.is_wanted(values):
            return values
        if _is_waiting(request):
            connection.send(wire.CONTINUE)
        body, error = b"", b""
        try:
            body = await connection.read_body(request.content, rule.bytes_max)
        except BodyError as broken:
            error = broken.cause
        except TimeoutError as slow:
            connection.cut()
            raise ConnectionError("the request body does not come") from slow
        if len(body) > rule.bytes_max:
            body, error = b"", rule.too_large
        return values._replace(body=body, body_error=error)

    async def _serve_keys(self, values: Request, connection: Connection, framing: Framing) -> Sent:
        """Do what a keys request asks for."""
        backend, renderer, traffic = self._backend, self._renderer, self._traffic
        assert renderer is not None
        began_ns = backend.now_ns()
        method = ""  # until it is allowed: what is refused before is not counted
        try:
            if len(values.body) < _LONG_FORM_BYTES:
                plan = keys.parse(values, began_ns)
            else:
                plan = await asyncio.to_thread(keys.parse, values, began_ns)
            if backend.authority.is_enabled():
                await backend.authority.check_key(
                    values.caller,
                    keys.key_of(values),
                    is_write=isinstance(plan, keys.Write),
                    is_recursive=plan.is_recursive,
                )
            method = values.method
            if isinstance(plan, keys.Watch):
                return await self._serve_watch(plan, connection, framing)
            if isinstance(plan, keys.Read) and plan.is_quorum:
                method = QUORUM_GET
            traffic.received[method] += 1
            if isinstance(plan, keys.Write):
                event = await backend.propose(plan.command)
                response = renderer.respond(event, backend.raft_status(), plan.is_value_hidden)
            else:
                if plan.is_quorum:
                    await backend.linearize()
                if plan.is_recursive:
                    traffic.recursive_reads_count += 1
                event = backend.get(
                    plan.path, is_recursive=plan.is_recursive, is_sorted=plan.is_sorted
                )
                response = renderer.respond(event, backend.raft_status())
            traffic.succeeded(method, values.path, backend.now_ns() - began_ns)
        except LargeListingError:
            assert isinstance(plan, keys.Read)
            sent = await self._listings.serve(plan, backend, renderer, connection, framing)
            traffic.succeeded(method, values.path, backend.now_ns() - began_ns)
            return sent
        except EtcdError as error:
            response = renderer.respond_error(error)
            if method:
                traffic.failed[response.status, method] += 1
        return connection.respond(response, framing)

    async def _serve_watch(
        self, plan: keys.Watch, connection: Connection, framing: Framing
    ) -> Sent:
        """Hold the connection for a watch until it ends on either side.

        Raises: EtcdError 401.
        """
        backend, renderer = self._backend, self._renderer
        assert renderer is not None
        self._traffic.watches_count += 1
        watcher = backend.watch(
            plan.path, is_recursive=plan.is_recursive, is_stream=plan.is_stream, since=plan.since
        )
        is_whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def end(is_body_whole: bool) -> None:
            connection.feed = None
            backend.unwatch(watcher)
            if not is_whole.done():
                is_whole.set_result(is_body_whole)

        feed = WatchFeed(
            watcher, self._render_event, connection.send, end, is_chunked=not framing.is_http10
        )
        connection.feed = feed
        headers = renderer.head_lines(watcher.start_index, backend.raft_status())
        feed.start(connection.stream_head(headers, framing))
        if connection.is_half_closed:
            feed.finish()
        elif not connection.is_open:
            feed.cut()
        try:
            is_kept = await is_whole and framing.is_keep_alive and not framing.is_http10
        finally:
            feed.cut()
        return Sent(connection, is_kept=is_kept)


def _cut_when_done(connection: Connection, task: asyncio.Task[Any]) -> None:
    connection.cut()


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


def _remote(request: web.BaseRequest) -> str:
    """Return where a request comes from as etcd's log shows it."""
    address = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(address, tuple):
        return "@"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def _expects_continue(expectation: str) -> bool:
    return "100-continue" in expectation.lower().replace(",", " ").split()


def _is_waiting(request: web.BaseRequest) -> bool:
    """Tell whether the client waits with its body to be asked for it."""
    has_expectation = bool(request.headers.get("Expect"))
    return has_expectation and request.body_exists and request.version != HttpVersion10


def _frame_unread(request: web.BaseRequest, connection: Connection, framing: Framing) -> Framing:
    """Return the framing of an answer before which the body has been read, or will not be.

    The connection ends where the rest may never come, or is too much to throw away.
    """
    if request.content.at_eof():
        return framing
    if _is_waiting(request):
        connection.expect_no_body()
    elif int(request.headers.get("Content-Length") or "0") < _UNREAD_BYTES_MAX:
        return framing
    return framing._replace(is_keep_alive=False)
