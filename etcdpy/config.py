"""Config: the one list of settings, and the rules that hold between them.

The command line, the environment, the YAML file, `--help`, `config.example.yml` and the table in
`docs/configuration.md` all come from the fields below or are tested against them: to add a
setting, add a field here, a row there and nothing else.  A field's name carries its unit; the
flag's name is etcd's.  Config only describes: building one opens, resolves and creates nothing.
Source: spec/config.md sections 2 and 4.
"""

from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator

from etcdpy.errors import ConfigError
from etcdpy.settings import (
    BOOLEAN,
    CLUSTER_STATE,
    NUMBER,
    NUMBER64,
    TEXT,
    URLS,
    Setting,
)
from etcdpy.urls import (
    HostPort,
    UrlError,
    can_bind,
    parse_initial_cluster,
    parse_url,
    split_host_port,
)

DEFAULT_NAME = "default"
DEFAULT_CLIENT_URL = "http://localhost:2379"
DEFAULT_PEER_URL = "http://localhost:2380"
DEFAULT_INITIAL_CLUSTER = f"{DEFAULT_NAME}={DEFAULT_PEER_URL}"
DEFAULT_SNAPSHOT_COUNT = 100_000
#: A longer election would leave a cluster without a leader for minutes.
ELECTION_TIMEOUT_MS_MAX = 50_000
#: Fewer heartbeats than this in one election time-out, and one lost packet starts an election.
HEARTBEATS_PER_ELECTION_MIN = 5
#: What a request may take beside two elections before it is answered with an error.
REQUEST_TIMEOUT_BASE_MS = 5_000

LOGGERS = ("capnslog", "zap")
LOG_LEVELS = ("debug", "info", "warn", "error", "panic", "fatal")

MEMBER = "Member"
CLUSTERING = "Clustering"
LOGGING = "Logging"
UNSAFE = "Unsafe"
DEPRECATED = "Deprecated"


