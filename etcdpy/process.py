"""One member as one process: its event loop, listeners, data directory, signals and end.

The order of the start is etcd's: peer listeners, client listeners, the directory's lock, the log.
Signals keep their default action until the member is ready.  What is to be a proxy is `proxying`'s.
Source: spec/cluster.md sections 1, 6 and 11; spec/config.md section 5.
"""

import asyncio
import logging
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import uvloop

from etcdpy import ETCD_VERSION, proxying
from etcdpy.collector import collect_seldom
from etcdpy.http.acceptor import Listener
from etcdpy.logs import NOTICE
from etcdpy.member import Member
from etcdpy.readiness import notify_systemd
from etcdpy.serving import Listeners
from etcdpy.settings.config import Config
from etcdpy.startup.bootstrap import start_up
from etcdpy.startup.discovery import DiscoveryError, Failure
from etcdpy.startup.exposure import warn_of_directory
from etcdpy.startup.listeners import close_listeners, listening_address, open_listeners
from etcdpy.startup.roles import Role, find_role
from etcdpy.startup.securing import MemberTls, secure_clients, secure_peers
from etcdpy.store.datadir import DataDir, DataDirInUseError
from etcdpy.store.files import Files
from etcdpy.switching import switch_soon
from etcdpy.system import (
    catch_signals,
    client_descriptors,
    end_by,
    log_signal,
)
from etcdpy.telemetry.disk import DiskFigures, MeasuredFiles, MeasuredUnsyncedFiles

main_log = logging.getLogger("etcdpy.etcdmain")
embed_log = logging.getLogger("etcdpy.embed")
server_log = logging.getLogger("etcdpy.etcdserver")
store_log = logging.getLogger("etcdpy.store")

#: How often a locked data directory is tried again, and after how long the operator is told.
LOCK_RETRY_S = 0.2
LOCK_WARN_S = 10.0


@dataclass(frozen=True, slots=True)
class _Resources:
    """What this process holds of the system, from before the start until after the end."""

    listeners: Listeners
    data_dir: DataDir
    client_connections_max: int
    tls: MemberTls
    disk: DiskFigures


def run(config: Config) -> int:
    """Run a member, or a proxy, until a signal or a fault ends it; return the exit code.

    Raises: ConfigError or FatalError where it can't start or go on.
    """
    if find_role(config) is Role.PROXY:
        return proxying.run(config)
    try:
        return _run_member(config)
    except DiscoveryError as refusal:
        if refusal.failure is not Failure.FULL or config.discovery_fallback != "proxy":
            raise
    main_log.log(NOTICE, "discovery cluster full, falling back to proxy")
    return proxying.run(config)


def _run_member(config: Config) -> int:
    """Raises: ConfigError or FatalError."""
    client_connections_max = client_descriptors()
    collect_seldom()
    switch_soon()
    _log_settings(config)
    with ExitStack() as stack:
        peers, dialing = secure_peers(config)
        peer_listeners = open_listeners(
            config.listen_peer_urls, is_unix_replaced=True, is_shared=False
        )
        stack.callback(close_listeners, peer_listeners)
        clients = secure_clients(config)
        client_listeners = open_listeners(config.listen_client_urls)
        stack.callback(close_listeners, client_listeners)
        metrics_listeners = open_listeners(config.listen_metrics_urls, is_unix_replaced=True)
        stack.callback(close_listeners, metrics_listeners)
        files = MeasuredUnsyncedFiles() if config.unsafe_no_fsync else MeasuredFiles()
        data_dir = _lock_data_dir(config, files)
        stack.callback(data_dir.close)
        tls = MemberTls(clients, peers, dialing)
        listeners = Listeners(client_listeners, peer_listeners, metrics_listeners)
        held = _Resources(listeners, data_dir, client_connections_max, tls, files.figures)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            received = runner.run(_serve(config, held))
    return end_by(received)


