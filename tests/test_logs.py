"""Log lines have etcd's two forms, and nothing that is logged can forge or break one.

Source: spec/config.md section 8.
"""

import io
import json
import logging
import re
import sys
from collections.abc import Callable

import pytest

from etcdpy import logs

pytestmark = pytest.mark.usefixtures("kept_logging")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Read what was written to stderr since the last call."""
    return lambda: capsys.readouterr().err


def test_a_plain_line_has_time_level_and_part(said: Callable[[], str]) -> None:
    logs.setup()
    logging.getLogger("etcdpy.embed").info("ready to serve client requests")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} I \| embed: ready to serve client requests\n",
        said(),
    )


def test_each_level_has_its_letter_and_its_name(said: Callable[[], str]) -> None:
    levels = [10, 20, logs.NOTICE, 30, 40, 50]
    logs.setup(level="debug")
    for level in levels:
        logging.getLogger("etcdpy.embed").log(level, "x")
    assert re.findall(r" ([A-Z]) \| ", said()) == list("DINWEC")
    logs.setup("zap", "debug")
    for level in levels:
        logging.getLogger("etcdpy.embed").log(level, "x")
    names = [json.loads(line)["level"] for line in said().splitlines()]
    assert names == ["debug", "info", "info", "warn", "error", "fatal"]


@pytest.mark.parametrize(
    ("level", "letters"),
    [("debug", "DINWEC"), ("info", "INWEC"), ("warn", "WEC"), ("error", "EC"), ("fatal", "C")],
)
def test_the_level_leaves_out_what_is_less_serious(
    said: Callable[[], str], level: str, letters: str
) -> None:
    logs.setup(level=level)
    for number in (10, 20, logs.NOTICE, 30, 40, 50):
        logging.getLogger("etcdpy.embed").log(number, "x")
    assert re.findall(r" ([A-Z]) \| ", said()) == list(letters)


@pytest.mark.parametrize(
    ("logger", "part"),
    [
        ("etcdpy.embed", "embed"),
        ("etcdpy.pkg.osutil", "pkg/osutil"),
        ("etcdpy.etcdserver.membership", "etcdserver/membership"),
        ("etcdpy.member", "etcdserver"),
        ("etcdpy.http.app", "etcdserver/api/v2http"),
        ("etcdpy.http.peers", "rafthttp"),
        ("etcdpy.store.wal", "wal"),
        ("etcdpy.store.snapshots", "snap"),
        ("etcdpy.store.snapshot_file", "wal"),
        ("etcdpy.consensus.driver", "raft"),
        ("asyncio", "asyncio"),
    ],
)
def test_a_logger_speaks_as_the_part_that_operators_know(logger: str, part: str) -> None:
    assert logs.part_of(logger) == part


def test_raft_lines_have_the_form_of_etcds_library(said: Callable[[], str]) -> None:
    logs.setup()
    logging.getLogger("etcdpy.raft").info("%x became leader at term %d", 0x1F, 2)
    logging.getLogger("etcdpy.raft").warning("x")
    assert re.fullmatch(
        r"raft\d{4}/\d\d/\d\d \d\d:\d\d:\d\d INFO: 1f became leader at term 2\n"
        r"raft\d{4}/\d\d/\d\d \d\d:\d\d:\d\d WARN: x\n",
        said(),
    )


def test_a_json_line_has_time_caller_message_and_fields(said: Callable[[], str]) -> None:
    logs.setup("zap")
    logging.getLogger("etcdpy.etcdserver").info(
        "published %s",
        "x",
        extra=logs.fields("published local member", local_member_id="1f", count=2),
    )
    line = json.loads(said())
    assert list(line) == ["level", "ts", "caller", "msg", "local-member-id", "count"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4})", line["ts"])
    assert re.fullmatch(r"etcdserver/test_logs\.py:\d+", line["caller"])
    assert (line["msg"], line["local-member-id"], line["count"]) == (
        "published local member",
        "1f",
        2,
    )


def test_a_json_line_has_the_sentence_where_no_other_words_are_given(
    said: Callable[[], str],
) -> None:
    logs.setup("zap")
    logging.getLogger("etcdpy.etcdserver").info("published %s", "x", extra=logs.fields(a=1))
    assert json.loads(said())["msg"] == "published x"


@pytest.mark.parametrize("formatter", [logs.CapnslogFormatter(), logs.ZapFormatter()])
def test_what_a_client_sent_cannot_start_a_line(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord(
        {"name": "etcdpy.http", "msg": "key a\nb\r\x1b[2J\x7f\x9b\udcff"}
    )
    line = formatter.format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert line.encode()


@pytest.mark.parametrize("form", ["capnslog", "zap"])
def test_a_trace_is_kept_with_its_line(said: Callable[[], str], form: str) -> None:
    logs.setup(form)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("etcdpy.http").exception("failed")
    text = said()
    assert "ValueError: why" in text
    assert (form == "zap") == (text.count("\n") == 1)


def test_setting_up_again_replaces_the_form(said: Callable[[], str]) -> None:
    logs.setup()
    logs.setup("zap")
    logging.getLogger("etcdpy.embed").info("x")
    text = said()
    assert len(text.splitlines()) == 1
    assert json.loads(text)["msg"] == "x"


def test_a_full_or_closed_stderr_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    gone = Gone()
    monkeypatch.setattr(sys, "stderr", gone)
    logs.setup()
    logging.getLogger("etcdpy.embed").error("x")
    gone.close()
    logging.getLogger("etcdpy.embed").error("x")
