"""The HTTP servers of one member: for clients, for other members, and for who watches over it.

A file of its own because which routes are served where, with which TLS and under which names, is
a matter of settings, and the member's other parts have nothing to do with it.
Source: spec/cluster.md section 6, spec/config.md sections 5 to 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from etcdpy.http.acceptor import Listener
from etcdpy.http.access import make_access
from etcdpy.http.app import CONNECTIONS_MAX, HttpServer
from etcdpy.http.backend import Backend
from etcdpy.http.limits import Limits
from etcdpy.http.peers.port import RaftFace
from etcdpy.http.routes import Routes
from etcdpy.http.tables import (
    CLIENT_ROUTES,
    CLIENT_ROUTES_WITH_DISCOVERY,
    CLIENT_ROUTES_WITHOUT_V2,
    METRICS_ROUTES,
    PEER_ROUTES,
)
from etcdpy.settings.config import Config
from etcdpy.startup.securing import MemberTls


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where a member listens; the servers own these from their start on."""

    clients: Sequence[Listener]
    peers: Sequence[Listener]
    metrics: Sequence[Listener] = ()


class Servers:
    """All servers of a member; `start`, `set_ready`, then the two stops, once each."""

    def __init__(
        self,
        config: Config,
        backend: Backend,
        raft: RaftFace,
        tls: MemberTls,
        client_connections_max: int,
    ) -> None:
        self._tls = tls
        limits = _limits_of(config)
        others_max = config.peer_connections_max or CONNECTIONS_MAX
        self._clients = HttpServer(
            backend,
            _client_routes(config),
            limits=limits,
            connections_max=min(config.connections_max or CONNECTIONS_MAX, client_connections_max),
            access=make_access(config.cors, config.host_whitelist),
        )
        self._peers = HttpServer(
            backend, PEER_ROUTES, cors=b"", limits=limits, connections_max=others_max, raft=raft
        )
        self._metrics = HttpServer(
            backend, METRICS_ROUTES, cors=b"", limits=limits, connections_max=others_max
        )

    def by_name(self) -> dict[str, HttpServer]:
        """Return the servers, named by who comes there."""
        return {"client": self._clients, "metrics": self._metrics, "peer": self._peers}

    async def start(self, listeners: Listeners) -> None:
        """Answer peers and metrics; clients are accepted and hear nothing before `set_ready`."""
        await self._peers.start(listeners.peers, self._tls.peers)
        self._peers.set_ready()
        await self._metrics.start(listeners.metrics, self._tls.clients)
        self._metrics.set_ready()
        await self._clients.start(listeners.clients, self._tls.clients)

    def set_ready(self) -> None:
        """Answer clients."""
        self._clients.set_ready()

    async def stop_clients(self, drain_s: float) -> None:
        """Cut clients; requests that came with TLS may take `drain_s` more."""
        await self._clients.stop(drain_s)
        await self._metrics.stop()

    async def stop_peers(self) -> None:
        """Cut other members."""
        await self._peers.stop()


def _client_routes(config: Config) -> Routes:
    if not config.enable_v2:
        return CLIENT_ROUTES_WITHOUT_V2
    return CLIENT_ROUTES_WITH_DISCOVERY if config.discovery_service else CLIENT_ROUTES


def _limits_of(config: Config) -> Limits:
    """Return the bounds of a connection."""
    return Limits(
        head_s=_seconds(config.head_timeout_ms),
        body_s=_seconds(config.body_timeout_ms),
        send_s=_seconds(config.send_timeout_ms),
        head_bytes_max=config.head_bytes_max,
        body_bytes_max=config.body_bytes_max,
    )


def _seconds(timeout_ms: int) -> float | None:
    """Return a time-out in seconds, None if it never ends."""
    return timeout_ms / 1000 if timeout_ms else None
