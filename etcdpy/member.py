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
import time
from collections.abc import Mapping, Sequence
from typing import Any

from etcdpy import ETCD_VERSION
from etcdpy.apply import Applications
from etcdpy.clustering.clocks import ClockWatch
from etcdpy.clustering.failover import EarlyElection
from etcdpy.clustering.first_election import FirstElection
from etcdpy.clustering.handover import hand_over
from etcdpy.clustering.members import Cluster
from etcdpy.clustering.publishing import publish
from etcdpy.clustering.reconfiguration import Reconfiguration, Surroundings
from etcdpy.clustering.trouble import TimeoutCauses
from etcdpy.clustering.versions import VersionMonitor
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import ConfChange, Entry, Role, SnapshotMeta, SoftState
from etcdpy.consensus.state import RaftConfig
from etcdpy.entry_checks import ENTRY_CHECKS
from etcdpy.errors import TOO_MANY_REQUESTS, EtcdError, FatalError
from etcdpy.expirer import SYNC_INTERVAL_S, Expirer
from etcdpy.http.app import CONNECTIONS_MAX
from etcdpy.http.auth.access import Authority
from etcdpy.http.auth.store import File
from etcdpy.http.backend import Outcome, RaftStatus, Value
from etcdpy.http.limits import Limit
from etcdpy.http.peers.port import RaftFace
from etcdpy.http.peers.protocol import Identity
from etcdpy.http.peers.transport import PeerCallbacks, PeerTransport
from etcdpy.linearizer import Linearizer
from etcdpy.quota import Quota
from etcdpy.received import ReceivedSnapshots
from etcdpy.serving import Listeners, Servers
from etcdpy.settings.config import Config
from etcdpy.snapshotter import Snapshotter
from etcdpy.startup.bootstrap import StartUp
from etcdpy.startup.securing import NO_TLS, MemberTls
from etcdpy.sweeper import Sweeper
from etcdpy.telemetry.disk import DiskFigures
from etcdpy.telemetry.exhibits import Parts
from etcdpy.telemetry.stats import ServerStats
from etcdpy.telemetry.telemetry import Telemetry
from etcdpy.timers import Timers
from etcdpy.tree import members
from etcdpy.tree.command import Command
from etcdpy.tree.event import Event
from etcdpy.tree.members import Member as TreeMember
from etcdpy.tree.node import NODES_AT_ONCE_MAX
from etcdpy.tree.picture import Picture
from etcdpy.tree.reading import find_file, find_value
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher

log = logging.getLogger("etcdpy.etcdserver")
raft_log = logging.getLogger("etcdpy.consensus")
embed_log = logging.getLogger("etcdpy.embed")

#: How often waiting proposals are looked at for their time-out.
WITHDRAW_INTERVAL_S = 0.1
#: How often the quota is looked at while nobody writes.
QUOTA_INTERVAL_S = 0.5


