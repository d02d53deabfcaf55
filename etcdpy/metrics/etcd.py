"""The metrics that etcd shows too, for what means the same in a server of the v2 API.

Names, types, labels, bounds and helps are etcd's, so that its dashboards and alerts go on working.
Source: spec/observability.md section 4, and the `/metrics` of the real etcd.
"""

from etcdpy.metrics.exposition import Buckets, Family, Kind

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

#: The bounds of the disk: 1 ms to 8 s.
DISK_BUCKETS = Buckets(0.001, 14)
#: The bounds of requests: 0.5 ms to 2 s.
HTTP_BUCKETS = Buckets(0.0005, 13)
#: The bounds of round trips between members: 0.1 ms to 3 s.
ROUND_TRIP_BUCKETS = Buckets(0.0001, 16)

_SERVER = (
    Family(
        "etcd_server_id",
        _GAUGE,
        "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
        ("server_id",),
    ),
    Family(
        "etcd_server_version",
        _GAUGE,
        "Which version is running. 1 for 'server_version' label with current version.",
        ("server_version",),
    ),
    Family(
        "etcd_cluster_version",
        _GAUGE,
        "Which version is running. 1 for 'cluster_version' label with current cluster version",
        ("cluster_version",),
    ),
    Family(
        "etcd_server_has_leader",
        _GAUGE,
        "Whether or not a leader exists. 1 is existence, 0 is not.",
    ),
    Family(
        "etcd_server_is_leader",
        _GAUGE,
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
    ),
    Family(
        "etcd_server_is_learner",
        _GAUGE,
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
    ),
    Family(
        "etcd_server_leader_changes_seen_total",
        _COUNTER,
        "The number of leader changes seen.",
    ),
    Family(
        "etcd_server_heartbeat_send_failures_total",
        _COUNTER,
        "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
    ),
    Family(
        "etcd_server_proposals_committed_total",
        _GAUGE,
        "The total number of consensus proposals committed.",
    ),
    Family(
        "etcd_server_proposals_applied_total",
        _GAUGE,
        "The total number of consensus proposals applied.",
    ),
    Family(
        "etcd_server_proposals_pending",
        _GAUGE,
        "The current number of pending proposals to commit.",
    ),
    Family(
        "etcd_server_proposals_failed_total",
        _COUNTER,
        "The total number of failed proposals seen.",
    ),
    Family(
        "etcd_server_read_indexes_failed_total",
        _COUNTER,
        "The total number of failed read indexes seen.",
    ),
    Family(
        "etcd_server_slow_apply_total",
        _COUNTER,
        "The total number of slow apply requests (likely overloaded from slow disk).",
    ),
    Family("etcd_server_health_success", _COUNTER, "The total number of successful health checks"),
    Family("etcd_server_health_failures", _COUNTER, "The total number of failed health checks"),
    Family(
        "etcd_server_snapshot_apply_in_progress_total",
        _GAUGE,
        "1 if the server is applying the incoming snapshot. 0 if none.",
    ),
)

_HTTP = (
    Family(
        "etcd_http_received_total",
        _COUNTER,
        "Counter of requests received into the system (successfully parsed and authd).",
        ("method",),
    ),
    Family(
        "etcd_http_failed_total",
        _COUNTER,
        "Counter of handle failures of requests (non-watches), by method (GET/PUT etc.)"
        " and code (400, 500 etc.).",
        ("code", "method"),
    ),
    Family(
        "etcd_http_successful_duration_seconds",
        _HISTOGRAM,
        "Bucketed histogram of processing time (s) of successfully handled requests"
        " (non-watches), by method (GET/PUT etc.).",
        ("method",),
        HTTP_BUCKETS,
    ),
)

_STORE = (
    Family(
        "etcd_debugging_store_reads_total",
        _COUNTER,
        "Total number of reads action by (get/getRecursive), local to this member.",
        ("action",),
    ),
    Family(
        "etcd_debugging_store_writes_total",
        _COUNTER,
        "Total number of writes (e.g. set/compareAndDelete) seen by this member.",
        ("action",),
    ),
    Family("etcd_debugging_store_expires_total", _COUNTER, "Total number of expired keys."),
    Family(
        "etcd_debugging_store_watch_requests_total",
        _COUNTER,
        "Total number of incoming watch requests (new or reestablished).",
    ),
    Family("etcd_debugging_store_watchers", _GAUGE, "Count of currently active watchers."),
)

