"""Names in certificates, and lists of revoked ones: Go's rules, on plain values.

Source: spec/tls.md sections 3 and 4.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.tls.certificates import (
    CertificateNames,
    find_host_mismatch,
    is_peer_name,
    names_of,
    parse_revoked,
)
from tests.harness.certificates import Authority

NAMES = CertificateNames("cn", ("10.9.9.9", "2001:db8::1"), ("a.example.com", "*.b.example.com"))


@pytest.mark.parametrize(
    "host",
    [
        "10.9.9.9",
        "[2001:db8::1]",
        "2001:DB8:0::1",
        "a.example.com",
        "A.Example.COM",
        "x.b.example.com",
    ],
)
def test_a_certificate_is_for_its_alternative_names(host: str) -> None:
    assert find_host_mismatch(NAMES, host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "cn",  # a common name is no host
        "127.0.0.1",
        "b.example.com",
        "x.y.b.example.com",  # a star is one label
        ".b.example.com",
        "example.com",
        "a.example.com.evil.org",
        "a.example.com\0.evil.org",
        "*.b.example.com.",
        "",
    ],
)
def test_a_certificate_is_for_nobody_else(host: str) -> None:
    assert find_host_mismatch(NAMES, host)


@pytest.mark.parametrize(
    ("names", "host", "complaint"),
    [
        (
            CertificateNames(ips=("10.9.9.9",)),
            "127.0.0.1",
            "x509: certificate is valid for 10.9.9.9, not 127.0.0.1",
        ),
        (
            CertificateNames(hosts=("a", "b")),
            "c",
            "x509: certificate is valid for a, b, not c",
        ),
        (
            CertificateNames(hosts=("a",)),
            "1.2.3.4",
            "x509: cannot validate certificate for 1.2.3.4 because it doesn't contain any IP SANs",
        ),
        (
            CertificateNames("c"),
            "c",
            "x509: certificate is not valid for any names, but wanted to match c",
        ),
    ],
)
def test_a_mismatch_is_told_in_gos_words(
    names: CertificateNames, host: str, complaint: str
) -> None:
    assert find_host_mismatch(names, host) == complaint


def test_a_star_in_a_peers_certificate_stands_for_any_depth() -> None:
    assert is_peer_name(["*.example.com"], "a.b.example.com.")
    assert is_peer_name(["x", "a.example.com"], "a.example.com.")
    assert not is_peer_name(["*.example.com"], "example.com.")
    assert not is_peer_name(["a.example.com"], "b.a.example.com.")


def test_of_several_common_names_the_last_counts() -> None:
    fields = {
        "subject": ((("commonName", "root"),), (("organizationName", "o"), ("commonName", "bob"))),
        "subjectAltName": (("DNS", "d"), ("IP Address", "2001:DB8:0:0:0:0:0:1"), ("URI", "u")),
        "serialNumber": "0B05",
    }
    assert names_of(fields) == CertificateNames("bob", ("2001:db8::1",), ("d",), 0x0B05)
    assert names_of({}) == CertificateNames()


@pytest.mark.parametrize("is_der", [False, True])
def test_a_list_is_read_in_both_forms(tmp_path: Path, is_der: bool) -> None:
    serials = (1, 0x80, 0xFF00, 2**127 + 5)
    path = Authority(tmp_path).revoke(tmp_path / "crl", *serials, is_der=is_der)
    assert parse_revoked(path.read_bytes()) == frozenset(serials)


def test_an_empty_list_revokes_nothing(tmp_path: Path) -> None:
    assert parse_revoked(Authority(tmp_path).revoke(tmp_path / "crl").read_bytes()) == frozenset()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"0",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80\x00\x00",
        b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a certificate revocation list"):
        parse_revoked(content)


@given(st.data())
def test_a_damaged_list_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = bytes.fromhex(
        "306b3013020101300d06092a864886f70d01010b0500300d310b3009060355040613025858"
        "170d3230303130313030303030305a170d3330303130313030303030305a3014301202010b170d"
        "3230303130313030303030305a300d06092a864886f70d01010b050003020000"
    )
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        found = parse_revoked(damaged[: data.draw(st.integers(at, len(whole)))])
    except ValueError:
        return
    assert all(isinstance(serial, int) for serial in found)
