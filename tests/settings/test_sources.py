"""Flags, environment and file: what each gives, which one counts, and what is refused.

Source: spec/config.md sections 1 and 3.
"""

import logging
from pathlib import Path

import pytest

from etcdpy.errors import ConfigError
from etcdpy.settings import sources


def read(*arguments: str, **environ: str) -> dict[str, object]:
    line = sources.read_command_line(arguments)
    sources.read_environment(line, environ)
    return sources.values_of_command_line(line)


def usage_error(*arguments: str) -> str:
    with pytest.raises(sources.UsageError) as refused:
        sources.read_command_line(arguments)
    assert refused.value.exit_code == 2
    return str(refused.value)


def test_one_dash_or_two_equals_or_space() -> None:
    expected = {"name": "x"}
    assert read("-name", "x") == read("--name", "x") == read("-name=x") == expected
    assert read("--name=x") == expected


def test_the_later_occurrence_wins() -> None:
    assert read("--name=a", "--name", "b") == {"name": "b"}


def test_a_boolean_takes_its_value_only_after_equals() -> None:
    assert read("--enable-v2") == {"enable_v2": True}
    assert read("--enable-v2=false") == {"enable_v2": False}
    assert sources.read_command_line(["--enable-v2", "false"]).extra == ["false"]


def test_a_value_may_look_like_a_flag() -> None:
    assert read("--name", "--data-dir") == {"name": "--data-dir"}


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["--name=a", "x", "--bogus"], ["x", "--bogus"]),
        (["--", "--bogus"], ["--bogus"]),
        (["-", "--bogus"], ["-", "--bogus"]),
        ([""], [""]),
    ],
)
def test_reading_stops_at_the_first_word_that_is_no_flag(
    words: list[str], extra: list[str]
) -> None:
    assert sources.read_command_line(words).extra == extra


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bogus=1"], "flag provided but not defined: -bogus"),
        (["---x"], "bad flag syntax: ---x"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--name"], "flag needs an argument: -name"),
        (["--max-wals", "-1"], 'invalid value "-1" for flag -max-wals: parse error'),
        (["--enable-v2=x"], 'invalid boolean value "x" for -enable-v2: parse error'),
        (
            ["--initial-cluster-state", "foo"],
            'invalid value "foo" for flag -initial-cluster-state: invalid value',
        ),
        (
            ["--listen-peer-urls", "foo"],
            'invalid value "foo" for flag -listen-peer-urls:'
            " URL scheme must be http, https, unix, or unixs: foo",
        ),
    ],
)
def test_a_bad_command_line_is_refused_in_gos_words(arguments: list[str], message: str) -> None:
    assert usage_error(*arguments) == message


def test_help_counts_only_before_a_mistake() -> None:
    with pytest.raises(sources.HelpWanted):
        sources.read_command_line(["--name=a", "-h", "--bogus"])
    assert usage_error("--bogus", "-h") == "flag provided but not defined: -bogus"


def test_an_old_flag_is_warned_of_and_has_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "etcdpy"):
        assert read("--snapshot=5", "-v") == {}
    assert caplog.messages == [
        'flag "-snapshot" is no longer supported - ignoring.',
        'flag "-v" is no longer supported - ignoring.',
    ]


def test_listening_for_clients_needs_an_address_to_advertise() -> None:
    assert read("--listen-client-urls=http://127.0.0.1:1")["advertise_client_urls"] == ()
    assert read("--listen-client-urls=") == {"advertise_client_urls": ()}
    values = read(
        "--listen-client-urls=http://127.0.0.1:1", ETCD_ADVERTISE_CLIENT_URLS="http://a:1"
    )
    assert values["advertise_client_urls"] == ("http://a:1",)


def test_an_empty_url_list_leaves_the_default() -> None:
    assert read("--listen-peer-urls=") == {}


def test_the_environment_sets_what_the_line_does_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "etcdpy"):
        values = read("--name=a", ETCD_MAX_WALS="7", ETCD_DATA_DIR="", PATH="/bin", ETCD_BOGUS="1")
    assert values == {"name": "a", "max_wals": 7}
    assert caplog.messages == [
        "recognized and used environment variable ETCD_MAX_WALS=7",
        "unrecognized environment variable ETCD_DATA_DIR=",
        "unrecognized environment variable ETCD_BOGUS=1",
    ]


