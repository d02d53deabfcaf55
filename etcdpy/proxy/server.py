"""ProxyServer: accepts clients, and sends each request its way.

A file of its own because it is where the proxy's parts meet: what comes in on a connection is
answered by `routing`, joined to a shared watch by `watches`, or carried by a `relay`.
Source: spec/cluster.md section 9.
"""

import asyncio
import logging
from collections.abc import Sequence

from etcdpy.http import wire
from etcdpy.http.acceptor import Acceptor, Arrival, Listener
from etcdpy.http.heads import HeadReader
from etcdpy.http.limits import Limits
from etcdpy.http.target import TargetError
from etcdpy.metrics.exposition import Exposition
from etcdpy.proxy.downstream import Downstream, Service
from etcdpy.proxy.exchange import Exchange
from etcdpy.proxy.exhibits import show_figures
from etcdpy.proxy.figures import label_of
from etcdpy.proxy.members import Members
from etcdpy.proxy.relay import Relay
from etcdpy.proxy.routing import Routing
from etcdpy.proxy.watches import Watches
from etcdpy.tls.contexts import ServerTls

log = logging.getLogger("etcdpy.proxy.httpproxy")


class ProxyServer:
    """Serves clients on any number of sockets, up to `connections_max` at once, within `limits`."""

    def __init__(
        self,
        routing: Routing,
        members: Members,
        connections_max: int,
        limits: Limits,
        *,
        is_coalescing: bool = False,
    ) -> None:
        """One that `is_coalescing` holds watches of many clients as one."""
        self._watches = Watches(members, self._relay) if is_coalescing else None
        self._routing = routing
        self._members = members
        self._connections_max = connections_max
        self._heads = HeadReader(is_muxed=False)
        self._connections: set[Downstream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._service = Service(
            self._serve, wire.DateLine(), self._made, self._lost, limits, members.figures.reached
        )

    async def start(self, listeners: Sequence[Listener], tls: ServerTls | None = None) -> None:
        """Accept clients on listening sockets, which are ours from now on."""
        self._acceptor = Acceptor(listeners, self._make, self._connections_max, tls)
        self._acceptor.start()

    async def stop(self) -> None:
        """Cut all clients; returns when all tasks have ended."""
        if self._acceptor is not None:
            await self._acceptor.close()
        for connection in tuple(self._connections):
            connection.cut()
        if self._watches is not None:
            self._watches.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def show(self, text: Exposition) -> None:
        """Put the proxy's metrics into the text of one scrape."""
        show_figures(self._members.figures, text)
        text.put("etcdpy_proxy_connections", len(self._connections))
        text.put("etcdpy_proxy_upstream_connections", self._members.upstream.open_count)
        text.put("etcdpy_proxy_endpoints", len(self._members.available()))
        if self._watches is not None:
            self._watches.show(text)

    def _make(self, arrival: Arrival) -> Downstream:
        return Downstream(self._service, arrival, self._heads)

    def _made(self, connection: Downstream) -> None:
        self._connections.add(connection)

    def _lost(self, connection: Downstream) -> None:
        self._connections.discard(connection)
        assert self._acceptor is not None
        self._acceptor.connection_closed()

    def _serve(self, exchange: Exchange) -> None:
        """Answer a request here, or have a member answer it."""
        try:
            answer = self._routing.answer(exchange.head)
        except TargetError:
            exchange.refuse(400)
            return
        exchange.cors = self._routing.cors_for(exchange.head)
        if answer is not None:
            exchange.respond(answer)
            return
        self._members.figures.incoming[label_of(exchange.head.method)] += 1
        if self._watches is None or not self._watches.join(exchange):
            self._relay(exchange)

    def _relay(self, exchange: Exchange) -> None:
        task = Relay(exchange, self._members).task
        self._tasks.add(task)
        task.add_done_callback(self._relayed)

    def _relayed(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a request could not be forwarded", exc_info=task.exception())
