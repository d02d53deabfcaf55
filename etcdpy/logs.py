"""Logging: etcd's two forms of a line, its levels, and the names under which its parts speak.

Everything is the standard library's `logging`: parts call `logging.getLogger(...)` and know
nothing of forms.  A logger `etcdpy.pkg.osutil` speaks as `pkg/osutil`; a logger named after one
of our modules speaks as the part of etcd that an operator knows for it (`PARTS`).  Scripts wait
for some lines word for word (spec/cluster.md section 6), so a sentence belongs to its caller and
only its form is decided here; where lines go is `log_outputs`' part.  Nothing in this file may
raise: a log line is never worth a member.
Source: spec/config.md section 8, spec/observability.md section 6.
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

#: Between info and warning: what an operator should see, though nothing is wrong.
NOTICE = 25
#: Below debug, where nothing of ours speaks.
TRACE = 5

#: What an operator may ask for, and the least serious level that is then written.
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
#: The same at `/config/local/log` and in `--log-package-levels`, where other words are in use.
CAPNSLOG_LEVELS: Mapping[str, int] = {
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "NOTICE": NOTICE,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": TRACE,
}
#: Their short forms: the first letter, and a digit; the most serious one has none.
_SHORT_LEVELS: Mapping[str, str] = {
    **{name[0]: name for name in CAPNSLOG_LEVELS},
    **{str(number): name for number, name in enumerate([*CAPNSLOG_LEVELS][1:])},
}

#: Our modules to etcd's parts; the longest prefix counts.
PARTS: Mapping[str, str] = {
    "etcdpy.cli": "etcdmain",
    "etcdpy.member": "etcdserver",
    "etcdpy.apply": "etcdserver",
    "etcdpy.etcdserver.api.etcdhttp": "etcdserver/api/etcdhttp",
    "etcdpy.startup": "etcdserver",
    "etcdpy.consensus": "raft",
    "etcdpy.store": "wal",
    "etcdpy.store.snapshots": "snap",
    "etcdpy.http": "etcdserver/api/v2http",
    "etcdpy.http.peers": "rafthttp",
}

#: The logger above all of ours.
_OURS = "etcdpy"

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
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}


class Output(Protocol):
    """Where lines go."""

    def write(self, line: str, record: logging.LogRecord) -> None:
        """Take one line, without its end; `record` is what it was made of."""

    def close(self) -> None:
        """Give back what is held for it."""


class StreamOutput:
    """Writes lines to a text stream; one that is full, closed or gone is no reason to say more."""

    def __init__(self, stream: TextIO, *, is_owned: bool = False) -> None:
        """A stream that `is_owned` is closed with the output."""
        self._stream = stream
        self._is_owned = is_owned

    def write(self, line: str, record: logging.LogRecord) -> None:
        """See Output."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        """See Output."""
        if self._is_owned:
            self._stream.close()


class LogHandler(logging.Handler):
    """Gives each line its form, once, and hands it to every output.

    `levels` are those of parts that have one of their own, `rest_level` that of all others where
    any has.  `counts` are the lines so far, by level.
    """

    def __init__(
        self, formatter: logging.Formatter, outputs: Sequence[Output], raft_output: Output | None
    ) -> None:
        """`raft_output` is where the Raft library's lines go instead, if they do."""
        super().__init__()
        self.setFormatter(formatter)
        self.levels: Mapping[str, int] = {}
        self.rest_level = 0
        self.counts: Counter[str] = Counter()
        self._outputs = tuple(outputs)
        self._raft_outputs = self._outputs if raft_output is None else (raft_output,)

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what the part's own level does not let pass."""
        if not self.levels:
            return True
        return record.levelno >= self.levels.get(part_of(record.name), self.rest_level)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            self.handleError(record)  # the caller's mistake: reported, and the member goes on
            return
        self.counts[_ZAP_LEVELS.get(record.levelno, "info")] += 1
        is_raft = part_of(record.name) == RAFT
        for output in self._raft_outputs if is_raft else self._outputs:
            output.write(line, record)

    def close(self) -> None:
        """Close the outputs."""
        for output in {*self._outputs, *self._raft_outputs}:
            output.close()
        super().close()


