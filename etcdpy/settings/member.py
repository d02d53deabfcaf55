"""Settings of one member: its name, its disk, its time, and where it listens.

Source: spec/config.md section 2.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.settings.kinds import (
    BOOLEAN,
    MEMBER,
    NUMBER,
    NUMBER64,
    TEXT,
    URLS,
    Setting,
)

DEFAULT_NAME = "default"
DEFAULT_CLIENT_URL = "http://localhost:2379"
DEFAULT_PEER_URL = "http://localhost:2380"
DEFAULT_SNAPSHOT_COUNT = 100_000
#: A longer election would leave a cluster without a leader for minutes.
ELECTION_TIMEOUT_MS_MAX = 50_000
#: Fewer heartbeats than this in one election time-out, and one lost packet starts an election.
HEARTBEATS_PER_ELECTION_MIN = 5


class MemberSettings(BaseModel):
    """What one member is and where it is."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Annotated[
        str, Setting("name", TEXT, MEMBER, "What people call this member; unique in its cluster.")
    ] = DEFAULT_NAME
    data_dir: Annotated[
        str,
        Setting("data-dir", TEXT, MEMBER, "Where the data is kept; `NAME.etcd` if empty."),
    ] = ""
    wal_dir: Annotated[
        str,
        Setting("wal-dir", TEXT, MEMBER, "Where the log is kept; inside the data dir if empty."),
    ] = ""
    snapshot_count: Annotated[
        int,
        Setting(
            "snapshot-count",
            NUMBER64,
            MEMBER,
            "Entries that are applied between two snapshots.",
            unit="entries",
            bound=f"0 means {DEFAULT_SNAPSHOT_COUNT}",
        ),
    ] = DEFAULT_SNAPSHOT_COUNT
    heartbeat_interval_ms: Annotated[
        int,
        Setting(
            "heartbeat-interval",
            NUMBER,
            MEMBER,
            "How often the leader tells the others that it is there.",
            unit="ms",
            bound="> 0",
        ),
    ] = 100
    election_timeout_ms: Annotated[
        int,
        Setting(
            "election-timeout",
            NUMBER,
            MEMBER,
            "How long a member waits for a leader before it stands for election.",
            unit="ms",
            bound=f"{HEARTBEATS_PER_ELECTION_MIN} heartbeats to {ELECTION_TIMEOUT_MS_MAX}",
        ),
    ] = 1000
    listen_peer_urls: Annotated[
        tuple[str, ...],
        Setting(
            "listen-peer-urls",
            URLS,
            MEMBER,
            "Where this member listens for other members.",
            bound="host is an IP address or localhost",
        ),
    ] = (DEFAULT_PEER_URL,)
    listen_client_urls: Annotated[
        tuple[str, ...],
        Setting(
            "listen-client-urls",
            URLS,
            MEMBER,
            "Where this member listens for clients; needs --advertise-client-urls.",
            bound="host is an IP address or localhost",
        ),
    ] = (DEFAULT_CLIENT_URL,)
    max_snapshots: Annotated[
        int,
        Setting(
            "max-snapshots",
            NUMBER,
            MEMBER,
            "Snapshot files that are kept.",
            unit="files",
            bound="0 keeps all",
        ),
    ] = 5
    max_wals: Annotated[
        int,
        Setting(
            "max-wals",
            NUMBER,
            MEMBER,
            "Log files that are kept; those still needed for a restart always are.",
            unit="files",
            bound="0 keeps all",
        ),
    ] = 5
    enable_v2: Annotated[
        bool,
        Setting("enable-v2", BOOLEAN, MEMBER, "Serve the v2 API; without it `/v2` is not found."),
    ] = True
