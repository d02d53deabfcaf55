"""Settings of TLS and of who may ask.

In etcd's YAML file those of `client-transport-security` and `peer-transport-security` are maps;
the others have no place there in etcd, and have one here.
Source: spec/config.md section 2, spec/tls.md section 1.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.settings.kinds import BOOLEAN, HOSTS, ORIGINS, SECURITY, TEXT, TEXTS, Setting

_CLIENT = "client-transport-security"
_PEER = "peer-transport-security"


class SecuritySettings(BaseModel):
    """What is encrypted, by which files, and who is let in."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    cert_file: Annotated[
        str,
        Setting(
            "cert-file",
            TEXT,
            SECURITY,
            "Certificate for clients, PEM; the authorities in between may follow it.",
            yaml=f"{_CLIENT}.cert-file",
        ),
    ] = ""
    key_file: Annotated[
        str,
        Setting(
            "key-file",
            TEXT,
            SECURITY,
            "Key of --cert-file, PEM, without a password.",
            yaml=f"{_CLIENT}.key-file",
        ),
    ] = ""
    client_cert_auth: Annotated[
        bool,
        Setting(
            "client-cert-auth",
            BOOLEAN,
            SECURITY,
            "Clients need a certificate, whose common name can be a user of auth.",
            yaml=f"{_CLIENT}.client-cert-auth",
        ),
    ] = False
    trusted_ca_file: Annotated[
        str,
        Setting(
            "trusted-ca-file",
            TEXT,
            SECURITY,
            "Authorities that verify clients' certificates, PEM; clients then need one.",
            yaml=f"{_CLIENT}.trusted-ca-file",
        ),
    ] = ""
    auto_tls: Annotated[
        bool,
        Setting(
            "auto-tls",
            BOOLEAN,
            SECURITY,
            "Make a certificate for clients, below the data dir; needs the extra `auto-tls`.",
            yaml=f"{_CLIENT}.auto-tls",
        ),
    ] = False
    client_crl_file: Annotated[
        str,
        Setting(
            "client-crl-file",
            TEXT,
            SECURITY,
            "Certificates of clients that do not count any more, PEM or DER.",
        ),
    ] = ""
    client_cert_allowed_hostname: Annotated[
        str,
        Setting(
            "client-cert-allowed-hostname",
            TEXT,
            SECURITY,
            "A client's certificate must be one for this host or address.",
        ),
    ] = ""
    peer_cert_file: Annotated[
        str,
        Setting(
            "peer-cert-file",
            TEXT,
            SECURITY,
            "Certificate for other members, to be served and to be shown to them, PEM.",
            yaml=f"{_PEER}.cert-file",
        ),
    ] = ""
    peer_key_file: Annotated[
        str,
        Setting(
            "peer-key-file",
            TEXT,
            SECURITY,
            "Key of --peer-cert-file, PEM, without a password.",
            yaml=f"{_PEER}.key-file",
        ),
    ] = ""
    peer_client_cert_auth: Annotated[
        bool,
        Setting(
            "peer-client-cert-auth",
            BOOLEAN,
            SECURITY,
            "Other members need a certificate.",
            yaml=f"{_PEER}.client-cert-auth",
        ),
    ] = False
    peer_trusted_ca_file: Annotated[
        str,
        Setting(
            "peer-trusted-ca-file",
            TEXT,
            SECURITY,
            "Authorities that verify other members, both who dials and who is dialled, PEM.",
            yaml=f"{_PEER}.trusted-ca-file",
        ),
    ] = ""
    peer_auto_tls: Annotated[
        bool,
        Setting(
            "peer-auto-tls",
            BOOLEAN,
            SECURITY,
            "Make a certificate for other members, who are then encrypted but not verified.",
            yaml=f"{_PEER}.auto-tls",
        ),
    ] = False
    peer_crl_file: Annotated[
        str,
        Setting(
            "peer-crl-file",
            TEXT,
            SECURITY,
            "Certificates of members that do not count any more, PEM or DER.",
        ),
    ] = ""
    peer_cert_allowed_cn: Annotated[
        str,
        Setting(
            "peer-cert-allowed-cn",
            TEXT,
            SECURITY,
            "Another member's certificate must have this common name.",
        ),
    ] = ""
    peer_cert_allowed_hostname: Annotated[
        str,
        Setting(
            "peer-cert-allowed-hostname",
            TEXT,
            SECURITY,
            "Another member's certificate must be one for this host or address.",
        ),
    ] = ""
    experimental_peer_skip_client_san_verification: Annotated[
        bool,
        Setting(
            "experimental-peer-skip-client-san-verification",
            BOOLEAN,
            SECURITY,
            "Do not compare the names in a member's certificate with its address.",
        ),
    ] = False
    cipher_suites: Annotated[
        tuple[str, ...],
        Setting(
            "cipher-suites",
            TEXTS,
            SECURITY,
            "Suites up to TLS 1.2, in Go's names, for both sides; all that are safe if empty.",
        ),
    ] = ()
    cors: Annotated[
        tuple[str, ...],
        Setting(
            "cors",
            ORIGINS,
            SECURITY,
            "Origins whose pages may read answers; `*` is any.",
            bound="each needs a port",
        ),
    ] = ("*",)
    host_whitelist: Annotated[
        tuple[str, ...],
        Setting(
            "host-whitelist",
            HOSTS,
            SECURITY,
            "Names that a request without TLS may ask for in its Host header; `*` is any.",
        ),
    ] = ("*",)
