"""The metrics that only etcdpy shows.

Their names begin with `etcdpy_`; what they count and what it means to an operator stands in
`docs/monitoring.md`.  Those that are `is_extensive` are for who works on etcdpy itself.
"""

from etcdpy.metrics.exposition import Buckets, Family, Kind

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

#: The bounds of how late the loop is, and of pauses of the collector: 1 ms to 16 s.
PAUSE_BUCKETS = Buckets(0.001, 15)
#: The bounds of how many proposals share a frame: 1 to 1,024, which is the most.
BATCH_BUCKETS = Buckets(1, 11)


_RAFT = (
    Family("etcdpy_raft_term", _GAUGE, "The current term."),
    Family("etcdpy_raft_log_first_index", _GAUGE, "First log entry that is not compacted."),
    Family("etcdpy_raft_log_last_index", _GAUGE, "Last log entry on this member's disk."),
    Family("etcdpy_raft_log_last_term", _GAUGE, "Term of that entry."),
    Family("etcdpy_raft_snapshot_index", _GAUGE, "Last log entry in the newest snapshot."),
    Family("etcdpy_raft_elections_started_total", _COUNTER, "Campaigns of this member."),
    Family(
        "etcdpy_raft_proposals_dropped_total",
        _COUNTER,
        "Proposals that were dropped, for want of a leader or of room in its log.",
    ),
    Family(
        "etcdpy_raft_forwards_refused_total",
        _COUNTER,
        "Forwarded proposals that were for the leader of another term, or came twice.",
    ),
    Family(
        "etcdpy_raft_changes_refused_total",
        _COUNTER,
        "Changes of the configuration that were proposed while another one was going on.",
    ),
    Family("etcdpy_raft_reads_dropped_total", _COUNTER, "Quorum reads dropped for want of room."),
    Family(
        "etcdpy_raft_messages_misdirected_total", _COUNTER, "Messages that were for someone else."
    ),
    Family(
        "etcdpy_raft_strangers_refused_total",
        _COUNTER,
        "Claims to lead of who is not known as a member, which members contradict.",
    ),
    Family("etcdpy_raft_proposals_held", _GAUGE, "Proposals that wait for a leader."),
    Family("etcdpy_raft_proposals_held_bytes", _GAUGE, "Bytes of proposals that wait for one."),
    Family(
        "etcdpy_raft_follower_lag_entries",
        _GAUGE,
        "Log entries that a member lacks, as its leader knows it.",
        ("To",),
    ),
    Family(
        "etcdpy_raft_batch_proposals",
        _HISTOGRAM,
        "Proposals that were taken together, to share a frame and an fsync.",
        (),
        BATCH_BUCKETS,
    ),
)

_QUEUES = (
    Family(
        "etcdpy_queue_length",
        _GAUGE,
        "What waits, by what it is: proposals, messages, reads, quorum_reads, requests, passwords.",
        ("part",),
    ),
    Family("etcdpy_peer_queue_messages", _GAUGE, "Messages that wait for a member.", ("To",)),
    Family(
        "etcdpy_http_connections",
        _GAUGE,
        "Open connections, by the listeners that they came to.",
        ("listener",),
    ),
    Family("etcdpy_watch_paths", _GAUGE, "Different paths that are watched."),
    Family("etcdpy_expiring_keys", _GAUGE, "Keys and directories with a time to live."),
    Family("etcdpy_store_index", _GAUGE, "The store's index, as X-Etcd-Index shows it."),
)

#: A proxy has it too.
LIMIT_REACHED = Family(
    "etcdpy_limit_reached_total",
    _COUNTER,
    "Times that somebody was refused, cut off or kept waiting because of it.",
    ("flag",),
)
_LIMITS = (
    Family("etcdpy_store_keys", _GAUGE, "Keys and directories of clients."),
    Family("etcdpy_store_bytes", _GAUGE, "Bytes of their names and values."),
    Family(
        "etcdpy_limit",
        _GAUGE,
        "A bound on what clients may take, in the unit of its flag; those that bound nothing are"
        " not there.",
        ("flag",),
    ),
    LIMIT_REACHED,
    Family(
        "etcdpy_quota_exceeded",
        _GAUGE,
        "1 while clients can only read and delete, because of --quota-keys or --quota-bytes.",
    ),
)

_AUTH = (
    Family("etcdpy_auth_remembered", _GAUGE, "Credentials that are known to be right."),
    Family(
        "etcdpy_auth_lookups_total",
        _COUNTER,
        "Credentials that were given, by whether they were known: hit, miss.",
        ("result",),
    ),
)

_PEERS = (
    Family(
        "etcdpy_peer_sent_messages_total",
        _COUNTER,
        "Messages sent to a member.",
        ("To",),
        is_extensive=True,
    ),
    Family(
        "etcdpy_peer_sent_frames_total",
        _COUNTER,
        "Batches that they were sent in.",
        ("To",),
        is_extensive=True,
    ),
    Family(
        "etcdpy_peer_received_messages_total",
        _COUNTER,
        "Messages received from a member.",
        ("From",),
        is_extensive=True,
    ),
    Family(
        "etcdpy_peer_received_frames_total",
        _COUNTER,
        "Batches that they were received in.",
        ("From",),
        is_extensive=True,
    ),
    Family(
        "etcdpy_peer_streams_opened_total",
        _COUNTER,
        "Streams that this member opened to another one.",
        ("To",),
    ),
    Family(
        "etcdpy_peer_streams_accepted_total",
        _COUNTER,
        "Streams that this member accepted from another one.",
        ("From",),
    ),
    Family(
        "etcdpy_peer_dials_failed_total", _COUNTER, "Failed attempts to open a stream.", ("To",)
    ),
    Family(
        "etcdpy_clock_difference_seconds",
        _GAUGE,
        "How much the clock of a member is ahead of this one's.",
        ("To",),
    ),
    Family(
        "etcdpy_peer_refusals_total",
        _COUNTER,
        "Requests and streams of members, and of strangers, that were refused, by cause.",
        ("cause",),
    ),
    Family(
        "etcdpy_peer_dial_failures_total",
        _COUNTER,
        "Failed attempts to open a stream to any member, by cause.",
        ("cause",),
    ),
)

_RUNTIME = (
    Family(
        "etcdpy_build_info",
        _GAUGE,
        "1 for 'version' of etcdpy and 'python', what it runs on.",
        ("version", "python"),
    ),
    Family(
        "etcdpy_loop_lag_seconds",
        _HISTOGRAM,
        "How late the event loop was, looked at once in each heartbeat interval.",
        (),
        PAUSE_BUCKETS,
    ),
    Family(
        "etcdpy_loop_stalls_total",
        _COUNTER,
        "Times that the event loop stood still for more than two heartbeat intervals.",
    ),
    Family(
        "etcdpy_gc_pause_seconds",
        _HISTOGRAM,
        "How long the cyclic collector kept the process.",
        (),
        PAUSE_BUCKETS,
    ),
    Family(
        "etcdpy_gc_collections_total",
        _COUNTER,
        "Runs of the cyclic collector.",
        ("generation",),
        is_extensive=True,
    ),
    Family(
        "etcdpy_gc_frozen_objects",
        _GAUGE,
        "Objects that the cyclic collector does not look at.",
        is_extensive=True,
    ),
    Family("etcdpy_log_lines_total", _COUNTER, "Lines written to the log.", ("level",)),
)

#: What only etcdpy shows.
OWN: tuple[Family, ...] = (*_RAFT, *_QUEUES, *_LIMITS, *_AUTH, *_PEERS, *_RUNTIME)