def setup(
    logger: str = "capnslog", level: str = "info", outputs: Sequence[Output] | None = None
) -> None:
    """Send all log lines to `outputs` (stderr) in the form of `logger`, from `level` upwards.

    May be called again: once before the settings are known, once when they are.  Other libraries
    are heard from warning upwards.
    """
    logging.addLevelName(NOTICE, "NOTICE")
    stderr = StreamOutput(sys.stderr)
    if logger == "zap":
        handler = LogHandler(ZapFormatter(), outputs or [stderr], None)
    else:
        handler = LogHandler(CapnslogFormatter(), outputs or [stderr], stderr)
    install(handler, LEVELS[level])


def setup_gateway() -> None:
    """Send all log lines of a gateway to stderr, in the one form that it has."""
    install(
        LogHandler(ZapFormatter(has_epoch=True), [StreamOutput(sys.stderr)], None), logging.INFO
    )


def install(handler: LogHandler, level: int) -> None:
    """Have `handler`, and no earlier one, write all lines from `level` upwards."""
    root = logging.getLogger()
    for old in _handlers():
        root.removeHandler(old)
        handler.counts.update(old.counts)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level)


def find_level(text: str) -> str | None:
    """Return capnslog's name of a level given by name, letter or digit, None for no level."""
    word = text.upper()
    return word if word in CAPNSLOG_LEVELS else _SHORT_LEVELS.get(word)


def set_level(name: str) -> None:
    """Have all parts log from the level of that capnslog name upwards, whatever they had."""
    for handler in _handlers():
        handler.levels = {}
    logging.getLogger(_OURS).setLevel(CAPNSLOG_LEVELS[name])


def set_part_levels(text: str) -> str:
    """Give parts levels of their own, `part=LEVEL,...`; `*` stands for all that have none.

    Return why that can't be done, and nothing is changed; empty if it was.
    """
    chosen: dict[str, int] = {}
    for setting in text.split(","):
        part, *levels = setting.split("=")
        if len(levels) != 1:
            return f"oddly structured `pkg=level` option: {setting}"
        # Capitals only, other than at the route: etcd has it so.
        name = levels[0] if levels[0] in CAPNSLOG_LEVELS else _SHORT_LEVELS.get(levels[0])
        if name is None:
            return f"couldn't parse log level {levels[0]}"
        chosen[part] = CAPNSLOG_LEVELS[name]
    ours = logging.getLogger(_OURS)
    rest = chosen.pop("*", ours.level)
    for handler in _handlers():
        handler.levels, handler.rest_level = chosen, rest
    ours.setLevel(min([rest, *chosen.values()]))
    return ""


def line_counts() -> Mapping[str, int]:
    """Return how many lines were written, by level."""
    return sum((handler.counts for handler in _handlers()), Counter[str]())


def _handlers() -> list[LogHandler]:
    return [h for h in logging.getLogger().handlers if isinstance(h, LogHandler)]


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


class BareFormatter(logging.Formatter):
    """The sentence alone, for what keeps time, level and part beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the sentence, and below it the trace where the record has one."""
        text = record.getMessage().translate(_CONTROL)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class ZapFormatter(logging.Formatter):
    """One JSON object per line: level, ts, caller, msg, then the call's fields."""

    def __init__(self, *, has_epoch: bool = False) -> None:
        """With `has_epoch` the time is a number of seconds, as a gateway of etcd's writes it."""
        super().__init__()
        self._has_epoch = has_epoch

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "level": _ZAP_LEVELS.get(record.levelno, "info"),
            "ts": record.created if self._has_epoch else _iso_time(record.created),
            "caller": f"{part_of(record.name)}/{record.filename}:{record.lineno}",
            "msg": getattr(record, _EVENT_ATTRIBUTE, "") or record.getMessage(),
        }
        line |= getattr(record, _FIELDS_ATTRIBUTE, {})
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)
        return text.encode("utf-8", "replace").decode()


def _iso_time(seconds: float) -> str:
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local)
    return f"{stamp}.{int(seconds % 1 * 1000):03d}{'Z' if zone == '+0000' else zone}"
