"""TLS: contexts made of an operator's files, made anew when the files change, and who gets in.

A file of its own because everything that depends on OpenSSL, and on what Python shows of it, is
here.  Rules for changing it: the files are looked at before each handshake and each dial, so that
certificates, keys, authorities and revocation lists are replaced without a restart; a pair that
can't be used (half of it is written) leaves the former one in use; a revocation list that can't be
read lets nobody in.
Source: spec/tls.md sections 1 to 4.
"""

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from etcdpy.tls.certificates import (
    CertificateNames,
    find_host_mismatch,
    go_strings,
    is_peer_name,
    names_of,
    parse_revoked,
)
from etcdpy.tls.ciphers import to_openssl
from etcdpy.urls import go_quote

log = logging.getLogger("etcdpy.embed")

#: A file that is younger may change again without another time stamp.
_SETTLED_S = 2.0
#: How long names may be asked for when a peer's certificate is compared with its address.
LOOKUP_S = 10.0

_T = TypeVar("_T")

#: What OpenSSL says, in Go's words; a client's or a peer's log is searched for these.
_GO_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls: client didn't provide a certificate",
    "UNSUPPORTED_PROTOCOL": "tls: client offered only unsupported versions",
    "NO_SHARED_CIPHER": "tls: no cipher suite supported by both client and server",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "local error: tls: bad record MAC",
    "SSLV3_ALERT_BAD_CERTIFICATE": "remote error: tls: bad certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "remote error: tls: unknown certificate authority",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "remote error: tls: unknown certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "remote error: tls: expired certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "remote error: tls: handshake failure",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "remote error: tls: certificate required",
}
_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
_GO_VERDICTS = {
    9: "x509: certificate has expired or is not yet valid",
    10: "x509: certificate has expired or is not yet valid",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    26: "x509: certificate specifies an incompatible key usage",
}


class TlsError(Exception):
    """Files that can't be used; the text is etcd's."""


class NotAdmittedError(Exception):
    """A handshake succeeded, and the other side is still none whom we serve."""

    def __init__(self, reason: str, names: CertificateNames) -> None:
        super().__init__(reason)
        self.names = names


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What one side, clients' or peers', was told: files are paths, empty ones are not used."""

    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    crl_file: str = ""
    allowed_cn: str = ""
    allowed_hostname: str = ""
    cipher_suites: tuple[str, ...] = ()
    has_source_check: bool = False  # names in a certificate must be those of its sender
    server_name: str = ""  # whom we dial must be certified for it, whatever the address
    is_self_signed: bool = False  # our own certificate: nobody can verify it when we dial

    @property
    def is_empty(self) -> bool:
        """Whether there is no certificate."""
        return not self.cert_file and not self.key_file

    def __str__(self) -> str:
        """Return the files as etcd's log shows them."""
        return (
            f"cert = {self.cert_file}, key = {self.key_file},"
            f" trusted-ca = {self.trusted_ca_file},"
            f" client-cert-auth = {str(self.client_cert_auth).lower()},"
            f" crl-file = {self.crl_file}"
        )


class FromFiles(Generic[_T]):
    """A value made of files, and made again when one of them is another than it was."""

    def __init__(self, paths: Sequence[str], make: Callable[[], _T]) -> None:
        """Make it now.  Raises: whatever `make` raises."""
        self._paths = tuple(path for path in paths if path)
        self._make = make
        self._stamp = self._look()
        self._value = make()

    def get(self) -> _T:
        """Return the value; raises what `make` raises, and then again until the files change."""
        stamp = self._look()
        if stamp != self._stamp or not _is_settled(stamp):
            self._value = self._make()
            self._stamp = stamp
        return self._value

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """Return inode, size and time of each file; zeros for one that is not there."""
        found = []
        for path in self._paths:
            try:
                status = os.stat(path)
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


def _is_settled(stamp: tuple[tuple[int, int, int], ...]) -> bool:
    youngest_ns = max((changed_ns for _, _, changed_ns in stamp), default=0)
    return time.time_ns() - youngest_ns > _SETTLED_S * 1_000_000_000


class _Contexts:
    """A context of files, with the last one that could be used."""

    def __init__(self, paths: Sequence[str], make: Callable[[], ssl.SSLContext]) -> None:
        self._files = FromFiles(paths, make)
        self._last = self._files.get()
        self._complaint = ""  # said last

    def get(self) -> ssl.SSLContext:
        try:
            self._last = self._files.get()
        except TlsError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("%s (the former certificates stay in use)", error)
        else:
            self._complaint = ""
        return self._last