class Config(BaseModel):
    """How one member is to run: complete, checked and immutable.

    Building one raises ConfigError where settings contradict each other; URL lists are tuples in
    etcd's spelling, ascending.
    """

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

    initial_advertise_peer_urls: Annotated[
        tuple[str, ...],
        Setting(
            "initial-advertise-peer-urls",
            URLS,
            CLUSTERING,
            "Where the other members reach this one.",
            bound="host is not empty",
        ),
    ] = (DEFAULT_PEER_URL,)
    initial_cluster: Annotated[
        str,
        Setting(
            "initial-cluster",
            TEXT,
            CLUSTERING,
            "The founding members, `name=peer-url,...`; ignored once there is a log."
            " Follows --name and --initial-advertise-peer-urls where only a name is given.",
        ),
    ] = DEFAULT_INITIAL_CLUSTER
    initial_cluster_state: Annotated[
        str,
        Setting(
            "initial-cluster-state",
            CLUSTER_STATE,
            CLUSTERING,
            "Whether to found a cluster (`new`) or to join one (`existing`).",
        ),
    ] = "new"
    initial_cluster_token: Annotated[
        str,
        Setting(
            "initial-cluster-token",
            TEXT,
            CLUSTERING,
            "Goes into the ids of a new cluster, so that two clusters never mix.",
        ),
    ] = "etcd-cluster"
    advertise_client_urls: Annotated[
        tuple[str, ...],
        Setting(
            "advertise-client-urls",
            URLS,
            CLUSTERING,
            "Where clients reach this member, as the members list tells them.",
            bound="host is not empty",
        ),
    ] = (DEFAULT_CLIENT_URL,)
    strict_reconfig_check: Annotated[
        bool,
        Setting(
            "strict-reconfig-check",
            BOOLEAN,
            CLUSTERING,
            "Refuse changes of members that would lose the quorum.",
        ),
    ] = True
    pre_vote: Annotated[
        bool,
        Setting(
            "pre-vote",
            BOOLEAN,
            CLUSTERING,
            "Accepted for etcd's sake; a pre-vote round is always held.",
        ),
    ] = True

    logger: Annotated[
        str,
        Setting(
            "logger",
            TEXT,
            LOGGING,
            "The form of log lines: `capnslog` (plain text) or `zap` (JSON).",
            bound="capnslog, zap",
        ),
    ] = "capnslog"
    log_level: Annotated[
        str,
        Setting(
            "log-level",
            TEXT,
            LOGGING,
            "The least serious lines that are written.",
            bound=", ".join(LOG_LEVELS),
        ),
    ] = "info"

    force_new_cluster: Annotated[
        bool,
        Setting(
            "force-new-cluster",
            BOOLEAN,
            UNSAFE,
            "Go on alone with the data of a cluster that has lost its majority;"
            " for one start, ignored where there is no log.",
        ),
    ] = False
    unsafe_no_fsync: Annotated[
        bool,
        Setting(
            "unsafe-no-fsync",
            BOOLEAN,
            UNSAFE,
            "Answer writes before they are safe on disk: a power cut loses data.",
        ),
    ] = False

    debug: Annotated[
        bool, Setting("debug", BOOLEAN, DEPRECATED, "The same as --log-level=debug.")
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the settings that follow from others."""
        name = values.get("name", DEFAULT_NAME)
        derived = dict(values)
        if isinstance(name, str):
            # Bytes of a command line that are no UTF-8: shown as Go shows them.
            name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            derived["name"] = name
        if not values.get("data_dir"):
            derived["data_dir"] = f"{name}.etcd"
        if values.get("snapshot_count") == 0:
            derived["snapshot_count"] = DEFAULT_SNAPSHOT_COUNT
        cluster = values.get("initial_cluster", DEFAULT_INITIAL_CLUSTER)
        if name != DEFAULT_NAME and cluster == DEFAULT_INITIAL_CLUSTER:
            urls = values.get("initial_advertise_peer_urls", (DEFAULT_PEER_URL,))
            founder = name or DEFAULT_NAME
            derived["initial_cluster"] = ",".join(f"{founder}={url}" for url in urls)
        return derived

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse settings that contradict each other, in etcd's order and words."""
        self._check_words()
        for url in self.listen_peer_urls + self.listen_client_urls:
            if not can_bind(url):
                raise ConfigError(f"expected IP in URL for binding ({url})")
        _check_hosts("initial-advertise-peer-urls", self.initial_advertise_peer_urls)
        _check_hosts("advertise-client-urls", self.advertise_client_urls)
        self._check_times()
        if not self.advertise_client_urls:
            raise ConfigError(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly"
            )
        return self

    def _check_words(self) -> None:
        if self.logger not in LOGGERS:
            raise ConfigError(f'unknown logger option "{self.logger}"')
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f'unknown level "{self.log_level}"', exit_code=2)
        if self.initial_cluster_state not in ("new", "existing"):
            raise ConfigError(f'unexpected clusterState "{self.initial_cluster_state}"')

    def _check_times(self) -> None:
        heartbeat_ms, election_ms = self.heartbeat_interval_ms, self.election_timeout_ms
        if heartbeat_ms <= 0:
            raise ConfigError(f"--heartbeat-interval must be >0 (set to {heartbeat_ms}ms)")
        if election_ms <= 0:
            raise ConfigError(f"--election-timeout must be >0 (set to {election_ms}ms)")
        if election_ms < HEARTBEATS_PER_ELECTION_MIN * heartbeat_ms:
            raise ConfigError(
                f"--election-timeout[{election_ms}ms] should be at least as"
                f" {HEARTBEATS_PER_ELECTION_MIN} times as --heartbeat-interval[{heartbeat_ms}ms]"
            )
        if election_ms > ELECTION_TIMEOUT_MS_MAX:
            raise ConfigError(
                f"--election-timeout[{election_ms}ms] is too long,"
                f" and should be set less than {ELECTION_TIMEOUT_MS_MAX}ms"
            )

    @property
    def election_ticks(self) -> int:
        """The election time-out in heartbeats."""
        return self.election_timeout_ms // self.heartbeat_interval_ms

    @property
    def request_timeout_s(self) -> float:
        """How long a write or a quorum read may wait for its result."""
        return (REQUEST_TIMEOUT_BASE_MS + 2 * self.election_timeout_ms) / 1000

    def initial_cluster_urls(self) -> dict[str, tuple[str, ...]]:
        """Return the founding members' peer URLs by name.

        Not checked when the Config is built, since a member with a log never needs them.
        Raises: ConfigError.
        """
        try:
            return parse_initial_cluster(self.initial_cluster)
        except UrlError as refusal:
            raise ConfigError(f"error setting up initial cluster: {refusal}") from None


class Field(NamedTuple):
    """One row of the list: the field's name, its default, and how operators know it."""

    name: str
    default: object
    setting: Setting


#: Every setting, in the order in which help and documentation show them.
FIELDS: tuple[Field, ...] = tuple(
    Field(name, info.default, meta)
    for name, info in Config.model_fields.items()
    for meta in info.metadata
    if isinstance(meta, Setting)
)


def replace_wildcard_host(values: dict[str, object], host: str) -> dict[str, object]:
    """Return what is to be advertised in place of the default by a member on `0.0.0.0`.

    `values` are settings by field name; `host` is this machine's address on its default route.
    """
    replaced: dict[str, object] = {}
    for listen, advertise, default in (
        ("listen_peer_urls", "initial_advertise_peer_urls", DEFAULT_PEER_URL),
        ("listen_client_urls", "advertise_client_urls", DEFAULT_CLIENT_URL),
    ):
        listen_urls = values.get(listen, (default,))
        assert isinstance(listen_urls, tuple)
        address = host_port(listen_urls[0])
        if address.host == "0.0.0.0" and values.get(advertise, (default,)) == (default,):
            replaced[advertise] = (f"http://{host}:{address.port}",)
    return replaced


def host_port(url: str) -> HostPort:
    """Return where a listen or advertise URL points; it was checked when it was read."""
    return split_host_port(parse_url(url).host)


def _check_hosts(flag: str, urls: tuple[str, ...]) -> None:
    """Refuse to tell others a URL without a host."""
    for url in urls:
        if not host_port(url).host:
            raise ConfigError(
                f'--{flag} "{",".join(urls)}" must be "host:port" (unexpected empty host ({url}))'
            )
