"""Certificates that a member makes for itself: `--auto-tls` and `--peer-auto-tls`.

A file of its own because it alone needs the package `cryptography`, which is as large as all else
together and of no use to who brings certificates: therefore it comes with the extra `auto-tls`
only, and a member that finds files from an earlier start does without it.
Source: spec/tls.md section 5.
"""

import datetime
import ipaddress
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etcdpy.errors import ConfigError
from etcdpy.urls import split_host_port

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # the extra is not installed
    IS_AVAILABLE = False
else:
    IS_AVAILABLE = True

log = logging.getLogger("etcdpy.embed")

VALID_FOR = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """The files of a certificate and its key, both PEM."""

    cert: Path
    key: Path


def make_self_signed(directory: Path, addresses: Sequence[str]) -> SelfSigned:
    """Return the certificate in `directory` for `host:port` addresses; it is made if there is none.

    One that is there is used as it is, be it expired or for other hosts: so has etcd it.
    Raises: ConfigError where it can't be made.
    """
    made = SelfSigned(directory / "cert.pem", directory / "key.pem")
    if made.cert.exists() and made.key.exists():
        return made
    if not IS_AVAILABLE:
        raise ConfigError(
            "a certificate can't be made without the package cryptography:"
            " pip install 'cryptography>=43', or give --cert-file and --key-file"
        )
    hosts = [split_host_port(address).host for address in addresses]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(made, hosts)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"could not get certs ({error.filename}: {reason})") from error
    log.info("created the self-signed certificate %s", made.cert)
    return made


def _write(made: SelfSigned, hosts: Sequence[str]) -> None:
    """Write key and certificate; the key is readable by its owner only.  Raises: OSError."""
    key = ec.generate_private_key(ec.SECP521R1())
    organisation = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    begin = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(organisation)
        .issuer_name(organisation)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + VALID_FOR)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(h) for h in hosts]), critical=False)
        .sign(key, hashes.SHA512())
    )
    pem = serialization.Encoding.PEM
    made.cert.write_bytes(certificate.public_bytes(pem))
    os.chmod(made.cert, 0o644)
    descriptor = os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                pem,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )


def _name(host: str) -> "x509.GeneralName":
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
