"""TLS over real sockets: who is let in, with what, and that files are read again.

Source: spec/tls.md sections 3 and 4.
"""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etcdpy.http.tables import PEER_ROUTES
from etcdpy.tls.contexts import ClientTls, FromFiles, ServerTls, TlsError, TlsSettings
from tests.harness.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Authority,
    Pair,
    client_context,
)
from tests.harness.client import Connection, NotSentError
from tests.harness.process import wait_until
from tests.http.server import ServerThread

DEADLINE_S = 10.0
REFUSED = (NotSentError, OSError, http.client.HTTPException)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server", "server", dns=("localhost",))


def settings(pair: Pair, **values: object) -> TlsSettings:
    texts = {
        name: str(value) if isinstance(value, Path) else value for name, value in values.items()
    }
    return TlsSettings(str(pair.cert), str(pair.key), **texts)  # type: ignore[arg-type]


def ask(port: int, context: ssl.SSLContext, path: str = "/version") -> int:
    """Return the status of an answer.  Raises: REFUSED."""
    with Connection(f"https://127.0.0.1:{port}", DEADLINE_S, context) as connection:
        return connection.request("GET", path).status


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "etcdpy.embed")
    return caplog


def reason_in(log: pytest.LogCaptureFixture) -> str:
    wait_until(lambda: bool(log.messages), DEADLINE_S, "a line in the log")
    return log.messages[-1].partition('(error "')[2].partition('", ServerName')[0]


# Listeners


def test_plain_and_tls_on_one_socket_are_told_apart_by_the_first_byte(
    authority: Authority, pair: Pair
) -> None:
    with ServerThread(tls=ServerTls(settings(pair))) as server:
        assert ask(server.port, client_context(authority)) == 200
        with Connection(f"http://127.0.0.1:{server.port}") as plain:
            assert plain.request("GET", "/version").status == 200


def test_plain_http_on_a_tls_socket_gets_no_byte(
    pair: Pair, logged: pytest.LogCaptureFixture
) -> None:
    with ServerThread(tls=ServerTls(settings(pair)), is_plain=False) as server:
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as sock:
            sock.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                answer = sock.recv(100)
            except ConnectionResetError:
                answer = b""
        assert answer == b""
        assert reason_in(logged) == "tls: first record does not look like a TLS handshake"


def test_a_client_that_says_nothing_and_leaves_is_forgotten(pair: Pair) -> None:
    with ServerThread(tls=ServerTls(settings(pair)), is_plain=False) as server:
        for _ in range(3):
            socket.create_connection(("127.0.0.1", server.port), DEADLINE_S).close()
        assert ask(server.port, client_context(None)) == 200
    assert not server.errors


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken(
    authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    context = client_context(authority)
    context.minimum_version = context.maximum_version = version
    with ServerThread(tls=ServerTls(settings(pair))) as server:
        assert ask(server.port, context) == 200


def test_older_versions_are_refused(pair: Pair, logged: pytest.LogCaptureFixture) -> None:
    context = client_context(None)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # Python says that nobody should use them
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with ServerThread(tls=ServerTls(settings(pair))) as server:
        with pytest.raises(REFUSED):
            ask(server.port, context)
        assert reason_in(logged).startswith("tls: client offered only unsupported versions")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")
def test_a_session_is_not_negotiated_again(pair: Pair) -> None:
    with ServerThread(tls=ServerTls(settings(pair))) as server:
        words = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.port}"]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"R\n")  # alone in a line: the client asks for another handshake
            client.stdin.flush()
            client.wait(DEADLINE_S)  # refused, it ends
            said = client.stdout.read()
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said


def test_a_chosen_suite_is_the_one_that_is_spoken(authority: Authority, pair: Pair) -> None:
    chosen = ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_RSA_WITH_RC4_128_SHA")
    context = client_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        ServerThread(tls=ServerTls(settings(pair, cipher_suites=chosen))) as server,
        socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"  # type: ignore[index]


