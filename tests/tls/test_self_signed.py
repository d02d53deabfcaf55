"""Certificates that a member makes for itself.  Source: spec/tls.md section 5."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from etcdpy.errors import ConfigError
from etcdpy.tls import self_signed
from etcdpy.tls.self_signed import make_self_signed


def test_it_is_what_etcd_makes(tmp_path: Path) -> None:
    made = make_self_signed(tmp_path / "fixtures" / "client", ["127.0.0.1:1", "localhost:2"])
    certificate = x509.load_pem_x509_certificate(made.cert.read_bytes())
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP521R1)
    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == "O=etcd"
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime == datetime.timedelta(days=365)
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_only_its_owner_reads_the_key(tmp_path: Path) -> None:
    made = make_self_signed(tmp_path / "fixtures", ["127.0.0.1:1"])
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.cert.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "fixtures").stat().st_mode) == 0o700


def test_what_is_there_is_used_again(tmp_path: Path) -> None:
    before = make_self_signed(tmp_path, ["127.0.0.1:1"]).cert.read_bytes()
    assert make_self_signed(tmp_path, ["10.0.0.1:1"]).cert.read_bytes() == before
    (tmp_path / "key.pem").unlink()
    assert make_self_signed(tmp_path, ["10.0.0.1:1"]).cert.read_bytes() != before


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_self_signed(tmp_path, ["127.0.0.1:1"])
    monkeypatch.setattr(self_signed, "IS_AVAILABLE", False)
    assert make_self_signed(tmp_path, ["127.0.0.1:1"]) == made
    with pytest.raises(ConfigError, match=r"pip install 'cryptography>=43'"):
        make_self_signed(tmp_path / "other", ["127.0.0.1:1"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"could not get certs .*file.*not a directory"):
        make_self_signed(tmp_path / "file" / "client", ["127.0.0.1:1"])
