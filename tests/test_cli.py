"""The command: exit codes, streams and the one line of a refusal, compared with the real etcd.

Source: spec/config.md section 1.
"""

import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from etcdpy import ETCD_VERSION, cli, process
from etcdpy.errors import ConfigError, FatalError
from etcdpy.settings.config import FIELDS, Config

ETCD = shutil.which("etcd")
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of the command left behind."""

    code: int
    out: str
    err: str

    @property
    def err_lines(self) -> list[str]:
        """The lines on stderr, without their time."""
        return [re.sub(r"^\S+ \S+ (?=[A-Z] \| )", "", line) for line in self.err.splitlines()]


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def clean_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept_logging: None) -> None:
    """Run in an empty directory, without ETCD_* variables, and put logging back afterwards."""
    for name in [name for name in os.environ if name.startswith("ETCD")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The members that the command has started; none really runs."""
    configs: list[Config] = []

    def run(config: Config) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(process, "run", run)
    return configs


@pytest.fixture
def run(
    started: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command in this process, without a member behind it."""

    def call(*arguments: str, **environ: str) -> Outcome:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


REFUSED: dict[str, tuple[list[str], dict[str, str]]] = {
    "unknown flag": (["--bogus"], {}),
    "bad syntax": (["---x"], {}),
    "missing value": (["--name"], {}),
    "bad number": (["--heartbeat-interval", "abc"], {}),
    "huge number": (["--max-wals", "99999999999999999999"], {}),
    "bad boolean": (["--strict-reconfig-check=maybe"], {}),
    "bad choice": (["--initial-cluster-state", "foo"], {}),
    "bad url": (["--listen-client-urls", "http://a:80x"], {}),
    "positional": (["--name=a", "extra"], {}),
    "positional beside version": (["--version", "extra"], {}),
    "old flag, then unknown flag": (["--snapshot=5", "--bogus"], {}),
    "no heartbeat": (["--heartbeat-interval", "0"], {}),
    "no election": (["--election-timeout", "0"], {}),
    "short election": (["--election-timeout", "400"], {}),
    "long election": (["--election-timeout", "50001"], {}),
    "no advertised url": (["--listen-client-urls", "http://127.0.0.1:1"], {}),
    "empty listen urls": (["--listen-client-urls", ""], {}),
    "empty host": (["--initial-advertise-peer-urls", "http://:2380"], {}),
    "name to bind": (["--listen-peer-urls", "http://foo.com:80"], {}),
    "no host to bind": (["--listen-peer-urls", "http://:1"], {}),
    "logger": (["--logger", "foo"], {}),
    "no file": (["--config-file", "/nonexistent/file"], {}),
    "no file by environment": ([], {"ETCD_CONFIG_FILE": "/nonexistent/file"}),
    "conflict": (["--name", "y"], {"ETCD_NAME": "x"}),
    "conflict with an empty variable": (["--name", "y"], {"ETCD_NAME": ""}),
    "bad variables": ([], {"ETCD_SNAPSHOT_COUNT": "xx", "ETCD_ENABLE_V2": "yy", "ETCD_X": "1"}),
    "version variable": ([], {"ETCD_VERSION": "3.4"}),
}


@pytest.mark.live
@pytest.mark.skipif(ETCD is None, reason="the real etcd is not on PATH")
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_etcds_word_for_word(case: str, run: Run, started: list[Config]) -> None:
    arguments, environ = REFUSED[case]
    ours = run(*arguments, **environ)
    assert ETCD is not None
    etcd = subprocess.run(
        [ETCD, *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    theirs = Outcome(etcd.returncode, etcd.stdout, etcd.stderr)
    assert ours.code == theirs.code
    assert refusal_lines(ours) == refusal_lines(theirs)
    assert ours.out == theirs.out == ""
    assert not started


def refusal_lines(outcome: Outcome) -> list[str]:
    """Return what was said of the refusal: not the version, nor a usage that is ours or theirs."""
    said: list[str] = []
    for line in outcome.err_lines:
        if line == "Usage:":
            return said
        is_start = line.startswith(("I | etcdmain: ", "W | etcdmain: no data-dir"))
        if not (line.startswith("[WARNING] Deprecated") or (is_start and "Loading" not in line)):
            said.append(line)
    return said


def test_a_bad_command_line_ends_with_code_2_and_the_usage(run: Run) -> None:
    outcome = run("--bogus")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("flag provided but not defined: -bogus\nUsage:\n")


def test_a_bad_setting_ends_with_code_1_and_one_line(run: Run) -> None:
    outcome = run("--heartbeat-interval=0")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err_lines == [
        "E | etcdmain: error verifying flags, --heartbeat-interval must be >0 (set to 0ms)."
        " See 'etcd --help'."
    ]


def test_a_refusal_has_the_form_that_was_asked_for(run: Run) -> None:
    outcome = run("--logger=zap", "--heartbeat-interval=0")
    line = json.loads(outcome.err)
    assert line["msg"] == "failed to verify flags"
    assert line["error"] == "--heartbeat-interval must be >0 (set to 0ms)"


def test_an_unknown_log_level_ends_with_code_2(run: Run) -> None:
    outcome = run("--log-level=foo")
    assert outcome.code == 2
    assert 'unknown level "foo"' in outcome.err


def test_a_bad_url_in_a_file_is_said_without_a_prefix(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("listen-client-urls: foo\n")
    outcome = run("--config-file=c.yml")
    assert outcome.code == 1
    assert outcome.err_lines[-1] == (
        "unexpected error setting up listen-client-urls:"
        " URL scheme must be http, https, unix, or unixs: foo"
    )


def test_a_file_is_used_alone(run: Run, started: list[Config], tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("max-wals: 7\n")
    outcome = run("--config-file=c.yml", "--name=a", ETCD_MAX_SNAPSHOTS="x")
    assert outcome.code == 0
    assert (started[0].max_wals, started[0].name, started[0].max_snapshots) == (7, "default", 5)
    assert outcome.err_lines[0] == (
        'I | etcdmain: Loading server configuration from "c.yml". Other configuration command line'
        " flags and environment variables will be ignored if provided."
    )


def test_without_flags_a_member_starts_with_etcds_defaults(run: Run, started: list[Config]) -> None:
    outcome = run()
    assert started == [Config()]
    assert outcome.err_lines[:2] == [
        "W | etcdmain: no data-dir provided, using default data-dir ./default.etcd",
        f"I | etcdmain: etcd Version: {ETCD_VERSION}",
    ]


def test_debug_is_the_debug_level(run: Run) -> None:
    run("--debug", "--log-level=error")
    assert logging.getLogger("etcdpy").level == logging.DEBUG


@pytest.mark.parametrize(("refusal", "code"), [(ConfigError("why"), 1), (FatalError("why"), 1)])
def test_what_stops_a_member_ends_as_one_critical_line(
    refusal: Exception, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_config: Config) -> int:
        raise refusal

    monkeypatch.setattr(process, "run", fail)
    outcome = run()
    assert outcome.code == code
    assert outcome.err_lines[-1] == "C | etcdmain: why"


def test_the_members_exit_code_is_the_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "run", lambda _config: 3)
    assert run().code == 3


def test_version_is_parsed_as_etcds(run: Run, started: list[Config]) -> None:
    outcome = run("--version")
    lines = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert lines[0] == f"etcd Version: {ETCD_VERSION}"
    names = [line.partition(": ")[0] for line in lines]
    assert names == ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch", "etcdpy Version"]
    assert not started


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help_lists_every_flag_on_stdout(flag: str, run: Run) -> None:
    outcome = run(flag)
    assert outcome.code == 0
    assert outcome.err.startswith("Usage:")
    for row in FIELDS:
        assert f"  --{row.setting.flag} '{cli.show_default(row)}'\n" in outcome.out


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "etcdpy", "--help"],
        cwd=Path(cli.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(DEADLINE_S) == 1
    assert "Traceback" not in said
    assert "Exception" not in said


def test_an_interrupt_ends_the_command_by_that_signal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_config: Config) -> int:
        raise KeyboardInterrupt

    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(process, "run", interrupt)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    before = signal.getsignal(signal.SIGINT)
    try:
        assert run().code == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert sent == [(os.getpid(), signal.SIGINT)]


def test_the_default_host_is_an_address_or_none() -> None:
    host = cli.find_default_host()
    assert host is None or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", host)


@pytest.mark.parametrize(
    ("flag", "redirection"),
    [("--version", ">&-"), ("--version", "2>&-"), ("--help", "<&- >&- 2>&-")],
)
def test_closed_standard_streams_are_no_fault(flag: str, redirection: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m etcdpy {flag} {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_full_disk_behind_stdout_is_told_by_the_exit_code() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "etcdpy", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")
