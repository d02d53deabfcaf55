"""TLS beside the real etcd: who is let in, what the log says of others, and which start is refused.

Source: spec/tls.md sections 2 to 4, spec/config.md section 5.
"""

import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.certificates import SERVER_AUTH, Authority, Pair, client_context
from tests.harness.client import Connection
from tests.harness.ports import free_port
from tests.harness.process import Kind, Member, tied, wait_until
from tests.harness.secure import UNANSWERED, Files, SecureMember

DEADLINE_S = 20.0
REJECTED = re.compile(r'rejected connection from "[^"]*" \(error "((?:[^"\\]|\\.)*)", (.*)\)$')
#: What etcd tells beyond what OpenSSL lets us know: the current time, the versions on offer.
BEYOND = re.compile(r": current time .*|: \[[0-9 ]+\]$")

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]


@dataclass(slots=True)
class Pairs:
    """Certificates of clients, good and bad."""

    files: Files
    by_name: dict[str, Pair]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    directory = tmp_path_factory.mktemp("files")
    files = Files.make(directory)
    authority = files.authority
    return Pairs(
        files,
        {
            "good": authority.issue("good", "good", dns=("good.example.com",)),
            "no names": authority.issue("bare", "bare", ips=()),
            "expired": authority.issue("expired", "expired", days=-3),
            "server only": authority.issue("only", "only", usages=(SERVER_AUTH,)),
            "any use": authority.issue("any", "any", usages=()),
            "stranger": Authority(directory, "other ca").issue("stranger", "stranger"),
            "revoked": authority.issue("revoked", "revoked", serial=0x0B05AA),
        },
    )


@pytest.fixture(scope="module")
def both(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SecureMember]]:
    files = pairs.files
    crl = files.authority.revoke(
        files.authority.directory / "crl.pem", pairs.by_name["revoked"].serial
    )
    options = [*files.flags(), f"--client-crl-file={crl}"]
    members = [
        SecureMember(kind, tmp_path_factory.mktemp(kind), *options, tls=files.context())
        for kind in Kind
    ]
    with members[0], members[1]:
        for member in members:
            member.start()
        yield members


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client got, and what the server's log says of it."""

    status: int
    reason: str = ""
    rest: str = ""


def try_once(member: SecureMember, context: ssl.SSLContext, scheme: str = "https") -> Outcome:
    """Ask once on a connection of its own."""
    before = len(member.log_text())
    url = member.client_url.replace("https", scheme)
    try:
        with Connection(url, DEADLINE_S, context) as connection:
            return Outcome(connection.request("GET", "/version").status)
    except UNANSWERED:
        pass

    def found() -> re.Match[str] | None:
        lines = [line for line in member.log_text()[before:].splitlines() if "rejected" in line]
        return REJECTED.search(lines[-1]) if lines else None

    wait_until(lambda: found() is not None, DEADLINE_S, "a line in the log")
    match = found()
    assert match is not None
    return Outcome(0, BEYOND.sub("", match.group(1)), match.group(2))


@pytest.mark.parametrize(
    "name", ["good", "no names", "expired", "server only", "any use", "stranger", "revoked", ""]
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_same_clients_are_let_in_and_the_log_says_the_same_of_others(
    both: list[SecureMember], pairs: Pairs, name: str, version: ssl.TLSVersion
) -> None:
    context = client_context(pairs.files.authority, pairs.by_name.get(name))
    context.minimum_version = context.maximum_version = version
    ours, theirs = (try_once(member, context) for member in both)
    assert ours == theirs
    assert (ours.status == 200) == (name in ("good", "no names", "any use"))


def test_what_is_no_handshake_is_the_same_for_both(both: list[SecureMember], pairs: Pairs) -> None:
    context = pairs.files.context()
    ours, theirs = (try_once(member, context, "http") for member in both)
    assert ours == theirs
    assert ours.reason == "tls: first record does not look like a TLS handshake"


def test_a_client_without_a_suite_in_common_is_told_of_alike(
    both: list[SecureMember], pairs: Pairs
) -> None:
    context = pairs.files.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE-RSA-AES128-SHA256")
    ours, theirs = (try_once(member, context) for member in both)
    assert ours == theirs


def test_writes_and_watches_go_over_tls_alike(both: list[SecureMember]) -> None:
    for member in both:
        with member.connect() as watching, member.connect() as writing:
            response = watching.open("GET", "/v2/keys/w?wait=true")
            assert writing.request("PUT", "/v2/keys/w", {"value": "<1>"}).status == 201
            assert b'"value":"\\u003c1\\u003e"' in response.read()


# Starts that are refused


def refuse_cases(pairs: Pairs, tmp_path: Path) -> dict[str, list[str]]:
    good, other = pairs.by_name["good"], pairs.by_name["no names"]
    clients = [
        "--listen-client-urls=https://127.0.0.1:{port}",
        "--advertise-client-urls=http://a:1",
    ]
    peers = ["--listen-peer-urls=https://127.0.0.1:{port}"]
    names = ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"]
    return {
        "no pair for clients": clients,
        "no pair for peers": peers,
        "no pair for a socket": [clients[0].replace("https", "unixs"), clients[1]],
        "half a pair": [*peers, f"--peer-cert-file={good.cert}"],
        "no such file": [*peers, "--peer-cert-file=/nope", f"--peer-key-file={good.key}"],
        "no such key": [*peers, f"--peer-cert-file={good.cert}", "--peer-key-file=/nope"],
        "two pairs": [*peers, f"--peer-cert-file={good.cert}", f"--peer-key-file={other.key}"],
        "no such ca": [*peers, *good.flags("peer-"), "--peer-trusted-ca-file=/nope"],
        "no pem": [*peers, f"--peer-cert-file={tmp_path / 'x'}", f"--peer-key-file={good.key}"],
        "unknown suite": ["--cipher-suites=foo"],
        "empty suite": ["--cipher-suites="],
        "two rules": [*peers, *good.flags("peer-"), *names],
        "2.3's ca": ["--ca-file=x"],
        "2.3's peer ca": ["--peer-ca-file=x"],
    }


def last_words(kind: Kind, options: list[str], directory: Path) -> tuple[int, str]:
    """Return exit code and reason of a start that fails."""
    flags = [option.format(port=free_port()) for option in options]
    if not any(flag.startswith("--listen-peer-urls") for flag in flags):
        flags.append(f"--listen-peer-urls=http://127.0.0.1:{free_port()}")
    done = subprocess.run(
        tied([*kind.command(), *flags]),
        env=Member(kind, directory).environment(),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line and "[WARNING]" not in line]
    said = next((line for line in lines if " C | " in line or " E | " in line), lines[0])
    return done.returncode, re.sub(r":\d{4,5}\b", ":PORT", said.rpartition(" | ")[2])


def test_a_refused_start_is_refused_in_the_same_words(pairs: Pairs, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no certificate")
    differing = {}
    for name, options in refuse_cases(pairs, tmp_path).items():
        ours, theirs = (last_words(kind, options, tmp_path) for kind in Kind)
        if ours != theirs or ours[0] == 0:
            differing[name] = (ours, theirs)
    assert not differing
