"""Exhibits: which number of which part is which metric, and which variable of `/debug/vars`.

A file of its own because it is one long list, which changes with the list of metrics.  Nothing
here is kept: each function reads its parts and puts what it finds into the text of one scrape.
Source: spec/observability.md sections 4 and 5.
"""

import gc
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from etcdpy import ETCD_VERSION, __version__, logs
from etcdpy.apply import Applications
from etcdpy.clustering.clocks import ClockWatch
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import Role
from etcdpy.consensus.progress import ProgressState
from etcdpy.http.app import HttpServer
from etcdpy.http.auth.access import Authority
from etcdpy.http.limits import Limit
from etcdpy.http.peers.transport import PeerTransport
from etcdpy.http.traffic import METHODS, Traffic
from etcdpy.metrics.exposition import Exposition
from etcdpy.quota import Quota
from etcdpy.snapshotter import Snapshotter
from etcdpy.startup.bootstrap import RaftStorage
from etcdpy.telemetry import machine
from etcdpy.telemetry.disk import DiskFigures
from etcdpy.telemetry.pauses import CollectorWatch, LoopWatch
from etcdpy.telemetry.stats import ServerStats
from etcdpy.tree import members
from etcdpy.tree.tree import Tree

_ROLES: Mapping[Role, str] = {
    Role.FOLLOWER: "StateFollower",
    Role.PRE_CANDIDATE: "StatePreCandidate",
    Role.CANDIDATE: "StateCandidate",
    Role.LEADER: "StateLeader",
}
_PROGRESS: Mapping[ProgressState, str] = {
    ProgressState.PROBE: "StateProbe",
    ProgressState.REPLICATE: "StateReplicate",
    ProgressState.SNAPSHOT: "StateSnapshot",
}