class Member:
    """One member of the cluster.  Made and used on one loop; `start`, then `stop`, once each.

    `failed` is done when the member can't go on truthfully; its result says why.
    """

    def __init__(
        self,
        config: Config,
        start: StartUp,
        client_connections_max: int = CONNECTIONS_MAX,
        tls: MemberTls = NO_TLS,
        disk: DiskFigures | None = None,
    ) -> None:
        """`client_connections_max` are held at once; `disk` is what is measured of the files."""
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
            pending_max=config.proposals_max,
        )
        self._quota = Quota(start.tree, config.quota_keys, config.quota_bytes)
        self._sweeper = Sweeper(start.tree)
        self._received = ReceivedSnapshots(start.storage, self._snapshot_installed)
        self._transport = self._make_transport(tls)
        election_s = config.election_timeout_ms / 1000
        self._cluster = Cluster(start.tree, self._transport, election_s, start.remotes)
        self._driver = self._make_driver()
        self._expirer = Expirer(self._driver, self._applications, start.tree)
        self._snapshotter = Snapshotter(
            start.storage, self._driver, start.tree, config.snapshot_count, self._fail
        )
        self._causes = TimeoutCauses(
            self.member_id,
            self._driver.status,
            lambda: [member.id for member in self.members()],
            self._transport.active_for_s,
            election_s,
        )
        beat_s, source = config.heartbeat_interval_ms / 1000, random.Random(secrets.randbits(64))
        is_active = self._transport.is_active
        self._early_election = EarlyElection(self._driver, is_active, beat_s, source)
        self._first_election = FirstElection(
            self._driver, self.member_id, self._cluster, is_active, config.election_ticks
        )
        self._reconfiguration = self._make_reconfiguration()
        self._versions = self._make_version_monitor()
        self.authority = Authority(self)
        self.monitor = self._make_telemetry(disk or DiskFigures(), tls)
        face = RaftFace(self._transport, self._received, self._fail)
        self._servers = Servers(config, self, face, tls, client_connections_max)
        self._timers = Timers()
        self._raft_status = RaftStatus(0, 0, 0)
        self._linearizer = Linearizer(
            self._driver, self._request_timeout_s, self._causes.explain, self.monitor.read_failed
        )
        self._soft_state = SoftState()  # as told last

    def _make_transport(self, tls: MemberTls) -> PeerTransport:
        urls = self._config.initial_advertise_peer_urls
        return PeerTransport(
            Identity(self._cluster_id, self.member_id, ETCD_VERSION, urls),
            self._storage,
            checks=ENTRY_CHECKS,
            removed=lambda: members.removed_ids(self._tree),
            random_source=random.Random(secrets.randbits(64)),
            callbacks=PeerCallbacks(
                on_peer_lost=self._peer_lost,
                on_removed=lambda _: self._cluster.leave(is_told=True),
            ),
            tls=tls.dialing,
        )

    def _make_driver(self) -> Driver:
        tick_s = self._config.heartbeat_interval_ms / 1000
        return Driver(
            RaftConfig(
                member_id=self.member_id,
                election_ticks=self._config.election_ticks,
                held_ticks_max=int(self._request_timeout_s / tick_s),
                removed=frozenset(members.removed_ids(self._tree)),
            ),
            self._storage,
            self,
            self._transport,
            tick_s=tick_s,
            random_source=random.Random(secrets.randbits(64)),
            on_soft_state=self._soft_state_changed,
            on_fatal=self._fail,
            installer=self._received,
            spare_s=lambda: self.monitor.traffic.looked_s,
        )

    def _make_reconfiguration(self) -> Reconfiguration:
        surroundings = Surroundings(
            propose=self._driver.propose_conf_change,
            active_for_s=self._transport.active_for_s,
            explain_timeout=self._causes.explain,
            timeout_s=self._request_timeout_s,
            is_strict=self._config.strict_reconfig_check,
        )
        return Reconfiguration(self._tree, self.member_id, surroundings)

    def _make_version_monitor(self) -> VersionMonitor:
        return VersionMonitor(
            current=lambda: self.cluster_version,
            is_leader=lambda: self._driver.status.role is Role.LEADER,
            releases=lambda: self._cluster.releases,
            agree=lambda version: self.propose(members.set_cluster_version(version, self.now_ns())),
            on_fatal=self._fail,
        )

    def _make_telemetry(self, disk: DiskFigures, tls: MemberTls) -> Telemetry:
        parts = Parts(
            self.member_id,
            self._driver,
            self._storage,
            self._transport,
            self._tree,
            self._applications,
            self._snapshotter,
            self._stats,
            disk,
            ClockWatch(self._transport, tls.dialing),
            self._quota,
            self.authority,
            self._config.limits(),
        )
        heartbeat_s = self._config.heartbeat_interval_ms / 1000
        return Telemetry(parts, heartbeat_s=heartbeat_s, metrics=self._config.metrics)

    # Life

    @property
    def removed(self) -> "asyncio.Future[None]":
        """Done when this member was removed from the cluster and has no more to say there."""
        return self._cluster.removed

    async def start(self, listeners: Listeners) -> None:
        """Serve: peers at once, clients as soon as the cluster knows of this start.

        Returns then.
        """
        await self._servers.start(listeners)
        self._transport.start(self._driver)
        self._driver.start()
        if self._config.initial_election_tick_advance:
            self._first_election.start()
        self.monitor.start(**self._servers.by_name())
        self._timers.repeat(WITHDRAW_INTERVAL_S, self._withdraw)
        self._timers.repeat(QUOTA_INTERVAL_S, self._quota.look)
        self._timers.repeat(SYNC_INTERVAL_S, self._expirer.sync)
        name, urls = self._config.name, self._config.advertise_client_urls
        await publish(self, self.member_id, name, urls)
        self._snapshotter.start()
        self._servers.set_ready()
        embed_log.info("ready to serve client requests")
        self._versions.start()

    async def hand_over(self) -> None:
        """Have another member lead, if this one does; clients are served meanwhile."""
        await hand_over(
            self._driver,
            self.member_id,
            self._cluster.voter_ids,
            self._transport.active_for_s,
            self._request_timeout_s,
        )

    async def stop(self) -> None:
        """Cut the clients, finish what is being written, close the files."""
        self._timers.stop()
        self._versions.stop()
        self._sweeper.stop()
        await self.monitor.stop()
        self._early_election.stop()
        self._first_election.stop()
        self._cluster.stop()
        await self._servers.stop_clients(0.0 if self.failed.done() else self._request_timeout_s)
        await self._transport.stop()
        await self._servers.stop_peers()
        await self._driver.stop()
        await self._snapshotter.stop()
        self._applications.withdraw_all(b"etcdserver: server stopped")
        self._storage.close()

    def _fail(self, error: FatalError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _peer_lost(self, peer_id: int) -> None:
        self._early_election.peer_lost(peer_id)

    # Applier

    def apply(self, entries: Sequence[Entry]) -> list[int]:
        """Apply committed entries; the driver's part."""
        refused = self._applications.apply(entries)
        for part in (self._snapshotter, self._received):
            part.note_applied(entries[-1].index)
        self._sweeper.look()
        return refused

    def _apply_conf_change(self, change: ConfChange) -> bool:
        refusal = self._cluster.apply(change)
        self._reconfiguration.applied(change, refusal)
        return refusal is None

    def _snapshot_installed(self, meta: SnapshotMeta, tree: Tree) -> None:
        self._applications.replace(tree, meta.index)
        self._cluster.follow()
        self._sweeper.look()

    def _soft_state_changed(self, state: SoftState) -> None:
        term = self._driver.status.term
        before, self._soft_state = self._soft_state, state
        if state.is_removed:
            self._cluster.leave(is_told=False)
        if state.role is Role.LEADER and before.role is not Role.LEADER:
            raft_log.info("%x became leader at term %d", self.member_id, term)
            self._causes.became_leader()
        if state.leader_id and state.leader_id != before.leader_id:
            self._stats.led_by(state.leader_id, self.now_ns())
            raft_log.info(
                "raft.node: %x elected leader %x at term %d", self.member_id, state.leader_id, term
            )

    def _synced(self, command: Command) -> None:
        self._expirer.synced(command)

    def _withdraw(self) -> None:
        now_s, timeout_s = self._loop.time(), self._request_timeout_s
        self._applications.withdraw(now_s, lambda due_s: self._causes.explain(due_s - timeout_s))
        self._linearizer.withdraw(now_s)

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
        """Return commit index, term and leader as they are now: the same object while they stay."""
        place = self._driver.status.place()
        if place != self._raft_status:
            self._raft_status = RaftStatus(*place)
        return self._raft_status

    def submit(self, command: Command, outcome: Outcome) -> None:
        """Replicate and apply `command`, and tell `outcome` what became of it, once.

        Raises: EtcdError 121 when too much waits already, 120 when the quota is exceeded.
        """
        self._quota.admit(command)
        deadline_s = self._loop.time() + self._request_timeout_s
        data = self._applications.register(command, outcome, deadline_s)
        try:
            self._driver.propose(data)
        except EtcdError:
            self._applications.forget(data)
            raise

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        """Replicate and apply `command`; the future has its event or its EtcdError.

        Raises: EtcdError 121 and 120, as `submit` does.
        """
        result: asyncio.Future[Event] = self._loop.create_future()
        self.submit(command, result)
        return result

    def find_value(self, path: bytes) -> Value | None:
        """Return the permanent file at `path`, counted as a read; None for anything else."""
        return find_value(self._tree, path)

    @property
    def store_index(self) -> int:
        """The store index."""
        return self._tree.index

    def get(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Event:
        """Read the local tree.

        Raises: EtcdError; LargeListingError for a directory that has to be shown as a picture.
        """
        now_ns, at_once = self.now_ns(), NODES_AT_ONCE_MAX
        return self._tree.get(
            path, is_recursive=is_recursive, is_sorted=is_sorted, now_ns=now_ns, nodes_max=at_once
        )

    def picture(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Picture:
        """Begin to read a directory for which `get` has just raised LargeListingError."""
        tree, now_ns = self._tree, self.now_ns()
        return Picture(tree, path, is_recursive=is_recursive, is_sorted=is_sorted, now_ns=now_ns)

    def linearized(self) -> "asyncio.Future[int]":
        """Return a future that is done when the local tree holds all acknowledged before now.

        It has EtcdError 300 when that can't be known in time.
        Raises: EtcdError 121 when too much waits already.
        """
        return self._linearizer.read()

    def watch(self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int) -> Watcher:
        """Register a watch.  Raises: EtcdError 401, 121 when there are as many as may be."""
        watchers_max = self._config.watchers_max
        if watchers_max and self._tree.hub.count >= watchers_max:
            self.monitor.traffic.reached[Limit.WATCHERS] += 1
            raise EtcdError(TOO_MANY_REQUESTS, b"etcdserver: too many watchers")
        return self._tree.watch(path, is_recursive=is_recursive, is_stream=is_stream, since=since)

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watch; harmless when it has ended already."""
        self._tree.unwatch(watcher)

    def find_file(self, path: bytes) -> File | None:
        """Return the file at `path` of the local tree, None if there is none; counted as a read."""
        return find_file(self._tree, path)

    def members(self) -> list[TreeMember]:
        """Return all members, ascending by id."""
        return self._cluster.members

    async def add_member(self, peer_urls: tuple[str, ...]) -> TreeMember:
        """Add a member that will be reached at `peer_urls`.  Raises: ReconfigurationError."""
        return await self._reconfiguration.add(peer_urls)

    async def update_member(self, member_id: int, peer_urls: tuple[str, ...]) -> None:
        """Give a member other peer URLs.  Raises: ReconfigurationError."""
        await self._reconfiguration.update(member_id, peer_urls)

    async def remove_member(self, member_id: int) -> None:
        """Remove a member for good.  Raises: ReconfigurationError."""
        await self._reconfiguration.remove(member_id)

    def leader(self) -> TreeMember | None:
        """Return the leader, None while there is none."""
        leader_id = self._driver.status.leader_id
        return next((m for m in self.members() if m.id == leader_id), None)

    def store_stats(self) -> Mapping[str, int]:
        """Return the operation counters, in the API's names and order."""
        return self._tree.stats.as_json(self._tree.hub.count)

    def self_stats(self) -> Mapping[str, Any]:
        """Return the object of `/v2/stats/self`."""
        return self._stats.render_self(self.now_ns(), self._transport.render_appends())

    def leader_stats(self) -> Mapping[str, Any] | None:
        """Return the object of `/v2/stats/leader`, None when this member does not lead."""
        if self._driver.status.role is not Role.LEADER:
            return None
        return self._stats.render_leader(self._transport.render_followers())