@pytest.mark.parametrize("value", ["b", ""])
def test_line_and_environment_together_are_a_conflict(value: str) -> None:
    with pytest.raises(sources.EnvironmentConflictError) as refused:
        read("--name=a", ETCD_NAME=value)
    assert str(refused.value) == (
        'conflicting environment variable "ETCD_NAME" is shadowed by corresponding'
        " command-line flag (either unset environment variable or disable flag)"
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ETCD_SNAPSHOT_COUNT": "xx"}, 'invalid value "xx" for ETCD_SNAPSHOT_COUNT: parse error'),
        ({"ETCD_VERSION": "3.4.23"}, 'invalid value "3.4.23" for ETCD_VERSION: parse error'),
        (
            {"ETCD_MAX_WALS": "x", "ETCD_ENABLE_V2": "y"},
            'invalid value "x" for ETCD_MAX_WALS: parse error',
        ),
    ],
)
def test_a_bad_variable_is_refused_the_last_one_first(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**environ)
    assert str(refused.value) == message


def from_file(tmp_path: Path, text: str | bytes) -> dict[str, object]:
    path = tmp_path / "config.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sources.values_of_file(str(path))


def file_refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        from_file(tmp_path, text)
    return str(refused.value)


def test_a_file_gives_typed_values(tmp_path: Path) -> None:
    text = """
        Name: a
        snapshot-count: 1e3
        max-wals: 0x10
        enable-v2: no
        data-dir: 2020-01-01
        wal-dir: null
        initial-cluster-token: 1:30
        listen-peer-urls: http://127.0.0.1:2, http://127.0.0.1:1
    """
    assert from_file(tmp_path, text) == {
        "name": "a",
        "snapshot_count": 1000,
        "max_wals": 16,
        "enable_v2": False,
        "data_dir": "2020-01-01",
        "initial_cluster_token": "1:30",
        "listen_peer_urls": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "null\n", "{}\n"])
def test_an_empty_file_leaves_the_defaults(tmp_path: Path, text: str) -> None:
    assert from_file(tmp_path, text) == {}


def test_the_last_of_two_equal_keys_counts(tmp_path: Path) -> None:
    assert from_file(tmp_path, "name: a\nname: b\n") == {"name": "b"}


def test_a_file_need_not_say_what_to_advertise(tmp_path: Path) -> None:
    values = from_file(tmp_path, "listen-client-urls: http://127.0.0.1:1\n")
    assert values == {"listen_client_urls": ("http://127.0.0.1:1",)}


def test_an_unknown_key_is_ignored_but_not_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert from_file(tmp_path, "bogus: x\nname: a\n5: b\nproxy: null\n") == {"name": "a"}
    assert caplog.messages == [
        'the configuration file sets "5", which is ignored',
        'the configuration file sets "bogus", which is ignored',
    ]


def test_where_to_meet_may_stand_in_a_file(tmp_path: Path) -> None:
    default = "initial-cluster: default=http://localhost:2380\n"
    meeting = {"discovery": "http://r:1/x", "discovery_fallback": "exit"}
    text = "discovery: http://r:1/x\ndiscovery-fallback: exit\n"
    assert from_file(tmp_path, text) == meeting
    assert from_file(tmp_path, text + default) == meeting  # etcd cannot tell that it was written
    assert from_file(tmp_path, "discovery-fallback: ''\n") == {"discovery_fallback": "proxy"}
    with pytest.raises(sources.BareRefusalError) as refused:
        from_file(tmp_path, "discovery-fallback: bogus\n")
    words = "unexpected error setting up discovery-fallback flag: invalid value"
    assert str(refused.value) == words


@pytest.mark.parametrize(
    ("words", "is_waived"),
    [
        ([], False),
        (["--discovery=http://r:1/x"], True),
        (["--discovery=http://r:1/x", "--discovery-fallback=exit"], False),
        (["--discovery-fallback=proxy"], False),
    ],
)
def test_who_may_become_a_proxy_need_not_say_what_to_advertise(
    words: list[str], is_waived: bool
) -> None:
    line = sources.read_command_line(["--listen-client-urls=http://127.0.0.1:1", *words])
    assert ("advertise_client_urls" not in sources.values_of_command_line(line)) == is_waived


def test_lists_in_a_file_are_one_text(tmp_path: Path) -> None:
    text = "cors: http://b:1,http://a:1\nhost-whitelist: b,a,b\nlisten-metrics-urls: http://c:1\n"
    assert from_file(tmp_path, text) == {
        "cors": ("http://a:1", "http://b:1"),
        "host_whitelist": ("a", "b"),
        "listen_metrics_urls": ("http://c:1",),
    }
    assert from_file(tmp_path, "cors: ''\nhost-whitelist: ''\n") == {}
    assert from_file(tmp_path, "cors: '*'\n") == {"cors": ("*",)}


