"""Certificates as means of attack, beside etcd: names that are nearly those of a user.

A client's certificate stands for the user of its common name where `--client-cert-auth` is given;
all certificates here are of the authority that both members trust.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from tests.conformance.attacks import FORGED
from tests.harness.certificates import client_context
from tests.harness.process import Kind
from tests.harness.secure import UNANSWERED, Files, SecureMember

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

CN, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME
#: What a certificate's subject says, and whose it then is.
SUBJECTS = {
    "root": ([(CN, "root")], "root"),
    "bob": ([(CN, "bob")], "bob"),
    "the last of two counts": ([(CN, "bob"), (CN, "root")], "root"),
    "the first of two does not": ([(CN, "root"), (CN, "bob")], "bob"),
    "a null byte at the end": ([(CN, "root\0")], ""),
    "a null byte within": ([(CN, "root\0.example")], ""),
    "capitals": ([(CN, "ROOT")], ""),
    "a blank behind": ([(CN, "root ")], ""),
    "a blank before": ([(CN, " root")], ""),
    "a line end": ([(CN, "root\n")], ""),
    "a letter that looks the same": ([(CN, "r\u043eot")], ""),
    "wide letters": ([(CN, "\uff52\uff4f\uff4f\uff54")], ""),
    "another name within": ([(CN, "x,CN=root")], ""),
    "two in one": ([(CN, "bob+CN=root")], ""),
    "a unit": ([(UNIT, "root"), (CN, "x")], ""),
    "a pattern": ([(CN, "*")], ""),
    "a role": ([(CN, "guest")], ""),
}
#: Names that lead elsewhere in the tree, or nowhere: etcd lets the first three be root, and ends
#: the connection at the last.
LEADING = {
    "a path": [(CN, "./root")],
    "a path above": [(CN, "../users/root")],
    "a key that looks like a user": [(CN, "../../1/app/forged")],
    "none": [(UNIT, "root")],
}
PATHS = ("/v2/keys/secret", "/v2/keys/app/forged", "/v2/keys/pub", "/v2/auth/users")
ALLOWED = {"root": [200] * 4, "bob": [401, 200, 401, 401], "": [401, 401, 200, 401]}


class Both(NamedTuple):
    files: Files
    members: Mapping[Kind, SecureMember]


def people(member: SecureMember) -> None:
    """Make users, roles and keys, and turn auth on."""
    pub = {"kv": {"read": ["/pub"], "write": []}}
    app = {"kv": {"read": ["/app/*"], "write": ["/app/*"]}}
    with member.connect() as connection:
        for path, body in (
            ("users/root", {"user": "root", "password": "pw"}),
            ("users/bob", {"user": "bob", "password": "pw", "roles": ["app"]}),
            ("roles/app", {"role": "app", "permissions": app}),
            ("roles/guest", {"role": "guest", "permissions": pub}),
        ):
            answer = connection.request("PUT", f"/v2/auth/{path}", json.dumps(body))
            assert answer.status in (200, 201), answer
        for key, value in (("app/forged", FORGED), ("pub", "1"), ("secret", "1")):
            assert connection.request("PUT", f"/v2/keys/{key}", {"value": value}).status == 201
        assert connection.request("PUT", "/v2/auth/enable").status == 200


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A member of each kind that takes certificates for users."""
    directory = tmp_path_factory.mktemp("names")
    files = Files.make(directory / "files")
    members = {
        kind: SecureMember(kind, directory / kind, *files.flags(), tls=files.context())
        for kind in Kind
    }
    try:
        for member in members.values():
            people(member.start())
        yield Both(files, members)
    finally:
        for member in members.values():
            member.kill()


def statuses(
    both: Both, kind: Kind, subject: list[tuple[x509.ObjectIdentifier, str]], header: str = ""
) -> list[int]:
    """Return what who shows a certificate of that subject is answered; 0 is no answer."""
    pair = both.files.authority.issue("attacker", subject=subject)
    context = client_context(both.files.authority, pair)
    found = []
    for path in PATHS:
        headers = {"Authorization": header} if header else {}
        with both.members[kind].connect(context) as connection:
            try:
                found.append(connection.request("GET", path, headers=headers).status)
            except UNANSWERED:
                found.append(0)
    return found


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_common_name_is_a_users_only_if_it_is_the_same(both: Both, name: str) -> None:
    subject, user = SUBJECTS[name]
    ours, theirs = (statuses(both, kind, subject) for kind in Kind)
    assert ours == theirs == ALLOWED[user]


@pytest.mark.parametrize("name", LEADING)
def test_a_common_name_that_leads_elsewhere_is_nobodys(both: Both, name: str) -> None:
    assert statuses(both, Kind.ETCDPY, LEADING[name]) == ALLOWED[""]


def test_credentials_that_are_wrong_are_not_put_right_by_a_certificate(both: Both) -> None:
    subject, _ = SUBJECTS["root"]
    for header in ("Basic !", "Basic cm9vdDpubw==", "Bearer x"):
        ours, theirs = (statuses(both, kind, subject, header) for kind in Kind)
        assert ours == theirs == [401] * 4


def test_a_key_that_everybody_can_read_is_named(tmp_path: Path) -> None:
    """etcd says nothing."""
    files = Files.make(tmp_path / "files")
    member = SecureMember(Kind.ETCDPY, tmp_path, *files.flags(), tls=files.context())
    files.server.key.chmod(0o640)
    with member.start():
        assert "is open to everybody" not in member.log_text()
    files.server.key.chmod(0o644)
    with member.start():
        assert f'key file "{files.server.key}" is open to everybody' in member.log_text()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    files = Files.make(tmp_path / "files")
    key = load_pem_private_key(files.server.key.read_bytes(), None)
    sealed = BestAvailableEncryption(b"pw")
    files.server.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    for kind in Kind:
        with SecureMember(kind, tmp_path / kind, *files.flags(), tls=files.context()) as member:
            member.launch()
            assert member.wait_exit() == 1
            assert "tls: failed to parse private key" in member.log_text()