def test_suites_of_tls_1_3_alone_leave_no_older_version(pair: Pair) -> None:
    context = client_context(None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    chosen = ("TLS_AES_128_GCM_SHA256",)
    with ServerThread(tls=ServerTls(settings(pair, cipher_suites=chosen))) as server:
        assert ask(server.port, client_context(None)) == 200
        with pytest.raises(REFUSED):
            ask(server.port, context)


# Clients' certificates


def test_words_beside_an_authority_may_be_of_any_language(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    commented = tmp_path / "commented.pem"
    commented.write_bytes("Autorité de Noël\n".encode() + Path(authority.path).read_bytes())
    with ServerThread(tls=ServerTls(settings(pair, trusted_ca_file=commented))) as server:
        bob = authority.issue("bob", "bob", ips=(), usages=(CLIENT_AUTH,))
        assert ask(server.port, client_context(authority, bob)) == 200


@pytest.mark.parametrize("how", ["trusted_ca_file", "client_cert_auth"])
def test_either_flag_demands_a_certificate(
    authority: Authority, pair: Pair, how: str, logged: pytest.LogCaptureFixture
) -> None:
    value = {"trusted_ca_file": authority.path, "client_cert_auth": True}[how]
    with ServerThread(tls=ServerTls(settings(pair, **{how: value}))) as server:
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority))
        assert reason_in(logged) == "tls: client didn't provide a certificate"


def test_a_certificate_without_alternative_names_is_enough_for_a_client(
    authority: Authority, pair: Pair
) -> None:
    bob = authority.issue("bob", "bob", ips=(), usages=(CLIENT_AUTH,))
    with ServerThread(tls=ServerTls(settings(pair, trusted_ca_file=authority.path))) as server:
        assert ask(server.port, client_context(authority, bob)) == 200


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("expired", "x509: certificate has expired or is not yet valid"),
        ("server only", "x509: certificate specifies an incompatible key usage"),
        ("stranger", "x509: certificate signed by unknown authority"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(
    authority: Authority, pair: Pair, case: str, reason: str, logged: pytest.LogCaptureFixture
) -> None:
    shown = {
        "expired": lambda: authority.issue("e", "e", days=-2),
        "server only": lambda: authority.issue("s", "s", usages=(SERVER_AUTH,)),
        "stranger": lambda: Authority(authority.directory, "other ca").issue("x", "x"),
    }[case]()
    with ServerThread(tls=ServerTls(settings(pair, trusted_ca_file=authority.path))) as server:
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, shown))
        assert reason_in(logged) == f"tls: failed to verify client certificate: {reason}"


def test_without_a_ca_the_systems_authorities_count(
    authority: Authority, pair: Pair, logged: pytest.LogCaptureFixture
) -> None:
    with ServerThread(tls=ServerTls(settings(pair, client_cert_auth=True))) as server:
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, pair))
        assert "unknown authority" in reason_in(logged)


@pytest.mark.parametrize("is_der", [False, True])
def test_a_revoked_certificate_is_refused_and_others_are_not(
    tmp_path: Path,
    authority: Authority,
    pair: Pair,
    is_der: bool,
    logged: pytest.LogCaptureFixture,
) -> None:
    bob, eve = authority.issue("bob", "bob"), authority.issue("eve", "eve", serial=0x0B05AA)
    crl = authority.revoke(tmp_path / "crl", eve.serial, is_der=is_der)
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path, crl_file=crl))
    with ServerThread(tls=tls) as server:
        assert ask(server.port, client_context(authority, bob)) == 200
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, eve))
        assert reason_in(logged) == "transport: certificate serial 0b05aa revoked"
        authority.revoke(crl, bob.serial, eve.serial)
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, bob))
        authority.revoke(crl)
        assert ask(server.port, client_context(authority, eve)) == 200


