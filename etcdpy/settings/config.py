"""Config: all settings together, and the rules that hold between them.

The command line, the environment, the YAML file, `--help`, `config.example.yml` and the table in
`docs/configuration.md` all come from the fields of the `settings_` modules or are tested against
them: to add a setting, add a field there, a row in each of the two documents, and nothing else.  A
field's name carries its unit; the flag's name is etcd's, but for the limits.  Config only
describes: building one opens, resolves and creates nothing.
Source: spec/config.md sections 2 and 4.
"""

from typing import Any, NamedTuple, Self

from pydantic import ConfigDict, model_validator

from etcdpy.errors import ConfigError
from etcdpy.settings.clustering import DEFAULT_INITIAL_CLUSTER, ClusteringSettings
from etcdpy.settings.kinds import SECTIONS, Setting
from etcdpy.settings.limits import LimitSettings
from etcdpy.settings.member import (
    DEFAULT_CLIENT_URL,
    DEFAULT_NAME,
    DEFAULT_PEER_URL,
    DEFAULT_SNAPSHOT_COUNT,
    ELECTION_TIMEOUT_MS_MAX,
    HEARTBEATS_PER_ELECTION_MIN,
    MemberSettings,
)
from etcdpy.settings.other import (
    LOG_LEVELS,
    LOGGERS,
    DeprecatedSettings,
    LoggingSettings,
    MonitoringSettings,
    UnsafeSettings,
)
from etcdpy.settings.proxy import OFF, ON, READONLY, ProxySettings
from etcdpy.settings.security import SecuritySettings
from etcdpy.urls import (
    HostPort,
    UrlError,
    can_bind,
    parse_initial_cluster,
    parse_url,
    split_host_port,
)

#: Settings that stand in place of the default of `initial_cluster`.
OTHER_WAYS_TO_MEET = ("discovery", "discovery_srv", "discovery_srv_name")

#: What a request may take beside two elections before it is answered with an error.
REQUEST_TIMEOUT_BASE_MS = 5_000


class Config(
    MemberSettings,
    ClusteringSettings,
    ProxySettings,
    SecuritySettings,
    MonitoringSettings,
    LoggingSettings,
    LimitSettings,
    UnsafeSettings,
    DeprecatedSettings,
):
    """How one member is to run: complete, checked and immutable.

    Building one raises ConfigError where settings contradict each other; URL lists are tuples in
    etcd's spelling, ascending.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

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
        default = "" if any(map(values.get, OTHER_WAYS_TO_MEET)) else DEFAULT_INITIAL_CLUSTER
        cluster = derived.setdefault("initial_cluster", default)
        if name != DEFAULT_NAME and cluster == DEFAULT_INITIAL_CLUSTER:
            urls = values.get("initial_advertise_peer_urls", (DEFAULT_PEER_URL,))
            founder = name or DEFAULT_NAME
            derived["initial_cluster"] = ",".join(f"{founder}={url}" for url in urls)
        return derived

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse settings that contradict each other, in etcd's order and words."""
        self._check_words()
        for url in self.listen_peer_urls + self.listen_client_urls + self.listen_metrics_urls:
            if not can_bind(url):
                raise ConfigError(f"expected IP in URL for binding ({url})")
        _check_hosts("initial-advertise-peer-urls", self.initial_advertise_peer_urls)
        _check_hosts("advertise-client-urls", self.advertise_client_urls)
        self._check_start()
        self._check_times()
        if self.discovery_service and not self.enable_v2:
            raise ConfigError("--discovery-service needs the v2 API: --enable-v2=false is set")
        if not self.advertise_client_urls and self.proxy == OFF:
            raise ConfigError(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly"
            )
        self.check_limits()
        return self

    def _check_words(self) -> None:
        if self.logger not in LOGGERS:
            raise ConfigError(f'unknown logger option "{self.logger}"')
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f'unknown level "{self.log_level}"', exit_code=2)

    def _check_start(self) -> None:
        if self.initial_cluster_state not in ("new", "existing"):
            raise ConfigError(f'unexpected clusterState "{self.initial_cluster_state}"')
        if sum(map(bool, (self.discovery, self.initial_cluster, self.discovery_srv))) > 1:
            raise ConfigError(
                "multiple discovery or bootstrap flags are set."
                ' Choose one of "initial-cluster", "discovery" or "discovery-srv"'
            )

        if self.proxy not in (OFF, READONLY, ON):
            raise ConfigError("unexpected error setting up proxyFlag: invalid value")

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

        Not checked when the Config is built, since a member with a log never needs them.  Nobody
        where others name them: `--discovery` and `--discovery-srv`.
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
    sorted(
        (
            Field(name, info.default, meta)
            for name, info in Config.model_fields.items()
            for meta in info.metadata
            if isinstance(meta, Setting)
        ),
        key=lambda field: SECTIONS.index(field.setting.section),
    )
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
