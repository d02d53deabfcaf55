"""Member: builds the objects of the packages, connects them, and owns their start and stop.

It is the Backend that the handlers see, and the Applier that the driver feeds.  Rules for
changing it: it decides nothing that a package below can decide, and holds no state that one of
them could hold.
Source: spec/cluster.md sections 6 and 8.
"""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etcdpy import CLUSTER_VERSION
from etcdpy.apply import Applications
from etcdpy.bootstrap import StartUp
from etcdpy.config import Config
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import (
    ConfChange,
    Entry,
    Message,
    Role,
    SnapshotRequest,
    SoftState,
)
from etcdpy.consensus.state import RaftConfig
from etcdpy.errors import RAFT_INTERNAL, EtcdError, FatalError
from etcdpy.http.app import (
    CLIENT_ROUTES,
    CLIENT_ROUTES_WITHOUT_V2,
    CONNECTIONS_MAX,
    PEER_ROUTES,
    HttpServer,
)
from etcdpy.http.backend import RaftStatus
from etcdpy.logs import NOTICE
from etcdpy.membership import apply_change
from etcdpy.snapshotter import Snapshotter
from etcdpy.stats import ServerStats
from etcdpy.tree import members
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event
from etcdpy.tree.members import Member as TreeMember
from etcdpy.tree.watch import PENDING_MAX, Watcher

log = logging.getLogger("etcdpy.etcdserver")
raft_log = logging.getLogger("etcdpy.consensus")
embed_log = logging.getLogger("etcdpy.embed")
membership_log = logging.getLogger("etcdpy.etcdserver.membership")
api_log = logging.getLogger("etcdpy.etcdserver.api")

#: How often the leader has expired nodes removed while any node has a TTL; etcd's number.
SYNC_INTERVAL_S = 0.5
#: Nodes that one SYNC removes at most.  A removal is at most two events for a watcher, and one that
#: is read is emptied after each command: so it never overflows, however many nodes expire.
SYNC_LIMIT = PENDING_MAX // 2
#: How often waiting proposals are looked at for their time-out.
WITHDRAW_INTERVAL_S = 0.1
#: How long a member waits before it tries again to publish itself or to agree on a version.
RETRY_INTERVAL_S = 0.1
#: How long a health probe waits for the quorum; etcd's number.
HEALTH_TIMEOUT_S = 1.0

_TIMED_OUT = b"etcdserver: request timed out"
_STOPPED = b"etcdserver: server stopped"


class _NoPeers:
    """The transport of a member that is alone: nothing is ever sent."""

    def send(self, messages: Sequence[Message]) -> None:
        assert not messages

    def send_snapshot(self, request: SnapshotRequest) -> None:
        raise AssertionError(f"no member {request.to:x} to send a snapshot to")