@pytest.mark.parametrize("content", [None, b"no list"])
def test_an_unreadable_list_lets_nobody_in_who_has_a_certificate(
    tmp_path: Path, authority: Authority, pair: Pair, content: bytes | None
) -> None:
    crl = tmp_path / "crl"
    if content is not None:
        crl.write_bytes(content)
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path, crl_file=crl))
    with ServerThread(tls=tls) as server:
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, pair))
        authority.revoke(crl)
        assert ask(server.port, client_context(authority, pair)) == 200


@pytest.mark.parametrize(
    ("values", "is_admitted"),
    [
        ({"allowed_cn": "bob"}, True),
        ({"allowed_cn": "Bob"}, False),
        ({"allowed_hostname": "bob.example.com"}, True),
        ({"allowed_hostname": "bob"}, False),
        ({"allowed_hostname": "127.0.0.1"}, True),
        ({"allowed_hostname": "127.0.0.2"}, False),
        ({"has_source_check": True}, True),
    ],
)
def test_who_may_come_is_a_matter_of_names(
    authority: Authority,
    pair: Pair,
    values: dict[str, object],
    is_admitted: bool,
    logged: pytest.LogCaptureFixture,
) -> None:
    bob = authority.issue("bob", "bob", dns=("bob.example.com",))
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path, **values))
    with ServerThread(tls=tls) as server:
        if is_admitted:
            assert ask(server.port, client_context(authority, bob)) == 200
            return
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, bob))
        assert reason_in(logged) == "client certificate authentication failed"
        assert 'IPAddresses ["127.0.0.1"], DNSNames ["bob.example.com"]' in logged.messages[-1]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (((), ()), ""),
        ((("10.9.9.9", "127.0.0.1"), ()), ""),
        ((("10.9.9.9",), ()), "x509: certificate is valid for 10.9.9.9, not 127.0.0.1"),
        ((("10.9.9.9",), ("localhost",)), ""),
        (
            ((), ("nobody.invalid",)),
            'tls: \\"127.0.0.1\\" does not match any of DNSNames [\\"nobody.invalid\\"]',
        ),
    ],
)
def test_a_peers_certificate_is_one_of_its_address(
    authority: Authority,
    pair: Pair,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    complaint: str,
    logged: pytest.LogCaptureFixture,
) -> None:
    peer = authority.issue("peer", "peer", ips=names[0], dns=names[1])
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path, has_source_check=True))
    with ServerThread(PEER_ROUTES, tls=tls, is_plain=False) as server:
        if not complaint:
            assert ask(server.port, client_context(authority, peer)) == 200
            return
        with pytest.raises(REFUSED):
            ask(server.port, client_context(authority, peer))
        assert reason_in(logged) == complaint


@pytest.mark.parametrize("is_user", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_names_of_the_verified_chain_are_known_where_they_stand_for_users(
    authority: Authority, pair: Pair, is_user: bool, version: ssl.TLSVersion
) -> None:
    bob = authority.issue("bob", "bob")
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path, client_cert_auth=is_user))
    seen: list[tuple[str, ...]] = []
    admit = tls.admit

    async def record(session: ssl.SSLObject, source: str) -> tuple[str, ...]:
        seen.append(await admit(session, source))
        return seen[-1]

    tls.admit = record  # type: ignore[method-assign]
    context = client_context(authority, bob)
    context.minimum_version = context.maximum_version = version
    with ServerThread(tls=tls) as server:
        assert ask(server.port, context) == 200
        assert ask(server.port, context) == 200
    assert seen == [("bob", "test ca") if is_user else ()] * 2


# Files that change


def replace(old: Path, new: Path) -> None:
    os.replace(new, old)