class ServerTls:
    """TLS of listeners: a context for each handshake, then the check of who came."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises: TlsError for files that can't be used, with etcd's text."""
        _check_pair(settings)
        self.settings = settings
        files = (settings.cert_file, settings.key_file, settings.trusted_ca_file)
        self._contexts = _Contexts(files, lambda: _server_context(settings))
        self._revoked: FromFiles[frozenset[int]] | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for a handshake that begins now."""
        return self._contexts.get()

    async def admit(self, session: ssl.SSLObject, source: str) -> tuple[str, ...]:
        """Return the common names of a client's verified certificates, its own first.

        Nothing is returned where these do not stand for users.  `source` is the address that the
        connection comes from, empty if it has none.  Raises: NotAdmittedError.
        """
        settings = self.settings
        fields = session.getpeercert()
        if not fields:
            return ()
        leaf = names_of(fields)
        complaint = self._find_complaint(leaf)
        if not complaint and settings.has_source_check and source:
            complaint = await _find_source_mismatch(leaf, source)
        if not complaint and settings.crl_file:
            complaint = self._find_revoked(leaf, session)
        if complaint:
            raise NotAdmittedError(complaint, leaf)
        if not settings.client_cert_auth:
            return ()
        return tuple(names.common_name for names in _chain(session, "get_verified_chain", leaf))

    def _find_complaint(self, leaf: CertificateNames) -> str:
        settings = self.settings
        is_refused = False
        if settings.allowed_cn:
            is_refused = leaf.common_name != settings.allowed_cn
        if settings.allowed_hostname:
            is_refused = bool(find_host_mismatch(leaf, settings.allowed_hostname))
        return "client certificate authentication failed" if is_refused else ""

    def _find_revoked(self, leaf: CertificateNames, session: ssl.SSLObject) -> str:
        """Return why one of the presented certificates does not count, or that nobody can know."""
        path = self.settings.crl_file
        try:
            if self._revoked is None:
                self._revoked = FromFiles([path], lambda: parse_revoked(_read(path)))
            revoked = self._revoked.get()
        except (TlsError, ValueError) as error:
            return str(error)
        for names in _chain(session, "get_unverified_chain", leaf):
            if names.serial in revoked:
                digits = f"{names.serial:x}"
                shown = digits if len(digits) % 2 == 0 else f"0{digits}"
                return f"transport: certificate serial {shown} revoked"
        return ""


class ClientTls:
    """TLS of outgoing connections to peers.

    Nothing is read before the first dial that needs it; `check` reads at once.
    """

    def __init__(self, settings: TlsSettings = TlsSettings()) -> None:
        self._settings = settings
        self._contexts: _Contexts | None = None

    @property
    def server_name(self) -> str | None:
        """The name for which a peer must be certified, None for that of its URL."""
        return self._settings.server_name or None

    def check(self) -> None:
        """Read the files now.  Raises: TlsError, with etcd's text."""
        settings = self._settings
        if not settings.is_empty:
            _check_pair(settings)
        files = (settings.cert_file, settings.key_file, settings.trusted_ca_file)
        self._contexts = _Contexts(files, lambda: _client_context(settings))

    def context(self) -> ssl.SSLContext:
        """Return the context for a dial that begins now.  Raises: TlsError at the first one."""
        if self._contexts is None:
            self.check()
        assert self._contexts is not None
        return self._contexts.get()


def describe_refusal(error: BaseException) -> str:
    """Return why a handshake failed, in Go's words where there are some."""
    if isinstance(error, NotAdmittedError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        verdict = _GO_VERDICTS.get(error.verify_code, f"x509: {error.verify_message}")
        return f"tls: failed to verify client certificate: {verdict}"
    if isinstance(error, ssl.SSLError):
        return _GO_REASONS.get(error.reason or "", f"tls: {error.reason or error}")
    return "EOF" if isinstance(error, ConnectionError) else str(error) or type(error).__name__


def log_refusal(remote: str, error: BaseException) -> None:
    """Say who was not let in, and why, in etcd's line."""
    line = f'rejected connection from "{remote}" (error {go_quote(describe_refusal(error))}'
    line += ', ServerName ""'
    if isinstance(error, NotAdmittedError):
        names = error.names
        line += f", IPAddresses {go_strings(names.ips)}, DNSNames {go_strings(names.hosts)}"
    log.info("%s)", line)


# Contexts


def _check_pair(settings: TlsSettings) -> None:
    """Refuse settings that contradict each other.  Raises: TlsError."""
    if not settings.cert_file or not settings.key_file:
        raise TlsError(
            "KeyFile and CertFile must both be present"
            f"[key: {settings.key_file}, cert: {settings.cert_file}]"
        )
    if settings.allowed_cn and settings.allowed_hostname:
        raise TlsError(
            "AllowedCN and AllowedHostname are mutually exclusive"
            f" (cn={go_quote(settings.allowed_cn)}, hostname={go_quote(settings.allowed_hostname)})"
        )


def _server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Raises: TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, settings)
    context.set_alpn_protocols(["http/1.1"])
    if settings.trusted_ca_file or settings.client_cert_auth:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.trusted_ca_file)
        # A resumed session would not show the certificates between the client's and the root.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def _client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Raises: TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_up(context, settings)
    context.hostname_checks_common_name = False
    if settings.is_self_signed:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, settings.trusted_ca_file)
    return context


