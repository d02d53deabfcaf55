"""From settings to TLS: what stops a start, what is said, and what is made.

Source: spec/tls.md sections 2 and 5, spec/config.md section 5.
"""

from pathlib import Path
from typing import Any

import pytest

from etcdpy.errors import ConfigError
from etcdpy.settings.config import Config
from etcdpy.startup.securing import secure_clients, secure_peers
from etcdpy.tls.ciphers import SUITES, to_openssl
from tests.harness.certificates import Authority, Pair

HTTPS = ("https://127.0.0.1:1",)
HTTP = ("http://127.0.0.1:1",)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Authority(tmp_path).issue("server", "server")


def of_pair(pair: Pair, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}cert_file": str(pair.cert), f"{prefix}key_file": str(pair.key)}


def secure_both(config: Config) -> None:
    secure_peers(config)
    secure_clients(config)


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        secure_both(Config(**values))
    assert refused.value.exit_code == 1
    return str(refused.value)


def test_a_url_that_asks_for_tls_needs_a_certificate() -> None:
    assert refusal(listen_client_urls=HTTPS) == (
        "TLS key/cert (--cert-file, --key-file) must be provided for client url"
        " https://127.0.0.1:1 with HTTPS scheme"
    )
    assert refusal(listen_peer_urls=HTTPS) == (
        "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented"
    )
    assert "unixs://a:1" in refusal(listen_client_urls=("unixs://a:1",))


def test_an_unknown_suite_is_named() -> None:
    assert refusal(cipher_suites=("foo",)) == 'unexpected TLS cipher suite "foo"'


def test_every_suite_is_known_to_openssl_or_left_out() -> None:
    assert to_openssl(list(SUITES)).count(":") + 1 == sum(map(bool, SUITES.values()))


def test_half_a_pair_stops_a_start(pair: Pair) -> None:
    cert = str(pair.cert)
    text = f"KeyFile and CertFile must both be present[key: , cert: {cert}]"
    assert refusal(listen_client_urls=HTTPS, cert_file=cert) == text
    assert refusal(listen_peer_urls=HTTP, peer_cert_file=cert) == text


def test_clients_files_are_not_read_for_plain_urls(pair: Pair) -> None:
    config = Config(listen_client_urls=HTTP, cert_file="/nope", key_file="/nope")
    assert secure_clients(config) is None


def test_a_certificate_turns_no_plain_url_into_tls_and_it_is_said(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(
        listen_client_urls=HTTP,
        listen_peer_urls=HTTP,
        client_cert_auth=True,
        peer_client_cert_auth=True,
        **of_pair(pair),
        **of_pair(pair, "peer_"),
    )
    secure_peers(config)
    assert secure_clients(config) is None
    ignored = "Ignored client cert auth for this url."
    assert caplog.messages == [
        "The scheme of peer url http://127.0.0.1:1 is HTTP while peer key/cert files are"
        " presented. Ignored peer key/cert files.",
        "The scheme of peer url http://127.0.0.1:1 is HTTP while client cert auth"
        f" (--peer-client-cert-auth) is enabled. {ignored}",
        "The scheme of client url http://127.0.0.1:1 is HTTP while peer key/cert files are"
        " presented. Ignored key/cert files.",
        "The scheme of client url http://127.0.0.1:1 is HTTP while client cert auth"
        f" (--client-cert-auth) is enabled. {ignored}",
    ]


def test_what_is_used_is_said(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "etcdpy.embed")
    assert secure_clients(Config(listen_client_urls=HTTPS, **of_pair(pair)))
    assert caplog.messages == [
        f"ClientTLS: cert = {pair.cert}, key = {pair.key}, trusted-ca = ,"
        " client-cert-auth = false, crl-file = "
    ]


def test_a_certificate_of_our_own_is_made_below_the_data_directory(tmp_path: Path) -> None:
    config = Config(
        data_dir=str(tmp_path / "d"),
        listen_client_urls=HTTPS,
        listen_peer_urls=HTTPS,
        auto_tls=True,
        peer_auto_tls=True,
    )
    server, dialing = secure_peers(config)
    clients = secure_clients(config)
    assert server is not None
    assert clients is not None
    for side in ("client", "peer"):
        assert (tmp_path / "d" / "fixtures" / side / "key.pem").exists()
    assert not dialing.context().check_hostname


def test_certificates_that_are_given_go_before_those_of_our_own(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(
        data_dir=str(tmp_path / "d"), listen_client_urls=HTTPS, auto_tls=True, **of_pair(pair)
    )
    clients = secure_clients(config)
    assert clients is not None
    assert clients.settings.cert_file == str(pair.cert)
    assert caplog.messages == ["ignoring client auto TLS since certs given"]
    assert not (tmp_path / "d").exists()
