"""Every flag of the real etcd: taken, taken without effect, or refused, and nonsense refused alike.

Source: spec/config.md sections 1 to 3, 6 and 7.
"""

import contextlib
import io
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etcdpy import cli, process
from etcdpy.settings.config import FIELDS, Config
from etcdpy.settings.ignored import WITHOUT_EFFECT
from etcdpy.settings.kinds import LIMITS
from etcdpy.settings.sources import IGNORED_FLAGS
from tests.harness.client import Connection
from tests.harness.ports import free_port
from tests.harness.process import ROOT, Kind, Launcher, Member, tied, wait_until

DEADLINE_S = 30.0
SPEC = ROOT / "docs" / "spec" / "config.md"
#: What etcdpy has and etcd has not.
OWN = {"discovery-service", "proxy-coalesce"}
#: Flags of etcd 2.3 that 3.4 does not know either.
OLD = {
    "addr",
    "bind-addr",
    "ca-file",
    "experimental-auto-compaction-retention",
    "experimental-gRPC-addr",
    "experimental-v3demo",
    "peer-addr",
    "peer-bind-addr",
    "peer-ca-file",
    "peers",
    "peers-file",
}
TAKEN = {field.setting.flag for field in FIELDS} | {"config-file", "version"}

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("kept_logging"),
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]


def run(kind: Kind, directory: Path, flags: Sequence[str]) -> tuple[int, str, str]:
    """Return exit code, stdout, and the first line on stderr that is no hint on logging."""
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
    return done.returncode, done.stdout, lines[0] if lines else ""


def test_every_flag_of_etcd_is_known_and_has_its_place(tmp_path: Path) -> None:
    _, out, _ = run(Kind.ETCD, tmp_path, ["--help"])
    theirs = set(re.findall(r"^ +--([a-z0-9-]+)", out, re.MULTILINE))
    assert len(theirs) >= 80
    assert theirs - TAKEN - set(WITHOUT_EFFECT) - set(IGNORED_FLAGS) == set()


def test_etcds_defaults_are_taken_and_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Config] = []
    monkeypatch.chdir(tmp_path)

    def take(config: Config) -> int:
        taken.append(config)
        return 0

    monkeypatch.setattr(process, "run", take)
    _, out, _ = run(Kind.ETCD, tmp_path, ["--help"])
    given = dict(re.findall(r"^ +--([a-z0-9-]+) '([^']+)'", out, re.MULTILINE))
    given |= {"data-dir": "default.etcd", "max-concurrent-streams": str(2**32 - 1)}
    flags = [f"--{flag}={value}" for flag, value in given.items()]
    assert len(flags) > 45
    assert cli.main(flags) == 0
    # These two are on here; docs/differences.md says why.
    assert taken == [Config(enable_v2=False, pre_vote=False)]


def test_every_flag_of_the_specification_has_its_place() -> None:
    section = SPEC.read_text().partition("## 2. Flags")[2].partition("## 3.")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    rows = [re.sub(r"\([^)]*\)", "", cell) for cell in cells]
    named = {flag for row in rows for flag in re.findall(r"`([a-z][A-Za-z0-9-]+)`", row)}
    assert len(named) > 80
    assert named - TAKEN - set(WITHOUT_EFFECT) - set(IGNORED_FLAGS) - OLD == set()


def nonsense() -> list[list[str]]:
    """Return command lines, each with one value that its flag can't have."""
    texts = {"list", "text", "list of hosts"}
    settings = [field.setting for field in FIELDS if field.setting.section != LIMITS]  # etcd's
    kinds = {setting.flag: setting.kind.name for setting in settings}
    lines = [
        [f"--{flag}=\tx"] for flag, kind in kinds.items() if kind not in texts and flag not in OWN
    ]
    typed = [
        "quota-backend-bytes",
        "backend-batch-interval",
        "backend-batch-limit",
        "max-txn-ops",
        "max-concurrent-streams",
        "grpc-keepalive-timeout",
        "enable-grpc-gateway",
        "initial-election-tick-advance",
        "experimental-compaction-batch-limit",
    ]
    lines += [[f"--{flag}=x"] for flag in typed]
    lines += [[f"--{flag}=x"] for flag in sorted(OLD)]
    lines += [["--max-snapshots=-1"], ["--max-wals", "18446744073709551616"]]
    lines += [
        ["--max-concurrent-streams=4294967296"],
        ["--backend-batch-limit=9223372036854775808"],
    ]
    lines += [["--backend-batch-interval=5"], ["--enable-grpc-gateway=maybe"], ["--cors="]]
    lines += [["--auto-compaction-mode=x"], ["--experimental-enable-lease-checkpoint-persist"]]
    lines += [["--cors=foo"], ["--cors=http://a.com"], ["--cors=*,http://x:1"]]
    lines += [["--listen-metrics-urls=http://a.com:1"], ["--listen-metrics-urls=foo"]]
    return lines


def test_nonsense_is_refused_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "run", lambda config: 0)
    lines = nonsense()
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(lambda line: run(Kind.ETCD, tmp_path, line), lines))
    differing = {}
    for line, (code, _, said) in zip(lines, theirs, strict=True):
        wanted = (code, said.rpartition(" | ")[2])
        found = run_here(line)
        if found != wanted or code == 0:
            differing[" ".join(line)] = (found, wanted)
    assert not differing


