"""What we read out of certificates ourselves, after OpenSSL has verified them.

A file of its own, and a leaf, because all of it is rules on plain values: which names a
certificate has, whether one of them is a host's, which serial numbers a revocation list holds.
Go's rules, for these decide who gets in: a host is compared with the alternative names only, never
with the common name, and a revocation list counts by its serial numbers alone.
Source: spec/tls.md sections 3 and 4; RFC 5280 section 5.1, RFC 6125 section 6.4.
"""

import base64
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etcdpy.urls import go_quote

_PEM = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?")

_INTEGER, _SEQUENCE = 0x02, 0x30
_TIMES = (0x17, 0x18)  # UTCTime, GeneralizedTime


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Whom a verified certificate speaks for."""

    common_name: str = ""
    ips: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    serial: int = 0


def names_of(fields: Mapping[str, Any]) -> CertificateNames:
    """Return the names in what `ssl` tells of a certificate; of several common names the last."""
    common = ""
    for relative in fields.get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                common = value
    alternatives = fields.get("subjectAltName", ())
    return CertificateNames(
        common,
        tuple(_plain_ip(value) for kind, value in alternatives if kind == "IP Address"),
        tuple(value for kind, value in alternatives if kind == "DNS"),
        int(fields.get("serialNumber", "0"), 16),
    )


def find_host_mismatch(names: CertificateNames, host: str) -> str:
    """Return why a certificate is not one for `host`, in Go's words; nothing if it is."""
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if _is_ip(literal):
        if not names.ips:
            return (
                f"x509: cannot validate certificate for {host}"
                " because it doesn't contain any IP SANs"
            )
        if _plain_ip(literal) in names.ips:
            return ""
        return f"x509: certificate is valid for {', '.join(names.ips)}, not {host}"
    wanted = host.lower()
    if any(_is_match(pattern.lower(), wanted) for pattern in names.hosts):
        return ""
    if not names.hosts:
        return f"x509: certificate is not valid for any names, but wanted to match {host}"
    return f"x509: certificate is valid for {', '.join(names.hosts)}, not {host}"


def is_peer_name(patterns: Sequence[str], resolved: str) -> bool:
    """Tell whether a name that an address resolves to is one of a certificate's host names."""
    name = resolved.removesuffix(".")
    return any(
        name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern
        for pattern in patterns
    )


def go_strings(texts: Sequence[str]) -> str:
    """Return a list of texts as etcd's log has it."""
    return "[" + " ".join(go_quote(text) for text in texts) + "]"


def parse_revoked(content: bytes) -> frozenset[int]:
    """Return the serial numbers of a revocation list, PEM or DER.

    Raises: ValueError where it is none.
    """
    pem = _PEM.search(content)
    try:
        return frozenset(_revoked_serials(base64.b64decode(pem.group(1)) if pem else content))
    except (IndexError, ValueError) as error:
        raise ValueError("asn1: structure error: not a certificate revocation list") from error


def _revoked_serials(content: bytes) -> Iterator[int]:
    """Yield the serials.  Raises: IndexError or ValueError for another structure."""
    [(outer, listed)] = list(_elements(content))
    _expect(outer == _SEQUENCE)
    parts = list(_elements(listed))
    _expect(len(parts) == 3 and parts[0][0] == _SEQUENCE)
    fields = list(_elements(parts[0][1]))
    at = 1 if fields[0][0] == _INTEGER else 0  # the version may be left out
    _expect(fields[at][0] == fields[at + 1][0] == _SEQUENCE)  # algorithm, issuer
    _expect(fields[at + 2][0] in _TIMES)
    at += 3
    if at < len(fields) and fields[at][0] in _TIMES:  # the next update
        at += 1
    if at == len(fields) or fields[at][0] != _SEQUENCE:  # nothing is revoked
        return
    for kind, entry in _elements(fields[at][1]):
        _expect(kind == _SEQUENCE)
        serial_kind, serial = next(_elements(entry), (0, b""))
        _expect(serial_kind == _INTEGER and bool(serial))
        yield int.from_bytes(serial, "big", signed=True)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each DER element.  Raises: IndexError, ValueError."""
    at = 0
    while at < len(content):
        tag, size = content[at], content[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            _expect(0 < count <= 4)
            size = int.from_bytes(content[at : at + count], "big")
            at += count
        _expect(at + size <= len(content))
        yield tag, content[at : at + size]
        at += size


def _expect(is_so: bool) -> None:
    if not is_so:
        raise ValueError


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _plain_ip(text: str) -> str:
    """Return an address in its one short form."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _is_match(pattern: str, host: str) -> bool:
    """Tell whether a host name is that of a certificate; `*` stands for one whole first label."""
    if not _HOST.fullmatch(host) or ".." in host:
        return pattern == host != ""  # no host name: nothing but the same text
    host = host.removesuffix(".")
    if pattern.startswith("*."):
        _, dot, rest = host.partition(".")
        return bool(dot) and rest == pattern[2:]
    return pattern == host
