"""Config: defaults, what follows from what, and the rules between settings.

Source: spec/config.md section 2.
"""

from typing import Any

import pytest
from pydantic import ValidationError

from etcdpy.errors import ConfigError
from etcdpy.settings.config import FIELDS, Config, replace_wildcard_host

TWO_WAYS = (
    'multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery"'
    ' or "discovery-srv"'
)


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        Config(**values)
    return str(refused.value)


def test_without_settings_it_is_etcds_single_member() -> None:
    config = Config()
    assert config.data_dir == "default.etcd"
    assert config.listen_client_urls == ("http://localhost:2379",)
    assert config.initial_cluster_urls() == {"default": ("http://localhost:2380",)}
    assert config.enable_v2
    assert config.election_ticks == 10
    assert config.request_timeout_s == 7.0


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Config().name = "other"


def test_types_are_not_coerced() -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"max_wals": "5"})


def test_data_dir_follows_the_name() -> None:
    assert Config(name="a").data_dir == "a.etcd"
    assert Config(name="a", data_dir="d").data_dir == "d"


def test_initial_cluster_follows_name_and_advertised_urls() -> None:
    config = Config(name="a", initial_advertise_peer_urls=("http://x:1", "http://y:1"))
    assert config.initial_cluster == "a=http://x:1,a=http://y:1"


def test_initial_cluster_is_not_rebuilt_for_the_default_name() -> None:
    config = Config(initial_advertise_peer_urls=("http://x:1",))
    assert config.initial_cluster == "default=http://localhost:2380"


def test_an_explicit_initial_cluster_stays() -> None:
    assert Config(name="a", initial_cluster="b=http://x:1").initial_cluster == "b=http://x:1"


def test_a_bad_initial_cluster_is_refused_only_when_it_is_needed() -> None:
    config = Config(initial_cluster="default=foo")
    with pytest.raises(ConfigError) as refused:
        config.initial_cluster_urls()
    assert str(refused.value) == (
        "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: foo"
    )


def test_snapshot_count_of_zero_is_the_default() -> None:
    assert Config(snapshot_count=0).snapshot_count == 100_000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heartbeat_interval_ms": 0}, "--heartbeat-interval must be >0 (set to 0ms)"),
        ({"election_timeout_ms": 0}, "--election-timeout must be >0 (set to 0ms)"),
        (
            {"election_timeout_ms": 400},
            "--election-timeout[400ms] should be at least as 5 times as"
            " --heartbeat-interval[100ms]",
        ),
        (
            {"election_timeout_ms": 50001},
            "--election-timeout[50001ms] is too long, and should be set less than 50000ms",
        ),
        (
            {"listen_peer_urls": ("http://foo.com:80",)},
            "expected IP in URL for binding (http://foo.com:80)",
        ),
        ({"listen_client_urls": ("http://:1",)}, "expected IP in URL for binding (http://:1)"),
        (
            {"initial_advertise_peer_urls": ("http://:2380",)},
            '--initial-advertise-peer-urls "http://:2380" must be "host:port"'
            " (unexpected empty host (http://:2380))",
        ),
        (
            {"advertise_client_urls": ("http://:1", "http://a:1")},
            '--advertise-client-urls "http://:1,http://a:1" must be "host:port"'
            " (unexpected empty host (http://:1))",
        ),
        (
            {"advertise_client_urls": ()},
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        ({"logger": "foo"}, 'unknown logger option "foo"'),
        ({"log_level": "foo"}, 'unknown level "foo"'),
        ({"initial_cluster_state": "bogus"}, 'unexpected clusterState "bogus"'),
        ({"discovery": "http://r/x", "discovery_srv": "a.test"}, TWO_WAYS),
        ({"discovery": "http://r/x", "initial_cluster": "m=http://a:1"}, TWO_WAYS),
        ({"discovery_srv": "a.test", "initial_cluster": "m=http://a:1"}, TWO_WAYS),
        (
            {"discovery_service": True, "enable_v2": False},
            "--discovery-service needs the v2 API: --enable-v2=false is set",
        ),
    ],
)
def test_contradictions_are_refused_in_etcds_words(values: dict[str, Any], message: str) -> None:
    assert refusal(**values) == message


@pytest.mark.parametrize("field", ["discovery", "discovery_srv", "discovery_srv_name"])
def test_who_meets_elsewhere_has_no_initial_cluster(field: str) -> None:
    elsewhere: dict[str, Any] = {field: "x"}
    assert Config(**elsewhere).initial_cluster == ""
    assert Config(name="m", **elsewhere).initial_cluster == ""


def test_the_bounds_themselves_are_allowed() -> None:
    assert Config(election_timeout_ms=50_000).election_timeout_ms == 50_000
    assert Config(election_timeout_ms=500).election_ticks == 5


def test_times_are_checked_after_urls_and_before_the_missing_advertise_url() -> None:
    both = {"heartbeat_interval_ms": 0, "advertise_client_urls": ()}
    assert refusal(**both).startswith("--heartbeat-interval")
    assert refusal(**both, listen_peer_urls=("http://x:1",)).startswith("expected IP")


def test_every_setting_has_a_flag_of_its_own_and_a_sentence() -> None:
    flags = [row.setting.flag for row in FIELDS]
    assert len(set(flags)) == len(flags) == len(Config.model_fields)
    assert all(row.setting.help.endswith(".") for row in FIELDS)


@pytest.mark.parametrize("suffix", ["_ms", "_s", "_bytes"])
def test_a_field_that_has_a_unit_in_its_name_says_it_to_operators_too(suffix: str) -> None:
    for row in FIELDS:
        if row.name.endswith(suffix):
            assert row.setting.unit == suffix[1:]


@pytest.mark.parametrize(
    ("values", "replaced"),
    [
        ({}, {}),
        (
            {"listen_client_urls": ("http://0.0.0.0:9",)},
            {"advertise_client_urls": ("http://192.0.2.7:9",)},
        ),
        (
            {"listen_peer_urls": ("http://0.0.0.0:9",)},
            {"initial_advertise_peer_urls": ("http://192.0.2.7:9",)},
        ),
        (
            {
                "listen_client_urls": ("http://0.0.0.0:9",),
                "advertise_client_urls": ("http://me:9",),
            },
            {},
        ),
        ({"listen_client_urls": ("http://[::]:9",)}, {}),
    ],
)
def test_a_wildcard_listener_advertises_this_machines_address(
    values: dict[str, object], replaced: dict[str, object]
) -> None:
    assert replace_wildcard_host(values, "192.0.2.7") == replaced


def test_a_name_that_is_no_utf8_is_shown_as_go_shows_it() -> None:
    config = Config.model_validate({"name": "a\udcff"})
    assert (config.name, config.data_dir) == ("a\ufffd", "a\ufffd.etcd")
