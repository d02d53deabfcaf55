"""Logging: etcd's two forms of a line, its levels, and the names under which its parts speak.

Everything is the standard library's `logging`: parts call `logging.getLogger(...)` and know
nothing of forms.  A logger `etcdpy.pkg.osutil` speaks as `pkg/osutil`; a logger named after one
of our modules speaks as the part of etcd that an operator knows for it (`PARTS`).  Scripts wait
for some lines word for word (spec/cluster.md section 6), so a sentence belongs to its caller and
only its form is decided here.  Nothing in this file may raise: a log line is never worth a member.
Source: spec/config.md section 8.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

#: Between info and warning: what an operator should see, though nothing is wrong.
NOTICE = 25

#: What an operator may ask for, and the least serious level that is then written.
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}

#: Our modules to etcd's parts; the longest prefix counts.
PARTS: Mapping[str, str] = {
    "etcdpy.cli": "etcdmain",
    "etcdpy.sources": "etcdmain",
    "etcdpy.member": "etcdserver",
    "etcdpy.apply": "etcdserver",
    "etcdpy.bootstrap": "etcdserver",
    "etcdpy.consensus": "raft",
    "etcdpy.store": "wal",
    "etcdpy.store.snapshots": "snap",
    "etcdpy.http": "etcdserver/api/v2http",
    "etcdpy.http.peers": "rafthttp",
    "etcdpy.http.transport": "rafthttp",
}

#: The part whose plain lines have a form of their own: etcd's Raft library logs by itself.
RAFT = "raft"

_LETTERS = {
    logging.DEBUG: "D",
    logging.INFO: "I",
    NOTICE: "N",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "C",
}
_ZAP_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    NOTICE: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
_FIELDS_ATTRIBUTE = "etcdpy_fields"
_EVENT_ATTRIBUTE = "etcdpy_event"
#: Control characters would let a client's key forge a line of its own.
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), 127]}


def setup(logger: str = "capnslog", level: str = "info") -> None:
    """Send all log lines to stderr in the form of `logger`, from `level` upwards.

    May be called again: once before the settings are known, once when they are.  Other libraries
    are heard from warning upwards.
    """
    logging.addLevelName(NOTICE, "NOTICE")
    handler = _Handler(sys.stderr)
    handler.setFormatter(ZapFormatter() if logger == "zap" else CapnslogFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("etcdpy").setLevel(LEVELS[level])


def fields(event: str = "", **values: object) -> dict[str, object]:
    """Return `extra=` for a log call: what the JSON form has beside the sentence.

    `event` replaces the sentence there, for the lines that etcd words differently in JSON; a
    field's `_` becomes `-`, as etcd's names have it.
    """
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return {_FIELDS_ATTRIBUTE: named, _EVENT_ATTRIBUTE: event}


def part_of(logger_name: str) -> str:
    """Return the part of etcd under whose name a logger speaks."""
    name = logger_name
    while name:
        if name in PARTS:
            return PARTS[name]
        name = name.rpartition(".")[0]
    return logger_name.removeprefix("etcdpy.").replace(".", "/")


class CapnslogFormatter(logging.Formatter):
    """`2026-11-21 01:11:25.635369 I | embed: ready to serve client requests`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and below it the trace where the record has one."""
        part = part_of(record.name)
        message = record.getMessage().translate(_CONTROL)
        local = time.localtime(record.created)
        if part == RAFT:
            level = "WARN" if record.levelno == logging.WARNING else record.levelname
            line = f"raft{time.strftime('%Y/%m/%d %H:%M:%S', local)} {level}: {message}"
        else:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", local)
            micros = int(record.created % 1 * 1_000_000)
            letter = _LETTERS.get(record.levelno, "I")
            line = f"{stamp}.{micros:06d} {letter} | {part}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line.encode("utf-8", "backslashreplace").decode()


class ZapFormatter(logging.Formatter):
    """One JSON object per line: level, ts, caller, msg, then the call's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "level": _ZAP_LEVELS.get(record.levelno, "info"),
            "ts": _iso_time(record.created),
            "caller": f"{part_of(record.name)}/{record.filename}:{record.lineno}",
            "msg": getattr(record, _EVENT_ATTRIBUTE, "") or record.getMessage(),
        }
        line |= getattr(record, _FIELDS_ATTRIBUTE, {})
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)
        return text.encode("utf-8", "replace").decode()


class _Handler(logging.StreamHandler[Any]):
    """Writes lines; a stderr that is full, closed or gone is no reason to fail or to say more."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line, if it is the stream's fault; let logging report our own mistakes."""
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


def _iso_time(seconds: float) -> str:
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local)
    return f"{stamp}.{int(seconds % 1 * 1000):03d}{'Z' if zone == '+0000' else zone}"