def test_certificate_and_authority_are_replaced_without_a_restart(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    bob = authority.issue("bob", "bob")
    tls = ServerTls(settings(pair, trusted_ca_file=authority.path))
    with ServerThread(tls=tls) as server:
        assert ask(server.port, client_context(authority, bob)) == 200
        (tmp_path / "new").mkdir()
        other = Authority(tmp_path / "new")
        old_context = client_context(authority, bob)
        fresh, newcomer = other.issue("server", "server"), other.issue("bob", "bob")
        context = client_context(other, newcomer)
        replace(pair.cert, fresh.cert)
        # Half of it: the former pair goes on being served.
        assert ask(server.port, old_context) == 200
        replace(pair.key, fresh.key)
        with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(server.port, old_context)
        replace(authority.path, other.path)
        assert ask(server.port, context) == 200


def test_files_that_are_gone_leave_the_former_ones_in_use_and_it_is_said_once(
    pair: Pair, logged: pytest.LogCaptureFixture
) -> None:
    tls = ServerTls(settings(pair))
    context = tls.context()
    pair.key.unlink()
    assert tls.context() is context
    assert tls.context() is context
    assert logged.messages == [
        f"open {pair.key}: no such file or directory (the former certificates stay in use)"
    ]


def test_a_value_is_made_again_only_when_a_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    os.utime(path, (1, 1))
    made: list[str] = []

    def make() -> int:
        made.append(path.read_text())
        return len(made)

    value = FromFiles([str(path), ""], make)
    assert [value.get(), value.get()] == [1, 1]
    path.write_text("b")
    assert value.get() == 2
    # Its time stamp is so new that another change might not show in it.
    assert value.get() == 3
    os.utime(path, (2, 2))
    assert [value.get(), value.get()] == [4, 4]


# What can't be used


def test_settings_that_cannot_be_used_are_refused_in_etcds_words(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    other = authority.issue("other", "other")
    empty = tmp_path / "empty"
    empty.write_text("nothing")
    cases: dict[str, TlsSettings] = {
        f"KeyFile and CertFile must both be present[key: , cert: {pair.cert}]": TlsSettings(
            cert_file=str(pair.cert)
        ),
        "open /nope: no such file or directory": TlsSettings("/nope", str(pair.key)),
        "tls: private key does not match public key": TlsSettings(str(pair.cert), str(other.key)),
        "tls: failed to find any PEM data in certificate input": TlsSettings(
            str(empty), str(pair.key)
        ),
        "tls: failed to find any PEM data in key input": TlsSettings(str(pair.cert), str(empty)),
        "open /ca: no such file or directory": settings(pair, trusted_ca_file="/ca"),
        f"x509: malformed certificate in {empty}": settings(pair, trusted_ca_file=str(empty)),
        'AllowedCN and AllowedHostname are mutually exclusive (cn="a", hostname="b")': settings(
            pair, allowed_cn="a", allowed_hostname="b"
        ),
    }
    for text, refused in cases.items():
        with pytest.raises(TlsError) as refusal:
            ServerTls(refused)
        assert str(refusal.value) == text
        with pytest.raises(TlsError):
            ClientTls(refused).check()


def test_a_dial_of_plain_urls_needs_no_files() -> None:
    ClientTls(TlsSettings("/nope", "/nope"))  # nothing is read


# The end


def test_a_request_with_tls_is_finished_when_the_server_stops(
    authority: Authority, pair: Pair
) -> None:
    context = client_context(authority)
    with (
        ServerThread(tls=ServerTls(settings(pair))) as server,
        Connection(f"https://127.0.0.1:{server.port}", DEADLINE_S, context) as idle,
        Connection(f"https://127.0.0.1:{server.port}", DEADLINE_S, context) as busy,
        Connection(f"http://127.0.0.1:{server.port}", DEADLINE_S) as plain,
        ThreadPoolExecutor() as pool,
    ):
        assert idle.request("GET", "/version").status == 200
        assert plain.request("GET", "/version").status == 200
        watch = busy.open("GET", "/v2/keys/a?wait=true")
        stopping = pool.submit(server.stop, DEADLINE_S)
        wait_until(lambda: is_closed(idle), DEADLINE_S, "an idle connection is closed")
        assert not stopping.done()
        assert plain.request("PUT", "/v2/keys/a", {"value": "1"}).status == 201
        assert json.loads(watch.read())["node"]["value"] == "1"
        stopping.result(DEADLINE_S)


def is_closed(connection: Connection) -> bool:
    try:
        connection.request("GET", "/version")
    except REFUSED:
        return True
    return False