async def _serve(config: Config, held: _Resources) -> signal.Signals | None:
    """Start the member, wait for a reason to stop it, stop it; return the signal, if it was one.

    Raises: FatalError when the reason was a fault.
    """
    start = await start_up(config, held.data_dir, held.tls.dialing)
    for note in start.notes:
        store_log.warning("%s", note)
    hard_state, meta = start.storage.initial_state()
    if start.is_new:
        server_log.info("starting member %x in cluster %x", start.member_id, start.cluster_id)
    else:
        if meta.index:
            server_log.info("recovered store from snapshot at index %d", meta.index)
        server_log.info(
            "%s member %x in cluster %x at commit index %d",
            "forcing restart of" if start.is_forced else "restarting",
            start.member_id,
            start.cluster_id,
            hard_state.commit,
        )
        last_index = start.storage.last_index()
        last_term = start.storage.term(last_index)
        server_log.info("the log ends at index %d of term %d", last_index, last_term)
    server_log.info(
        "starting server... [version: %s, cluster version: to_be_decided]", ETCD_VERSION
    )
    member = Member(config, start, held.client_connections_max, held.tls, held.disk)
    try:
        return await _live(member, held)
    finally:
        await member.stop()


async def _live(member: Member, held: _Resources) -> signal.Signals | None:
    """Serve until a signal comes, or the member fails or is removed from the cluster."""
    for listener in held.listeners.peers:
        embed_log.info("listening for peers on %s", listening_address(listener))
    for listener in held.listeners.metrics:
        embed_log.info("listening for metrics on %s", listening_address(listener))
    starting = asyncio.ensure_future(member.start(held.listeners))
    if await _is_over(member, starting):
        starting.cancel()
        return None
    starting.result()
    for listener in held.listeners.clients:
        _log_service(listener)
    notify_systemd()
    asked = catch_signals()
    if await _is_over(member, asked):
        return None
    log_signal(asked.result())
    handing_over = asyncio.ensure_future(member.hand_over())
    await _is_over(member, handing_over)
    handing_over.cancel()
    return asked.result()


def _log_service(listener: Listener) -> None:
    """Say that clients are served at an address, and how."""
    address = listening_address(listener)
    if listener.is_plain:
        embed_log.log(
            NOTICE,
            "serving insecure client requests on %s, this is strongly discouraged!",
            address,
        )
    if listener.is_tls:
        embed_log.info("serving client requests on %s", address)


async def _is_over(member: Member, event: "asyncio.Future[Any]") -> bool:
    """Wait for `event`, or until the member was removed from the cluster: then True.

    Raises: FatalError if the member fails first.
    """
    ends = (event, member.failed, member.removed)
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if member.failed.done():
        event.cancel()
        await asyncio.gather(event, return_exceptions=True)
        raise member.failed.result()
    if not member.removed.done():
        return False
    server_log.error("the member has been permanently removed from the cluster")
    server_log.info("the data-dir used by this member must be removed.")
    return True


def _lock_data_dir(config: Config, files: Files) -> DataDir:
    """Open the data directory; wait, as etcd does, while another process has it."""
    for directory in (config.data_dir, config.wal_dir):
        warn_of_directory(directory)
    began_s = time.monotonic()
    is_told = False
    while True:
        try:
            data_dir = DataDir.open(files, config.data_dir, config.wal_dir)
            break
        except DataDirInUseError as error:
            if not is_told and time.monotonic() - began_s > LOCK_WARN_S:
                is_told = True
                server_log.warning("%s", error)
                server_log.warning("waiting for it to exit before starting...")
            time.sleep(LOCK_RETRY_S)
    for name in data_dir.strangers:
        main_log.warning(
            "found invalid file/dir %s under data dir %s (Ignore this if you are upgrading etcd)",
            name,
            data_dir.path,
        )
    if not data_dir.is_fresh:
        main_log.log(
            NOTICE,
            "the server is already initialized as member before, starting as etcd member...",
        )
    return data_dir


def _log_settings(config: Config) -> None:
    """Say how this member runs, in the lines that operators know."""
    embed_log.info("name = %s", config.name)
    embed_log.info("data dir = %s", config.data_dir)
    if config.wal_dir:
        embed_log.info("dedicated WAL dir = %s", config.wal_dir)
    embed_log.info("heartbeat = %dms", config.heartbeat_interval_ms)
    embed_log.info("election = %dms", config.election_timeout_ms)
    embed_log.info("snapshot count = %d", config.snapshot_count)
    if config.discovery:
        embed_log.info("discovery URL= %s", config.discovery)
        if config.discovery_proxy:
            embed_log.info("discovery proxy = %s", config.discovery_proxy)
    embed_log.info("advertise client URLs = %s", ",".join(config.advertise_client_urls))
