"""Where log lines go, and what is refused as by etcd.

Source: spec/config.md sections 2 and 8; the refusals are those that the real etcd printed.
"""

import json
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etcdpy import log_outputs, logs
from etcdpy.errors import ConfigError
from etcdpy.log_outputs import JournalOutput

log = logging.getLogger("etcdpy.embed")
raft_log = logging.getLogger("etcdpy.raft")

pytestmark = pytest.mark.usefixtures("kept_logging")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Callable[[], dict[str, str]]]:
    """A journal; what it was told by the next datagram."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        listener.settimeout(10)

        def read() -> dict[str, str]:
            fields = {}
            data = listener.recv(65536)
            while data:
                name, _, rest = data.partition(b"\n")
                if b"=" in name:
                    name, _, value = name.partition(b"=")
                else:
                    size = int.from_bytes(rest[:8], "little")
                    value, rest = rest[8 : 8 + size], rest[9 + size :]
                fields[name.decode()] = value.decode()
                data = rest
            return fields

        yield read


def test_the_default_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log_outputs.setup("capnslog", "info", ["default"])
    log.info("x")
    said = capsys.readouterr()
    assert (said.out, said.err.endswith(" I | embed: x\n")) == ("", True)


def test_plain_lines_go_to_stdout_but_for_the_raft_librarys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_outputs.setup("capnslog", "info", ["stdout"])
    log.info("x")
    raft_log.info("y")
    said = capsys.readouterr()
    assert said.out.endswith(" I | embed: x\n")
    assert said.err.endswith(" INFO: y\n")
    assert len(said.out.splitlines()) == len(said.err.splitlines()) == 1


def test_json_lines_go_to_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    second.write_text("before\n")
    log_outputs.setup("zap", "info", ["stdout", "stderr", str(first), f"file://{second}"])
    raft_log.info("y")
    said = capsys.readouterr()
    line = first.read_text()
    assert json.loads(line)["msg"] == "y"
    assert said.out == said.err == line
    assert second.read_text() == "before\n" + line


def test_a_log_file_is_made_for_others_to_read(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        log_outputs.setup("zap", "info", [str(tmp_path / "a.log")])
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("logger", "names", "refusal"),
    [
        (
            "capnslog",
            ["a", "b"],
            '--logger=capnslog supports only 1 value in \'--log-outputs\', got ["a" "b"]',
        ),
        (
            "capnslog",
            ["x"],
            'unknown log-output "x" (only supports "default", "stderr", "stdout")',
        ),
        (
            "capnslog",
            ["systemd/journal"],
            'unknown log-output "systemd/journal" (only supports "default", "stderr", "stdout")',
        ),
        ("capnslog", [""], 'unknown log-output "" (only supports "default", "stderr", "stdout")'),
        ("zap", ["default", "stderr"], 'multi logoutput for "default" is not supported yet'),
        (
            "zap",
            ["/nope/x"],
            'open sink "/nope/x": open /nope/x: no such file or directory',
        ),
        ("zap", ["http://x"], 'open sink "http://x": no sink found for scheme "http"'),
        (
            "zap",
            ["stderr", "systemd/journal"],
            "running with systemd/journal but other '--log-outputs' values"
            ' (["stderr" "systemd/journal"]) are configured with \'default\';'
            " override 'default' value with something else",
        ),
    ],
)
def test_what_etcd_refuses_is_refused_in_its_words(
    logger: str, names: list[str], refusal: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        log_outputs.setup(logger, "info", names)
    assert str(caught.value) == refusal


def test_no_journal_is_refused_in_etcds_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_outputs.JournalOutput.__init__, "__defaults__", (str(tmp_path / "no"),))
    with pytest.raises(ConfigError) as caught:
        log_outputs.setup("zap", "info", ["systemd/journal"])
    assert str(caught.value) == (
        "can't find journal (dial unixgram /run/systemd/journal/socket: connect:"
        " no such file or directory)"
    )


def test_the_journal_gets_line_priority_and_part(
    tmp_path: Path, journal: Callable[[], dict[str, str]]
) -> None:
    output = JournalOutput(str(tmp_path / "journal"))
    logs.install(logs.LogHandler(logs.BareFormatter(), [output], None), logging.DEBUG)
    priorities = {10: "7", 20: "6", logs.NOTICE: "5", 30: "4", 40: "3", 50: "2"}
    for level, priority in priorities.items():
        log.log(level, "x")
        told = journal()
        assert told.pop("SYSLOG_IDENTIFIER")
        assert told == {"MESSAGE": "x", "PRIORITY": priority, "PACKAGE": "embed"}


def test_a_trace_goes_to_the_journal_as_one_message(
    tmp_path: Path, journal: Callable[[], dict[str, str]]
) -> None:
    output = JournalOutput(str(tmp_path / "journal"))
    logs.install(logs.LogHandler(logs.BareFormatter(), [output], None), logging.DEBUG)
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    message = journal()["MESSAGE"]
    assert message.startswith("failed\nTraceback")
    assert message.endswith("ValueError: why")


def test_what_the_journal_does_not_take_goes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        output = JournalOutput(str(tmp_path / "journal"))
    logs.install(logs.LogHandler(logs.BareFormatter(), [output], None), logging.DEBUG)
    log.info("x")
    assert capsys.readouterr().err == "x\n"


def test_under_systemd_the_default_is_the_journal_and_explicit_words_are_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal: Callable[[], dict[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(
        log_outputs.JournalOutput.__init__, "__defaults__", (str(tmp_path / "journal"),)
    )
    log_outputs.setup("capnslog", "info", ["default"])
    log.info("x")
    assert journal()["MESSAGE"] == "x"
    raft_log.info("y")
    log_outputs.setup("capnslog", "info", ["stderr"])
    log.info("z")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[-1] for line in lines] == ["y", "z"]


def test_parts_have_levels_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    log_outputs.setup("capnslog", "info", ["stderr"], "embed=DEBUG,*=WARNING,etcdserver=E")
    for name in ("etcdpy.embed", "etcdpy.etcdmain", "etcdpy.member", "etcdpy.apply"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "x")
    said = [line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        *(f"{letter} | embed: x" for letter in "DIWE"),
        *(f"{letter} | etcdmain: x" for letter in "WE"),
        *(["E | etcdserver: x"] * 2),
    ]


def test_parts_that_are_not_named_keep_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    log_outputs.setup("capnslog", "info", ["stderr"], "embed=5")
    for name in ("etcdpy.embed", "etcdpy.etcdmain"):
        logging.getLogger(name).debug("x")
        logging.getLogger(name).info("y")
    said = [line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["D | embed: x", "I | embed: y", "I | etcdmain: y"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo", "oddly structured `pkg=level` option: foo"),
        ("a=b", "couldn't parse log level b"),
        ("a=INFO,b", "oddly structured `pkg=level` option: b"),
        ("a=info", "couldn't parse log level info"),
    ],
)
def test_levels_of_parts_that_cannot_be_read_are_said_and_ignored(
    capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    log_outputs.setup("capnslog", "warn", ["stderr"], text)
    log.info("x")
    said = capsys.readouterr().err
    assert said.endswith(
        f" W | embed: couldn't parse log level string: {reason}, continuing with default levels\n"
    )
    assert len(said.splitlines()) == 1


def test_a_level_for_all_ends_those_of_parts(capsys: pytest.CaptureFixture[str]) -> None:
    log_outputs.setup("capnslog", "info", ["stderr"], "embed=ERROR")
    logs.set_level("INFO")
    log.info("x")
    log.debug("y")
    assert capsys.readouterr().err.endswith(" I | embed: x\n")


def test_lines_are_counted_by_level_and_go_on_being_counted() -> None:
    log_outputs.setup("capnslog", "info", ["stderr"])
    before = dict(logs.line_counts())
    log.info("x")
    log.debug("not written")
    log_outputs.setup("zap", "info", ["stderr"])
    log.error("y")
    after = logs.line_counts()
    assert after["info"] == before.get("info", 0) + 1
    assert after["error"] == before.get("error", 0) + 1
    assert after.get("debug", 0) == before.get("debug", 0)