def _set_up(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Set what both sides have in common.  Raises: TlsError."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # as with Go; OpenSSL 3 has it so by itself
    if settings.cipher_suites:
        ciphers = to_openssl(settings.cipher_suites)
        if ciphers:
            context.set_ciphers(ciphers)
        else:  # suites of TLS 1.3 only
            context.minimum_version = ssl.TLSVersion.TLSv1_3
    if settings.is_empty:
        return
    _expect_pem(settings.cert_file, "certificate")
    _expect_pem(settings.key_file, "key")
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file, password=_no_password)
    except ssl.SSLError as error:
        raise TlsError(_words_of_pair(error)) from error
    except (OSError, ValueError) as error:
        raise TlsError(f"tls: failed to parse private key: {error}") from error


def _no_password() -> str:
    """Give an encrypted key no password: OpenSSL would ask for it on the terminal."""
    raise ValueError("the key is encrypted")


def _words_of_pair(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return "tls: private key does not match public key"
        case "KEY_TYPE_MISMATCH":
            return "tls: private key type does not match public key type"
        case _:
            return f"tls: failed to parse certificate or key: {error.reason or error}"


def _trust(context: ssl.SSLContext, path: str) -> None:
    """Verify the other side by the authorities in a file, or by the system's.  Raises: TlsError."""
    # As with Go, whatever stands in the file is trusted, be it a root or not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not path:
        context.set_default_verify_paths()
        return
    content = _read(path)
    try:
        # What stands between the certificates may be in any language.
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"x509: malformed certificate in {path}") from error


def _expect_pem(path: str, what: str) -> None:
    """Raises: TlsError, in Go's words, for a file that can't be what it should be."""
    if b"-----BEGIN " not in _read(path):
        raise TlsError(f"tls: failed to find any PEM data in {what} input")


def _read(path: str) -> bytes:
    """Raises: TlsError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TlsError(f"open {path}: {reason}") from error


# Who came


def _chain(session: ssl.SSLObject, method: str, leaf: CertificateNames) -> list[CertificateNames]:
    """Return the names of a chain of certificates, the leaf first.

    Python has no public way to it before 3.13, and then only to its bytes; the object below has
    one in all versions since 3.10.  Where there is none (another interpreter, a resumed session),
    it is the leaf alone.
    """
    inner: Any = getattr(session, "_sslobj", None)
    get_chain = getattr(inner, method, None)
    found = get_chain() if get_chain is not None else None
    return [names_of(certificate.get_info()) for certificate in found or ()] or [leaf]


async def _find_source_mismatch(names: CertificateNames, source: str) -> str:
    """Return why a peer at `source` may not use this certificate, in etcd's words.

    Certificates without alternative names may be used from anywhere.
    """
    if names.ips:
        complaint = find_host_mismatch(names, source)
        if not complaint or not names.hosts:
            return complaint
    if not names.hosts or await _is_one_of(source, names.hosts):
        return ""
    return f"tls: {go_quote(source)} does not match any of DNSNames {go_strings(names.hosts)}"


async def _is_one_of(source: str, hosts: Sequence[str]) -> bool:
    """Tell whether an address resolves to one of the host names, or one of them to it."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_S):
            try:
                name, _ = await loop.getnameinfo((source, 0), socket.NI_NAMEREQD)
            except OSError:
                name = ""
            if name and is_peer_name(hosts, name):
                return True
            for host in hosts:
                if not host.startswith("*.") and source in await _addresses(host):
                    return True
    except TimeoutError:
        pass
    return False


async def _addresses(host: str) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[4][0]) for address in found]