_NETWORK = (
    Family(
        "etcd_network_active_peers",
        _GAUGE,
        "The current number of active peer connections.",
        ("Local", "Remote"),
    ),
    Family(
        "etcd_network_disconnected_peers_total",
        _COUNTER,
        "The total number of disconnected peers.",
        ("Local", "Remote"),
    ),
    Family(
        "etcd_network_peer_sent_bytes_total",
        _COUNTER,
        "The total number of bytes sent to peers.",
        ("To",),
    ),
    Family(
        "etcd_network_peer_received_bytes_total",
        _COUNTER,
        "The total number of bytes received from peers.",
        ("From",),
    ),
    Family(
        "etcd_network_peer_sent_failures_total",
        _COUNTER,
        "The total number of send failures from peers.",
        ("To",),
    ),
    Family(
        "etcd_network_peer_round_trip_time_seconds",
        _HISTOGRAM,
        "Round-Trip-Time histogram between peers",
        ("To",),
        ROUND_TRIP_BUCKETS,
    ),
    Family(
        "etcd_network_snapshot_send_success",
        _COUNTER,
        "Total number of successful snapshot sends",
        ("To",),
    ),
    Family(
        "etcd_network_snapshot_send_failures",
        _COUNTER,
        "Total number of snapshot send failures",
        ("To",),
    ),
    Family(
        "etcd_network_snapshot_receive_success",
        _COUNTER,
        "Total number of successful snapshot receives",
        ("From",),
    ),
    Family(
        "etcd_network_snapshot_receive_failures",
        _COUNTER,
        "Total number of snapshot receive failures",
        ("From",),
    ),
)

_DISK = (
    Family(
        "etcd_disk_wal_fsync_duration_seconds",
        _HISTOGRAM,
        "The latency distributions of fsync called by WAL.",
        (),
        DISK_BUCKETS,
    ),
    Family("etcd_disk_wal_write_bytes_total", _GAUGE, "Total number of bytes written in WAL."),
    Family(
        "etcd_snap_fsync_duration_seconds",
        _HISTOGRAM,
        "The latency distributions of fsync called by snap.",
        (),
        DISK_BUCKETS,
    ),
    Family(
        "etcd_debugging_snap_save_total_duration_seconds",
        _HISTOGRAM,
        "The total latency distributions of save called by snapshot.",
        (),
        DISK_BUCKETS,
    ),
    Family(
        "etcd_debugging_snap_save_marshalling_duration_seconds",
        _HISTOGRAM,
        "The marshalling cost distributions of save called by snapshot.",
        (),
        DISK_BUCKETS,
    ),
)

#: What the system tells of a process.
PROCESS = (
    Family(
        "process_cpu_seconds_total", _COUNTER, "Total user and system CPU time spent in seconds."
    ),
    Family("process_open_fds", _GAUGE, "Number of open file descriptors."),
    Family("process_max_fds", _GAUGE, "Maximum number of open file descriptors."),
    Family("process_resident_memory_bytes", _GAUGE, "Resident memory size in bytes."),
    Family("process_virtual_memory_bytes", _GAUGE, "Virtual memory size in bytes."),
    Family(
        "process_virtual_memory_max_bytes",
        _GAUGE,
        "Maximum amount of virtual memory available in bytes.",
    ),
    Family(
        "process_start_time_seconds",
        _GAUGE,
        "Start time of the process since unix epoch in seconds.",
    ),
    Family("os_fd_used", _GAUGE, "The number of used file descriptors."),
    Family("os_fd_limit", _GAUGE, "The file descriptor limit."),
)

#: What etcd shows too, and means the same by.
ETCD: tuple[Family, ...] = (*_SERVER, *_HTTP, *_STORE, *_NETWORK, *_DISK, *PROCESS)
