"""From settings to the TLS of one member: its files, its own certificates, and what is said of it.

A file of its own because clients' and peers' sides follow one set of rules, which are etcd's: TLS
is spoken where a URL says so, a certificate alone turns nothing into TLS, and a pair that can't be
used stops the start.
Source: spec/tls.md sections 2 and 5, spec/config.md section 5.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etcdpy.errors import ConfigError
from etcdpy.settings.config import Config
from etcdpy.startup.exposure import warn_of_key
from etcdpy.startup.roles import PROXY_NAME
from etcdpy.tls.ciphers import SUITES
from etcdpy.tls.contexts import ClientTls, ServerTls, TlsError, TlsSettings
from etcdpy.tls.self_signed import make_self_signed
from etcdpy.urls import TLS_SCHEMES, go_quote, parse_url

log = logging.getLogger("etcdpy.embed")


@dataclass(frozen=True, slots=True)
class MemberTls:
    """The TLS of a member: of its listeners, where they need it, and of what it dials."""

    clients: ServerTls | None = None
    peers: ServerTls | None = None
    dialing: ClientTls | None = None


NO_TLS = MemberTls()


def secure_peers(config: Config) -> tuple[ServerTls | None, ClientTls]:
    """Return the TLS of the peers' listeners, and that with which peers are dialled.

    Raises: ConfigError.
    """
    _check_ciphers(config.cipher_suites)
    settings = TlsSettings(
        cert_file=config.peer_cert_file,
        key_file=config.peer_key_file,
        trusted_ca_file=config.peer_trusted_ca_file,
        client_cert_auth=config.peer_client_cert_auth,
        crl_file=config.peer_crl_file,
        allowed_cn=config.peer_cert_allowed_cn,
        allowed_hostname=config.peer_cert_allowed_hostname,
        cipher_suites=config.cipher_suites,
        # As in etcd: who found the others by a domain trusts them for that domain.
        server_name="" if config.peer_trusted_ca_file else config.discovery_srv,
        has_source_check=not config.experimental_peer_skip_client_san_verification,
    )
    urls = config.listen_peer_urls
    if config.peer_auto_tls:
        settings = _sign_ourselves(_fixtures(config, "peer"), settings, "peer", urls)
    if not settings.is_empty:
        log.info("peerTLS: %s", settings)
        warn_of_key(settings.key_file)
    _warn_of_plain(urls, settings, "peer", "peer-")
    _check_certificate_for(urls, settings)
    dialing = ClientTls(settings)
    try:
        if settings.is_empty:
            return None, dialing
        dialing.check()
        return ServerTls(settings), dialing
    except TlsError as refusal:
        raise ConfigError(str(refusal)) from refusal


def secure_clients(config: Config) -> ServerTls | None:
    """Return the TLS of the clients' listeners, None if no URL asks for it.

    Raises: ConfigError.
    """
    settings = TlsSettings(
        cert_file=config.cert_file,
        key_file=config.key_file,
        trusted_ca_file=config.trusted_ca_file,
        client_cert_auth=config.client_cert_auth,
        crl_file=config.client_crl_file,
        allowed_hostname=config.client_cert_allowed_hostname,
        cipher_suites=config.cipher_suites,
    )
    urls = config.listen_client_urls
    if config.auto_tls:
        settings = _sign_ourselves(_fixtures(config, "client"), settings, "client", urls)
    _warn_of_plain(urls, settings, "client", "")
    for url in urls:
        if _is_tls(url) and settings.is_empty:
            raise ConfigError(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url"
                f" {url} with HTTPS scheme"
            )
    if not settings.is_empty:
        log.info("ClientTLS: %s", settings)
        warn_of_key(settings.key_file)
    _check_certificate_for(config.listen_metrics_urls, settings)
    if not any(map(_is_tls, urls + config.listen_metrics_urls)):
        return None
    try:
        return ServerTls(settings)
    except TlsError as refusal:
        raise ConfigError(str(refusal)) from refusal


@dataclass(frozen=True, slots=True)
class ProxyTls:
    """The TLS of a proxy: of its listeners, where they need it, and of what it dials."""

    listening: ServerTls | None
    to_clients: ClientTls  # to where members listen for clients
    to_peers: ClientTls


def secure_proxy(config: Config) -> ProxyTls:
    """Return the TLS of a proxy's listeners, and that with which it dials members.

    The files for clients count on both sides; those for peers in their place where there are none.
    Raises: ConfigError.
    """
    _check_ciphers(config.cipher_suites)
    peers = TlsSettings(
        cert_file=config.peer_cert_file,
        key_file=config.peer_key_file,
        trusted_ca_file=config.peer_trusted_ca_file,
        cipher_suites=config.cipher_suites,
        is_self_signed=config.peer_auto_tls,
    )
    clients = TlsSettings(
        cert_file=config.cert_file,
        key_file=config.key_file,
        trusted_ca_file=config.trusted_ca_file,
        client_cert_auth=config.client_cert_auth,
        crl_file=config.client_crl_file,
        allowed_hostname=config.client_cert_allowed_hostname,
        cipher_suites=config.cipher_suites,
    )
    dialing = peers if clients.is_empty else clients
    to_clients = ClientTls(replace(dialing, is_self_signed=config.auto_tls))
    to_peers = ClientTls(peers)
    urls = config.listen_client_urls
    is_needed = any(map(_is_tls, urls))
    if config.auto_tls and is_needed:
        directory = Path(config.data_dir) / PROXY_NAME / "clientCerts"
        clients = _sign_ourselves(directory, clients, "client", urls)
    _check_certificate_for(urls, clients)
    try:
        for settings, made in ((dialing, to_clients), (peers, to_peers)):
            if not settings.is_empty:
                made.check()
        return ProxyTls(ServerTls(clients) if is_needed else None, to_clients, to_peers)
    except TlsError as refusal:
        raise ConfigError(str(refusal)) from refusal


def _is_tls(url: str) -> bool:
    return parse_url(url).scheme in TLS_SCHEMES


def _check_certificate_for(urls: Sequence[str], settings: TlsSettings) -> None:
    """Refuse a URL that asks for TLS where there is no certificate."""
    for url in urls:
        if _is_tls(url) and settings.is_empty:
            raise ConfigError(
                f"cannot listen on TLS for {parse_url(url).host}:"
                " KeyFile and CertFile are not presented"
            )


def _check_ciphers(names: Sequence[str]) -> None:
    for name in names:
        if name not in SUITES:
            raise ConfigError(f"unexpected TLS cipher suite {go_quote(name)}")


def _fixtures(config: Config, side: str) -> Path:
    """Return where a member keeps the certificates that it has made."""
    return Path(config.data_dir) / "fixtures" / side


def _sign_ourselves(
    directory: Path, settings: TlsSettings, side: str, urls: Sequence[str]
) -> TlsSettings:
    """Return settings with a certificate that this member has made.  Raises: ConfigError."""
    if not settings.is_empty:
        log.warning("ignoring %s auto TLS since certs given", side)
        return settings
    made = make_self_signed(directory, [parse_url(url).host for url in urls])
    # As in etcd, nothing of what was told about verification counts then.
    return replace(
        TlsSettings(cipher_suites=settings.cipher_suites),
        cert_file=str(made.cert),
        key_file=str(made.key),
        is_self_signed=True,
    )


def _warn_of_plain(urls: Sequence[str], settings: TlsSettings, side: str, prefix: str) -> None:
    """Say that a URL is served without TLS though there are files for it."""
    schemes = ("http",) if side == "peer" else ("http", "unix")
    flag = f"--{prefix}client-cert-auth"
    files = "peer key/cert" if side == "peer" else "key/cert"
    for url in urls:
        if parse_url(url).scheme not in schemes:
            continue
        if not settings.is_empty:
            log.warning(
                "The scheme of %s url %s is HTTP while peer key/cert files are presented."
                " Ignored %s files.",
                side,
                url,
                files,
            )
        if settings.client_cert_auth:
            log.warning(
                "The scheme of %s url %s is HTTP while client cert auth (%s) is enabled."
                " Ignored client cert auth for this url.",
                side,
                url,
                flag,
            )