REFUSED_AT_THE_START = [
    "--auto-compaction-retention=x",
    "--auto-compaction-retention=-1",
    "--auto-compaction-retention=1d2h",
    "--auto-compaction-retention=1h2",
    "--auth-token=x",
    "--auth-token=simple,a",
    "--auth-token=simple,a=b,a=c",
    "--auth-token=jwt",
    "--auth-token=jwt,sign-method=RS1",
    "--auth-token=jwt,sign-method=RS256",
    "--auth-token=jwt,sign-method=HS256,pub-key=/dev/null",
    "--auth-token=jwt,sign-method=ES256,ttl=5",
]


def test_what_is_refused_at_the_start_is_refused_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "run", lambda config: 0)
    anywhere = "http://127.0.0.1:0"
    places = [f"--listen-peer-urls={anywhere}", f"--listen-client-urls={anywhere}"]
    places += ["--advertise-client-urls=http://127.0.0.1:1"]
    for flag in REFUSED_AT_THE_START:
        code, said = run_to_end(Kind.ETCD, tmp_path, [flag, *places])
        assert code == 1
        found = io.StringIO()
        with contextlib.redirect_stderr(found):
            assert cli.main([flag, *places]) == 1, flag
        ours = found.getvalue().splitlines()[-1]
        assert ours.partition(" | ")[2] == said.partition(" | ")[2], flag
        assert " C | " in ours


def run_to_end(kind: Kind, directory: Path, flags: Sequence[str]) -> tuple[int, str]:
    """Return exit code and last line on stderr."""
    done = subprocess.run(
        tied([*kind.command(), *flags]),
        env=Member(kind, directory).environment(),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()[-1]


def run_here(flags: list[str]) -> tuple[int, str]:
    """Return what our command says of `flags`, without a process of its own."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = cli.main(flags)
    lines = [line for line in said.getvalue().splitlines() if line and " W | " not in line]
    return code, lines[0].rpartition(" | ")[2]


def test_the_settings_of_etcds_sample_file_start_a_member(tmp_path: Path) -> None:
    peer, client = (f"http://localhost:{free_port()}" for _ in range(2))
    sample = tmp_path / "etcd.conf.yml"
    sample.write_text(
        f"""
name: 'default'
data-dir:
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: {peer}
listen-client-urls: {client}
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: {peer}
advertise-client-urls: {client}
discovery:
discovery-fallback: 'proxy'
discovery-proxy:
discovery-srv:
initial-cluster: default={peer}
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
strict-reconfig-check: false
enable-v2: true
enable-pprof: true
proxy: 'off'
proxy-failure-wait: 5000
proxy-refresh-interval: 30000
proxy-dial-timeout: 1000
proxy-write-timeout: 5000
proxy-read-timeout: 0
client-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
peer-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
debug: false
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
"""
    )
    with FileMember(Kind.ETCDPY, tmp_path, sample, client) as member:
        member.launch()
        member.wait_ready()
        assert (tmp_path / "default.etcd").is_dir()


class FileMember(Member):
    """A member that has its settings from a file."""

    def __init__(self, kind: Kind, directory: Path, path: Path, client_url: str) -> None:
        super().__init__(kind, directory)
        self._path = path
        self._url = client_url

    @property
    def client_url(self) -> str:
        return self._url

    def arguments(self) -> list[str]:
        return [*self.kind.command(), "--config-file", str(self._path)]


def test_origins_hosts_and_metrics_are_as_etcds(tmp_path: Path) -> None:
    answers = []
    for kind in Kind:
        port = free_port()
        launcher = Launcher(kind, tmp_path / kind)
        member = launcher(
            "--cors=http://a:1,http://b:2",
            "--host-whitelist=127.0.0.1,good",
            f"--listen-metrics-urls=http://127.0.0.1:{port}",
        )
        with member:
            member.start()
            answers.append([*ask_access(member), *ask_metrics(port)])
    assert answers[0] == answers[1]
    assert {status for status, *_ in answers[0]} == {200, 404, 405, 421}


def ask_access(member: Member) -> list[tuple[int, dict[str, str], bytes]]:
    shown = []
    with Connection(member.client_url) as connection:
        for method in ("GET", "OPTIONS"):
            for host in ("good", "good:1", "GOOD", "evil.com", "evil.com:80"):
                for origin in ("", "http://a:1", "http://A:1", "http://c:3"):
                    headers = {"Host": host} | ({"Origin": origin} if origin else {})
                    answer = connection.request(method, "/version", headers=headers)
                    kept = {
                        name: value
                        for name, value in answer.headers.items()
                        if name.startswith(("access-control", "x-content", "content", "vary"))
                    }
                    shown.append((answer.status, kept, answer.body))
    return shown


def ask_metrics(port: int) -> list[tuple[int, dict[str, str], bytes]]:
    shown = []
    with Connection(f"http://127.0.0.1:{port}") as connection:
        wait_until(lambda: connection.request("GET", "/health").status == 200, DEADLINE_S, "health")
        for method, path in (
            ("GET", "/health"),
            ("OPTIONS", "/health"),
            ("GET", "/version"),
            ("GET", "/v2/keys"),
        ):
            answer = connection.request(method, path, headers={"Origin": "http://a:1"})
            kept = {n: v for n, v in answer.headers.items() if n.startswith("access-control")}
            shown.append((answer.status, kept, answer.body))
    return shown
