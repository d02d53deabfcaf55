"""Certificates for tests: an authority that issues, revokes, and writes PEM files."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
BOTH = (SERVER_AUTH, CLIENT_AUTH)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key as files."""

    cert: Path
    key: Path
    serial: int

    def flags(self, prefix: str = "") -> list[str]:
        """Return the flags that make a server use it: `prefix` is `` or `peer-`."""
        return [f"--{prefix}cert-file={self.cert}", f"--{prefix}key-file={self.key}"]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def name_of(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    path.chmod(0o600)


class Authority:
    """A certificate authority with its file; `directory` must exist."""

    def __init__(self, directory: Path, cn: str = "test ca") -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name_of(cn)
        self.path = directory / f"{cn.replace(' ', '-')}.pem"
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - DAY)
            .not_valid_after(now() + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
        )
        certificate = builder.sign(self.key, hashes.SHA256())
        self.path.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        file_name: str,
        cn: str = "",
        *,
        dns: tuple[str, ...] = (),
        ips: tuple[str, ...] = ("127.0.0.1",),
        usages: tuple[x509.ObjectIdentifier, ...] = BOTH,
        days: int = 365,
        serial: int = 0,
        subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
    ) -> Pair:
        """Write a certificate and its key below `file_name`; negative `days`: it has expired.

        A `subject` has all of its names, in place of `cn`.
        """
        names = x509.Name([x509.NameAttribute(*each) for each in subject])
        key = ec.generate_private_key(ec.SECP256R1())
        begin = now() - DAY if days > 0 else now() + (days - 1) * DAY
        number = serial or x509.random_serial_number()
        builder = (
            x509.CertificateBuilder()
            .subject_name(names if subject else name_of(cn))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(number)
            .not_valid_before(begin)
            .not_valid_after(now() + days * DAY)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        hosts: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        hosts += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pair = Pair(
            self.directory / f"{file_name}.pem", self.directory / f"{file_name}-key.pem", number
        )
        pair.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
        write_key(pair.key, key)
        return pair

    def revoke(self, path: Path, *serials: int, is_der: bool = False) -> Path:
        """Write a list of revoked certificates to `path`, and return that."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now() - DAY)
            .next_update(now() + DAY)
        )
        for serial in serials:
            revoked = (
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(now() - DAY)
                .build()
            )
            builder = builder.add_revoked_certificate(revoked)
        listed = builder.sign(self.key, hashes.SHA256())
        path.write_bytes(listed.public_bytes(Encoding.DER if is_der else Encoding.PEM))
        return path


def client_context(authority: Authority | None, pair: Pair | None = None) -> ssl.SSLContext:
    """Return what a client needs that trusts `authority` (or anybody) and shows `pair`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority.path)
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context