@dataclass(slots=True)
class Probes:
    """How quorum reads and health checks went."""

    healthy_count: int = 0
    unhealthy_count: int = 0
    failed_reads_count: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a member is shown.  Those with a default are of no other use."""

    member_id: int
    driver: Driver
    storage: RaftStorage
    transport: PeerTransport
    tree: Tree
    applications: Applications
    snapshotter: Snapshotter
    stats: ServerStats
    disk: DiskFigures
    clocks: ClockWatch
    quota: Quota
    authority: Authority
    limits: Mapping[str, int]  # by flag
    servers: dict[str, HttpServer] = field(default_factory=dict)  # by who comes there
    traffic: Traffic = field(default_factory=Traffic)
    probes: Probes = field(default_factory=Probes)
    loop: LoopWatch = field(default_factory=LoopWatch)
    collector: CollectorWatch = field(default_factory=CollectorWatch)


def show(parts: Parts, text: Exposition) -> None:
    """Put every metric of a member into `text`."""
    for section in _SECTIONS:
        section(parts, text)
    show_process(text)


def _show_server(parts: Parts, text: Exposition) -> None:
    status, applications = parts.driver.status, parts.applications
    text.put("etcd_server_id", 1, f"{parts.member_id:x}")
    text.put("etcd_server_version", 1, ETCD_VERSION)
    version = members.cluster_version(parts.tree)
    if version is not None:
        text.put("etcd_cluster_version", 1, version.rpartition(".")[0])
    text.put("etcd_server_has_leader", int(status.leader_id != 0))
    text.put("etcd_server_is_leader", int(status.role is Role.LEADER))
    text.put("etcd_server_is_learner", int(parts.member_id in status.conf.learners))
    text.put("etcd_server_leader_changes_seen_total", parts.stats.leaders_count)
    text.put("etcd_server_heartbeat_send_failures_total", parts.driver.late_beats_count)
    text.put("etcd_server_proposals_committed_total", status.commit)
    text.put("etcd_server_proposals_applied_total", status.applied)
    text.put("etcd_server_proposals_pending", applications.pending_count)
    text.put("etcd_server_proposals_failed_total", applications.withdrawn_count)
    text.put("etcd_server_slow_apply_total", applications.slow_count)
    text.put("etcd_server_read_indexes_failed_total", parts.probes.failed_reads_count)
    text.put("etcd_server_health_success", parts.probes.healthy_count)
    text.put("etcd_server_health_failures", parts.probes.unhealthy_count)
    is_replaced = parts.driver.applied_meta() is None
    text.put("etcd_server_snapshot_apply_in_progress_total", int(is_replaced))


def _show_http(parts: Parts, text: Exposition) -> None:
    traffic = parts.traffic
    for method in METHODS:
        if traffic.received[method]:
            text.put("etcd_http_received_total", traffic.received[method], method)
        durations = traffic.durations[method]
        if any(durations.counts):
            text.put_durations("etcd_http_successful_duration_seconds", durations, method)
    for (status, method), count in sorted(traffic.failed.items()):
        text.put("etcd_http_failed_total", count, str(status), method)
    for listener, server in sorted(parts.servers.items()):
        text.put("etcdpy_http_connections", server.connection_count, listener)


def _show_store(parts: Parts, text: Exposition) -> None:
    tree, traffic = parts.tree, parts.traffic
    stats = tree.stats
    reads = stats.gets_success + stats.gets_fail
    recursive = min(traffic.recursive_reads_count, reads)
    for action, count in (("get", reads - recursive), ("getRecursive", recursive)):
        if count:
            text.put("etcd_debugging_store_reads_total", count, action)
    writes = {
        "compareAndDelete": stats.compare_and_delete_success + stats.compare_and_delete_fail,
        "compareAndSwap": stats.compare_and_swap_success + stats.compare_and_swap_fail,
        "create": stats.create_success + stats.create_fail,
        "delete": stats.delete_success + stats.delete_fail,
        "set": stats.sets_success + stats.sets_fail,
        "update": stats.update_success + stats.update_fail,
    }
    for action, count in writes.items():
        if count:
            text.put("etcd_debugging_store_writes_total", count, action)
    text.put("etcd_debugging_store_expires_total", stats.expire_count)
    text.put("etcd_debugging_store_watch_requests_total", traffic.watches_count)
    text.put("etcd_debugging_store_watchers", tree.hub.count)
    text.put("etcdpy_watch_paths", tree.hub.path_count)
    text.put("etcdpy_expiring_keys", len(tree.expiry))
    text.put("etcdpy_store_index", tree.index)
    text.put("etcdpy_store_keys", tree.usage.keys)
    text.put("etcdpy_store_bytes", tree.usage.size_bytes)


def _show_limits(parts: Parts, text: Exposition) -> None:
    servers, quota = parts.servers, parts.quota
    reached = parts.traffic.reached + quota.refused
    reached[Limit.PROPOSALS] += parts.applications.refused_count
    for listener, server in servers.items():
        is_clients = listener == "client"
        reached[Limit.CONNECTIONS if is_clients else Limit.PEER_CONNECTIONS] += server.full_count
    for limit in Limit:
        if limit in parts.limits:
            text.put("etcdpy_limit", parts.limits[limit], limit)
        text.put("etcdpy_limit_reached_total", reached[limit], limit)
    text.put("etcdpy_quota_exceeded", int(bool(quota.exceeded)))


def _show_auth(parts: Parts, text: Exposition) -> None:
    remembered = parts.authority.remembered
    text.put("etcdpy_auth_remembered", len(remembered))
    text.put("etcdpy_auth_lookups_total", remembered.hits_count, "hit")
    text.put("etcdpy_auth_lookups_total", remembered.misses_count, "miss")


def _show_disk(parts: Parts, text: Exposition) -> None:
    disk, snapshotter = parts.disk, parts.snapshotter
    text.put_durations("etcd_disk_wal_fsync_duration_seconds", disk.wal_syncs)
    text.put("etcd_disk_wal_write_bytes_total", disk.wal_written_bytes)
    text.put_durations("etcd_snap_fsync_duration_seconds", disk.snapshot_syncs)
    text.put_durations("etcd_debugging_snap_save_total_duration_seconds", snapshotter.durations)
    text.put_durations(
        "etcd_debugging_snap_save_marshalling_duration_seconds", snapshotter.packing_durations
    )


def _show_peers(parts: Parts, text: Exposition) -> None:
    local = f"{parts.member_id:x}"
    for peer in parts.transport.peers:
        remote, counters = f"{peer.member_id:x}", peer.counters
        is_active = int(peer.active_since_s is not None)
        text.put("etcd_network_active_peers", is_active, local, remote)
        lost = counters.disconnected
        text.put("etcd_network_disconnected_peers_total", lost, local, remote)
        text.put("etcdpy_peer_queue_messages", peer.queued_count, remote)
        for name, count in (
            ("etcd_network_peer_sent_bytes_total", counters.sent_bytes),
            ("etcd_network_peer_received_bytes_total", counters.received_bytes),
            ("etcd_network_peer_sent_failures_total", counters.dropped_messages),
            ("etcd_network_snapshot_send_success", counters.snapshots_sent),
            ("etcd_network_snapshot_send_failures", counters.snapshots_failed),
            ("etcd_network_snapshot_receive_success", counters.snapshots_received),
            ("etcd_network_snapshot_receive_failures", counters.snapshots_refused),
            ("etcdpy_peer_sent_messages_total", counters.sent_messages),
            ("etcdpy_peer_sent_frames_total", counters.sent_frames),
            ("etcdpy_peer_received_messages_total", counters.received_messages),
            ("etcdpy_peer_received_frames_total", counters.received_frames),
            ("etcdpy_peer_streams_opened_total", counters.streams_opened),
            ("etcdpy_peer_streams_accepted_total", counters.streams_accepted),
            ("etcdpy_peer_dials_failed_total", counters.dials_failed),
        ):
            text.put(name, count, remote)
        text.put_durations("etcd_network_peer_round_trip_time_seconds", peer.round_trips, remote)
    for member_id, difference_ns in sorted(parts.clocks.differences_ns.items()):
        difference_s = difference_ns / 1_000_000_000
        text.put("etcdpy_clock_difference_seconds", difference_s, f"{member_id:x}")
    refusals = parts.transport.counters
    for name, causes in (
        ("etcdpy_peer_refusals_total", refusals.rejected),
        ("etcdpy_peer_dial_failures_total", refusals.failed),
    ):
        for cause, count in sorted(causes.items()):
            text.put(name, count, cause)


def _show_raft(parts: Parts, text: Exposition) -> None:
    driver, storage = parts.driver, parts.storage
    status, counters = driver.status, driver.status.counters
    text.put("etcdpy_raft_term", status.term)
    text.put("etcdpy_raft_log_first_index", storage.first_index())
    text.put("etcdpy_raft_log_last_index", storage.last_index())
    text.put("etcdpy_raft_log_last_term", storage.term(storage.last_index()))
    text.put("etcdpy_raft_snapshot_index", storage.snapshot_meta().index)
    text.put("etcdpy_raft_elections_started_total", counters.elections_started)
    text.put("etcdpy_raft_proposals_dropped_total", counters.proposals_dropped)
    text.put("etcdpy_raft_forwards_refused_total", counters.forwards_refused)
    text.put("etcdpy_raft_changes_refused_total", counters.changes_refused)
    text.put("etcdpy_raft_reads_dropped_total", counters.reads_dropped)
    text.put("etcdpy_raft_messages_misdirected_total", counters.messages_misdirected)
    text.put("etcdpy_raft_strangers_refused_total", counters.strangers_refused)
    text.put("etcdpy_raft_proposals_held", status.held_count)
    text.put("etcdpy_raft_proposals_held_bytes", status.held_bytes)
    if status.role is Role.LEADER:
        for member_id, progress in sorted(status.progress.items()):
            if member_id != parts.member_id:
                lag = max(0, status.last_index - progress.match)
                text.put("etcdpy_raft_follower_lag_entries", lag, f"{member_id:x}")
    text.put_histogram("etcdpy_raft_batch_proposals", driver.batch_sizes, driver.batched_count)


def _show_queues(parts: Parts, text: Exposition) -> None:
    backlog = parts.driver.backlog
    serving = sum(server.serving_count for server in parts.servers.values())
    for part, count in (
        ("proposals", backlog.proposals),
        ("messages", backlog.messages),
        ("reads", backlog.new_reads),
        ("quorum_reads", backlog.open_reads),
        ("requests", serving),
        ("passwords", parts.authority.waiting_count),
    ):
        text.put("etcdpy_queue_length", count, part)


def _show_runtime(parts: Parts, text: Exposition) -> None:
    text.put("etcdpy_build_info", 1, __version__, platform.python_version())
    text.put_durations("etcdpy_loop_lag_seconds", parts.loop.lags)
    text.put("etcdpy_loop_stalls_total", parts.loop.stalls_count)
    text.put_durations("etcdpy_gc_pause_seconds", parts.collector.pauses)
    for generation, figures in enumerate(gc.get_stats()):
        text.put("etcdpy_gc_collections_total", figures["collections"], str(generation))
    text.put("etcdpy_gc_frozen_objects", gc.get_freeze_count())
    for level, count in sorted(logs.line_counts().items()):
        text.put("etcdpy_log_lines_total", count, level)


def show_process(text: Exposition) -> None:
    """Put what the system tells of this process into `text`."""
    text.put("process_cpu_seconds_total", machine.cpu_s())
    text.put("process_max_fds", machine.descriptors_max())
    text.put("os_fd_limit", machine.descriptors_max())
    text.put("process_virtual_memory_max_bytes", machine.virtual_bytes_max())
    descriptors = machine.find_descriptor_count()
    if descriptors is not None:
        text.put("process_open_fds", descriptors)
        text.put("os_fd_used", descriptors)
    memory = machine.find_memory()
    if memory is not None:
        text.put("process_resident_memory_bytes", memory.resident_bytes)
        text.put("process_virtual_memory_bytes", memory.virtual_bytes)
        text.put("process_start_time_seconds", memory.started_s)


_SECTIONS = (
    _show_server,
    _show_http,
    _show_store,
    _show_limits,
    _show_auth,
    _show_disk,
    _show_peers,
    _show_raft,
    _show_queues,
    _show_runtime,
)


def variables(parts: Parts) -> dict[str, Any]:
    """Return the values of `/debug/vars`, in the order of the answer."""
    return {
        "cmdline": sys.orig_argv,
        "file_descriptor_limit": machine.descriptors_max(),
        "memstats": _memory_figures(parts),
        "raft.status": _raft_status(parts),
    }


def _memory_figures(parts: Parts) -> dict[str, int]:
    """Return of Go's figures those that mean something here, under the names that they have."""
    memory = machine.find_memory()
    figures = {
        "NumGC": sum(parts.collector.pauses.counts),
        "PauseTotalNs": parts.collector.pauses.total,
    }
    if memory is not None:
        figures = {"Alloc": memory.resident_bytes, "Sys": memory.virtual_bytes, **figures}
    return figures


def _raft_status(parts: Parts) -> dict[str, Any]:
    status = parts.driver.status
    progress = status.progress if status.role is Role.LEADER else {}
    return {
        "id": f"{parts.member_id:x}",
        "term": status.term,
        "vote": f"{status.vote:x}",
        "commit": status.commit,
        "lead": f"{status.leader_id:x}",
        "raftState": _ROLES[status.role],
        "applied": status.applied,
        "progress": {
            f"{member_id:x}": {
                "match": known.match,
                "next": known.next,
                "state": _PROGRESS[known.state],
            }
            for member_id, known in sorted(progress.items())
        },
        "leadtransferee": f"{status.transfer_to:x}",
    }