class Member:
    """One member of the cluster.  Made and used on one loop; `start`, then `stop`, once each.

    `failed` is done when the member can't go on truthfully; its result says why.
    """

    def __init__(
        self, config: Config, start: StartUp, client_connections_max: int = CONNECTIONS_MAX
    ) -> None:
        """`client_connections_max` are held at once, more of them wait to be accepted."""
        self._config = config
        self._request_timeout_s = config.request_timeout_s
        self._storage = start.storage
        self._tree = start.tree
        self.member_id = start.member_id
        self._cluster_id = start.cluster_id
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[FatalError] = self._loop.create_future()
        self._stats = ServerStats(config.name, start.member_id, self.now_ns())
        self._applications = Applications(
            start.tree,
            member_id=start.member_id,
            boot=secrets.randbits(64),
            applied=start.storage.snapshot_meta().index,
            on_conf_change=self._apply_conf_change,
            on_sync=self._synced,
        )
        self._driver = Driver(
            RaftConfig(
                member_id=start.member_id,
                election_ticks=config.election_ticks,
                removed=frozenset(members.removed_ids(start.tree)),
            ),
            start.storage,
            self,
            _NoPeers(),
            tick_s=config.heartbeat_interval_ms / 1000,
            random_source=random.Random(secrets.randbits(64)),
            on_soft_state=self._soft_state_changed,
            on_fatal=self._fail,
        )
        self._snapshotter = Snapshotter(
            start.storage, self._driver, start.tree, config.snapshot_count, self._fail
        )
        client_routes = CLIENT_ROUTES if config.enable_v2 else CLIENT_ROUTES_WITHOUT_V2
        self._client_server = HttpServer(
            self, client_routes, connections_max=client_connections_max
        )
        self._peer_server = HttpServer(self, PEER_ROUTES, cors=b"")
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._version_task: asyncio.Task[None] | None = None

    # Life

    async def start(
        self, client_sockets: Sequence[socket.socket], peer_sockets: Sequence[socket.socket]
    ) -> None:
        """Serve: peers at once, clients as soon as the cluster knows of this start.

        Returns then.
        """
        self._driver.start()
        self._repeat("withdraw", WITHDRAW_INTERVAL_S, self._withdraw)
        self._repeat("sync", SYNC_INTERVAL_S, self._sync)
        await self._peer_server.start(peer_sockets)
        self._peer_server.set_ready()
        # Accepted and silent until the member is ready, as in etcd.
        await self._client_server.start(client_sockets)
        await self._publish()
        self._snapshotter.start()
        self._client_server.set_ready()
        embed_log.info("ready to serve client requests")
        self._version_task = self._loop.create_task(self._agree_on_version())

    async def stop(self) -> None:
        """Cut the clients, finish what is being written, close the files."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._version_task is not None:
            self._version_task.cancel()
        await self._client_server.stop()
        await self._peer_server.stop()
        await self._driver.stop()
        await self._snapshotter.stop()
        self._applications.withdraw_all(_STOPPED)
        self._storage.close()

    def _fail(self, error: FatalError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _repeat(self, name: str, interval_s: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers[name] = self._loop.call_later(interval_s, run)
            action()

        self._timers[name] = self._loop.call_later(interval_s, run)

    async def _publish(self) -> None:
        """Tell the cluster this member's name and client URLs; retried until it is known."""
        urls = self._config.advertise_client_urls
        while True:
            command = members.publish(self.member_id, self._config.name, urls, self.now_ns())
            try:
                await self.propose(command)
                break
            except EtcdError as error:
                log.error("publish error: %s", error.cause.decode())
                await asyncio.sleep(RETRY_INTERVAL_S)
        log.info(
            "published {Name:%s ClientURLs:[%s]} to cluster %x",
            self._config.name,
            " ".join(urls),
            self._cluster_id,
        )

    async def _agree_on_version(self) -> None:
        """As leader of a cluster without a version, set it; say which one is in force.

        Tried until there is one, as long as the member lives.
        """
        short = CLUSTER_VERSION.rpartition(".")[0]
        while self.cluster_version is None:
            if self._driver.status.role is not Role.LEADER:
                await asyncio.sleep(RETRY_INTERVAL_S)
                continue
            log.info("setting up the initial cluster version to %s", short)
            try:
                await self.propose(members.set_cluster_version(CLUSTER_VERSION, self.now_ns()))
            except EtcdError as error:
                log.error("failed to set the cluster version: %s", error.cause.decode())
                await asyncio.sleep(RETRY_INTERVAL_S)
        membership_log.log(NOTICE, "set the initial cluster version to %s", short)
        api_log.info("enabled capabilities for version %s", short)

    # Applier

    def apply(self, entries: Sequence[Entry]) -> list[int]:
        """Apply committed entries; the driver's part."""
        refused = self._applications.apply(entries)
        self._snapshotter.note_applied(entries[-1].index)
        return refused

    def _apply_conf_change(self, change: ConfChange) -> bool:
        return apply_change(self._tree, change, self._cluster_id)

    def _soft_state_changed(self, state: SoftState) -> None:
        term = self._driver.status.term
        if state.role is Role.LEADER:
            raft_log.info("%x became leader at term %d", self.member_id, term)
            self._stats.became_leader(self.now_ns())
        if state.leader_id:
            raft_log.info(
                "raft.node: %x elected leader %x at term %d", self.member_id, state.leader_id, term
            )

    # Expiry

    def _sync(self) -> None:
        """As leader, have what has expired removed, on every member alike."""
        if self._driver.status.role is Role.LEADER and self._tree.has_expiring:
            command = Command(CommandKind.SYNC, self.now_ns(), limit=SYNC_LIMIT)
            try:
                self._driver.propose(self._applications.wrap(command))
            except EtcdError:
                log.debug("no room for a sync, the next one comes")

    def _synced(self, command: Command) -> None:
        """Go on at once when one SYNC was not enough."""
        due_ns = self._tree.next_expiration_ns
        if due_ns is not None and due_ns <= command.now_ns:
            self._loop.call_soon(self._sync)

    def _withdraw(self) -> None:
        self._applications.withdraw(self._loop.time(), _TIMED_OUT)

    # Backend

    @property
    def cluster_id(self) -> int:
        """The cluster's id."""
        return self._cluster_id

    @property
    def cluster_version(self) -> str | None:
        """The agreed cluster version, None until there is one."""
        return members.cluster_version(self._tree)

    def now_ns(self) -> int:
        """Return the wall clock, Unix nanoseconds."""
        return time.time_ns()

    def raft_status(self) -> RaftStatus:
        """Return commit index, term and leader as they are now."""
        status = self._driver.status
        return RaftStatus(status.commit, status.term, status.leader_id)

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        """Replicate and apply `command`; the future has its event or its EtcdError.

        Raises: EtcdError 300 when too much waits already.
        """
        result: asyncio.Future[Event] = self._loop.create_future()
        deadline_s = self._loop.time() + self._request_timeout_s
        data = self._applications.register(command, result, deadline_s)
        try:
            self._driver.propose(data)
        except EtcdError:
            self._applications.forget(data)
            raise
        return result

    def get(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Event:
        """Read the local tree.  Raises: EtcdError."""
        return self._tree.get(
            path, is_recursive=is_recursive, is_sorted=is_sorted, now_ns=self.now_ns()
        )

    async def linearize(self) -> None:
        """Wait until the local tree holds all that was acknowledged before the call.

        Raises: EtcdError 300 when that can't be known in time.
        """
        try:
            await asyncio.wait_for(self._driver.read_index(), self._request_timeout_s)
        except TimeoutError:
            raise EtcdError(RAFT_INTERNAL, _TIMED_OUT) from None

    def watch(self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int) -> Watcher:
        """Register a watch.  Raises: EtcdError 401."""
        return self._tree.watch(path, is_recursive=is_recursive, is_stream=is_stream, since=since)

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watch; harmless when it has ended already."""
        self._tree.unwatch(watcher)

    def count_auth_probe(self) -> None:
        """Count the look-up of the auth switch, which fails while auth was never set up."""
        self._tree.stats.gets_fail += 1

    def members(self) -> list[TreeMember]:
        """Return all members, ascending by id."""
        return members.list_members(self._tree)

    def leader(self) -> TreeMember | None:
        """Return the leader, None while there is none."""
        leader_id = self._driver.status.leader_id
        return next((m for m in self.members() if m.id == leader_id), None)

    def store_stats(self) -> Mapping[str, int]:
        """Return the operation counters, in the API's names and order."""
        return self._tree.stats.as_json(self._tree.hub.count)

    def self_stats(self) -> Mapping[str, Any]:
        """Return the object of `/v2/stats/self`."""
        return self._stats.render_self(self.now_ns())

    def leader_stats(self) -> Mapping[str, Any] | None:
        """Return the object of `/v2/stats/leader`, None when this member does not lead."""
        if self._driver.status.role is not Role.LEADER:
            return None
        return self._stats.render_leader()

    async def is_healthy(self) -> bool:
        """Tell whether a leader is known and a quorum answers within 1 s."""
        if self._driver.status.leader_id == 0:
            return False
        try:
            await asyncio.wait_for(self._driver.read_index(), HEALTH_TIMEOUT_S)
        except (TimeoutError, EtcdError):
            return False
        self._tree.stats.gets_success += 1  # the probe is a quorum read
        return True
