"""One proxy as one process: what it is built of, its event loop, its signals and its end.

A file of its own because it is `process` for what is no member: it reads the settings and gives
the proxy's parts their values.  The order of the start is etcd's: TLS, the stored cluster, one look
at who the members are, and only then the listeners.
Source: spec/cluster.md section 9.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from etcdpy.collector import collect_seldom
from etcdpy.errors import ConfigError
from etcdpy.http.access import Access
from etcdpy.http.limits import Limits
from etcdpy.logs import NOTICE
from etcdpy.metrics.exposition import Exposition
from etcdpy.metrics.proxy import PROXY_FAMILIES
from etcdpy.proxy.director import Director
from etcdpy.proxy.figures import Figures
from etcdpy.proxy.members import Members
from etcdpy.proxy.refreshing import Description, Refresher, UnknownClusterError
from etcdpy.proxy.routing import Routing
from etcdpy.proxy.server import ProxyServer
from etcdpy.proxy.stored_cluster import StoredCluster
from etcdpy.proxy.upstream import Timeouts, Upstream
from etcdpy.readiness import notify_systemd
from etcdpy.settings.config import Config
from etcdpy.settings.proxy import READONLY
from etcdpy.startup.discovery import find_cluster
from etcdpy.startup.domain import find_founders
from etcdpy.startup.joining import describe_cluster
from etcdpy.startup.listeners import close_listeners, open_listeners
from etcdpy.startup.roles import PROXY_NAME
from etcdpy.startup.securing import ProxyTls, secure_proxy
from etcdpy.system import (
    catch_signals,
    client_descriptors,
    end_by,
    log_signal,
)
from etcdpy.telemetry.exhibits import show_process
from etcdpy.tls.contexts import ClientTls
from etcdpy.urls import parse_initial_cluster

log = logging.getLogger("etcdpy.etcdmain")

_MS_PER_S = 1000
#: Of so many descriptors one is for a member.
UPSTREAM_SHARE = 2
UPSTREAM_SHARE_COALESCED = 32


def run(config: Config) -> int:
    """Run a proxy until a signal ends it; return the exit code.

    Whoever wanted to be a member and found the cluster under `--discovery` full comes here too.
    Raises: ConfigError where it can't start.
    """
    connections_max = client_descriptors()
    collect_seldom()
    log.log(NOTICE, "proxy: this proxy supports v2 API only!")
    tls = secure_proxy(config)
    stored = StoredCluster(Path(config.data_dir) / PROXY_NAME)
    known = stored.read()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(_live(config, tls, stored, known, connections_max))
    return end_by(received)


async def _find_peer_urls(config: Config, known: Sequence[str] | None, path: Path) -> Sequence[str]:
    """Return where the members are to be asked first; `known` stands in the file at `path`.

    Raises: ConfigError.
    """
    if known is not None:
        for setting, words in (
            (config.discovery, "discovery token"),
            (config.discovery_srv, "DNS SRV discovery"),
        ):
            if setting:
                log.warning(
                    "%s ignored since the proxy has already been initialized."
                    ' Valid cluster file found at "%s"',
                    words,
                    path,
                )
        log.info('proxy: using peer urls [%s] from cluster file "%s"', " ".join(known), path)
        return known
    founders = await _find_founders(config)
    found = sorted({url for member in founders.values() for url in member})
    log.info("proxy: using peer urls [%s] ", " ".join(found))
    return found


async def _find_founders(config: Config) -> Mapping[str, Sequence[str]]:
    """Return the members' peer URLs by name, wherever the settings say that they stand.

    Raises: ConfigError.
    """
    if config.discovery:
        return parse_initial_cluster(await find_cluster(config.discovery, config.discovery_proxy))
    if config.discovery_srv:
        own, name = config.initial_advertise_peer_urls, config.discovery_srv_name
        return await find_founders(config.discovery_srv, name, config.name, own, is_member=False)
    return config.initial_cluster_urls()


async def _live(
    config: Config,
    tls: ProxyTls,
    stored: StoredCluster,
    known: Sequence[str] | None,
    connections_max: int,
) -> signal.Signals:
    """Serve until a signal comes; return it.

    Raises: ConfigError where the members can't be known or a listener can't be had.
    """
    peer_urls = await _find_peer_urls(config, known, stored.path)
    # A client that waits needs a connection to a member too, unless many share one.
    share = UPSTREAM_SHARE_COALESCED if config.proxy_coalesce else UPSTREAM_SHARE
    members = _make_members(config, tls.to_clients, connections_max // share)
    refresher = Refresher(peer_urls, lambda urls: _ask(urls, tls.to_peers), stored, members)
    try:
        await refresher.refresh()
        with ExitStack() as stack:
            listeners = open_listeners(config.listen_client_urls)
            stack.callback(close_listeners, listeners)
            server = make_server(
                config, members, connections_max - members.upstream.connections_max
            )
            await server.start(listeners, tls.listening)
            for url in config.listen_client_urls:
                log.info('v2 proxy started listening on client requests on "%s"', url)
            notify_systemd()
            refreshing = asyncio.ensure_future(refresher.run())
            asked = catch_signals()
            await asyncio.wait((asked, refreshing), return_when=asyncio.FIRST_COMPLETED)
            if refreshing.done():
                refreshing.result()  # it never ends by itself: our bug, to be seen
            refreshing.cancel()
            log_signal(asked.result())
            await server.stop()
            return asked.result()
    finally:
        members.upstream.close()


def _make_members(config: Config, tls: ClientTls, connections_max: int) -> Members:
    failure_wait_s = config.proxy_failure_wait_ms / _MS_PER_S
    refresh_s = config.proxy_refresh_interval_ms / _MS_PER_S
    timeouts = Timeouts(
        dial_s=config.proxy_dial_timeout_ms / _MS_PER_S or None,
        write_s=config.proxy_write_timeout_ms / _MS_PER_S or None,
        read_s=config.proxy_read_timeout_ms / _MS_PER_S or None,
    )
    upstream = Upstream(tls, timeouts, connections_max)
    director = Director(failure_wait_s, refresh_s, random.Random())
    return Members(director, upstream, Figures(), failure_wait_s)


def make_server(config: Config, members: Members, connections_max: int) -> ProxyServer:
    """Return the server of a proxy with these settings; its caller starts and stops it."""
    server: ProxyServer

    def render_metrics() -> bytes:
        text = Exposition(PROXY_FAMILIES)
        show_process(text)
        server.show(text)
        return text.render()

    routing = Routing(
        Access(config.cors),
        is_readonly=config.proxy == READONLY,
        render_metrics=render_metrics,
        endpoints=lambda: [endpoint.url for endpoint in members.available()],
    )
    limits = Limits(
        head_s=config.head_timeout_ms / _MS_PER_S or None,
        body_s=config.body_timeout_ms / _MS_PER_S or None,
        send_s=config.send_timeout_ms / _MS_PER_S or None,
    )
    server = ProxyServer(
        routing, members, connections_max, limits, is_coalescing=config.proxy_coalesce
    )
    return server


async def _ask(urls: Sequence[str], tls: ClientTls) -> Description:
    """Return what the first of these peer URLs tells.  Raises: UnknownClusterError."""
    try:
        running = await describe_cluster(urls, tls)
    except ConfigError as error:
        raise UnknownClusterError(str(error)) from error
    return Description(
        tuple(sorted(url for member in running.members for url in member.peer_urls)),
        tuple(sorted(url for member in running.members for url in member.client_urls)),
    )