def test_what_has_no_effect_is_checked_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [
        '"--max-txn-ops" has no effect: it is for etcd\'s v3 API, which is not there',
        '"--enable-pprof" has no effect: it profiles programs that are written in Go',
    ]
    line = sources.read_command_line(["--max-txn-ops=1", "--max-txn-ops=2", "--enable-pprof"])
    assert sources.values_of_command_line(line) == {}
    assert caplog.messages == said
    caplog.clear()
    assert from_file(tmp_path, "max-txn-ops: 1\nenable-pprof: true\n") == {}
    assert caplog.messages == [text.replace("--", "") for text in reversed(said)]
    assert file_refusal(tmp_path, "max-txn-ops: x").endswith("max-txn-ops of type uint")


def test_the_maps_of_a_file_hold_settings_of_tls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "client-transport-security: {cert-file: c, client-cert-auth: true, key-file: null, x: 1}\n"
        "peer-transport-security: {cert-file: p}\ncipher-suites: [A, B]\n"
    )
    assert from_file(tmp_path, text) == {
        "cert_file": "c",
        "client_cert_auth": True,
        "peer_cert_file": "p",
        "cipher_suites": ("A", "B"),
    }
    assert caplog.messages == [
        'the configuration file sets "client-transport-security.x", which is ignored'
    ]


@pytest.mark.parametrize(
    ("text", "found", "field", "wanted"),
    [
        (
            "client-transport-security: {cert-file: 5}",
            "number",
            "securityConfig.client-transport-security.cert-file",
            "string",
        ),
        ("cipher-suites: A", "string", "configYAML.cipher-suites", "[]string"),
        ("cipher-suites: [5]", "number", "configYAML.cipher-suites", "string"),
    ],
)
def test_wrong_types_of_tls_are_refused_in_gos_words(
    tmp_path: Path, text: str, found: str, field: str, wanted: str
) -> None:
    assert file_refusal(tmp_path, text) == (
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
        f" {found} into Go struct field {field} of type {wanted}"
    )


YAML = "error converting YAML to JSON: yaml: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [\n", YAML + "line 1: did not find expected node content"),
        ("a:\n\tb: c\n", YAML + "line 2: found character that cannot start any token"),
        ("a: 'b\n", YAML + "line 2: found unexpected end of stream"),
        (": : :\n", YAML + "did not find expected key"),
        ("a: b: c\n", YAML + "mapping values are not allowed in this context"),
        ("a\n  b: c\n", YAML + "line 2: mapping values are not allowed in this context"),
        (b"\x00\n", YAML + "control characters are not allowed"),
        (b"\xff\xfe\n", YAML + "incomplete UTF-16 character"),
        (
            "- a\n",
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array"
            " into Go value of type embed.configYAML",
        ),
        (
            "name: 5\n",
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal number"
            " into Go struct field configYAML.name of type string",
        ),
    ],
)
def test_a_bad_file_is_refused_in_etcds_words(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert file_refusal(tmp_path, text) == message


def test_a_tag_that_would_run_code_is_refused(tmp_path: Path) -> None:
    message = file_refusal(tmp_path, "name: !!python/object/apply:os.getcwd []\n")
    assert message.startswith(YAML + "could not determine a constructor")


def test_a_value_that_its_tag_does_not_allow_is_refused(tmp_path: Path) -> None:
    assert file_refusal(tmp_path, "max-wals: !!int x\n").startswith(YAML)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yml"
    with pytest.raises(ConfigError) as refused:
        sources.values_of_file(str(path))
    assert str(refused.value) == f"open {path}: no such file or directory"


def test_a_bad_url_in_a_file_names_the_setting_as_etcd_does(tmp_path: Path) -> None:
    tail = ": URL scheme must be http, https, unix, or unixs: foo"
    with pytest.raises(sources.BareRefusalError) as refused:
        from_file(tmp_path, "listen-peer-urls: foo\n")
    assert str(refused.value) == "unexpected error setting up listen-peer-urls" + tail
    with pytest.raises(sources.BareRefusalError) as refused:
        from_file(tmp_path, "advertise-client-urls: foo\n")
    assert str(refused.value) == "unexpected error setting up advertise-peer-urls" + tail


def test_the_default_host_is_asked_for_only_where_a_wildcard_needs_it() -> None:
    def never() -> str | None:
        raise AssertionError("the network was asked")

    assert sources.advertise_default_host({"name": "a"}, never) == {"name": "a"}


def test_a_wildcard_listener_advertises_the_default_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    values: dict[str, object] = {"listen_peer_urls": ("http://0.0.0.0:2380",)}
    with caplog.at_level(logging.INFO, "etcdpy"):
        found = sources.advertise_default_host(values, lambda: "192.0.2.7")
    assert found["initial_advertise_peer_urls"] == ("http://192.0.2.7:2380",)
    assert caplog.messages == ['advertising using detected default host "192.0.2.7"']
    assert sources.advertise_default_host(values, lambda: None) == values
