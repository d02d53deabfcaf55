"""Where log lines go: the streams, files and the journal that `--log-outputs` names.

A file of its own because here something is opened, and refused in etcd's words; `logs` gives the
lines their form and knows only that they go somewhere.
Source: spec/config.md sections 2 and 8.
"""

import logging
import os
import socket
import struct
import sys
from collections.abc import Sequence

from etcdpy import logs
from etcdpy.errors import ConfigError
from etcdpy.logs import Output, StreamOutput

DEFAULT = "default"
STDERR = "stderr"
STDOUT = "stdout"
JOURNAL = "systemd/journal"

JOURNAL_SOCKET = "/run/systemd/journal/socket"
#: Readable by all, as etcd's log files are.
_FILE_MODE = 0o644
#: syslog's priorities.
_PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logs.NOTICE: 5,
    logging.INFO: 6,
}
_DEBUG_PRIORITY = 7


class JournalOutput:
    """Sends lines to systemd's journal by its own protocol; what it does not take goes to stderr.

    Raises: OSError where there is no journal.
    """

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._stderr = StreamOutput(sys.stderr)
        self._identifier = os.path.basename(sys.argv[0])

    def write(self, line: str, record: logging.LogRecord) -> None:
        """See Output."""
        fields = {
            "MESSAGE": line,
            "PRIORITY": str(_PRIORITIES.get(record.levelno, _DEBUG_PRIORITY)),
            "PACKAGE": logs.part_of(record.name),
            "SYSLOG_IDENTIFIER": self._identifier,
        }
        try:
            self._socket.send(b"".join(map(_encode_field, fields, fields.values())))
        except OSError:
            self._stderr.write(line, record)

    def close(self) -> None:
        """See Output."""
        self._socket.close()


def _encode_field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%b=%b\n" % (name.encode(), data)
    # A value of several lines has its length before it.
    return b"%b\n%b%b\n" % (name.encode(), struct.pack("<Q", len(data)), data)


def setup(logger: str, level: str, names: Sequence[str], part_levels: str = "") -> None:
    """Send log lines where `names` say, in the form of `logger`, from `level` upwards.

    `part_levels` are the levels of single parts; where they can't be read that is said, and all
    have `level`.
    Raises: ConfigError in etcd's words.
    """
    if logger == "zap":
        _check_zap(names)
        logs.setup(logger, level, [_open(name) for name in names])
        return
    name = _check_capnslog(names)
    journal = _find_journal() if name == DEFAULT and os.getppid() == 1 else None
    if journal is not None:  # started by systemd: the journal has time and level of its own
        stderr = StreamOutput(sys.stderr)
        logs.install(logs.LogHandler(logs.BareFormatter(), [journal], stderr), logs.LEVELS[level])
    else:
        logs.setup(logger, level, [StreamOutput(sys.stdout if name == STDOUT else sys.stderr)])
    if part_levels:
        refusal = logs.set_part_levels(part_levels)
        if refusal:
            logging.getLogger("etcdpy.embed").warning(
                "couldn't parse log level string: %s, continuing with default levels", refusal
            )


def _check_capnslog(names: Sequence[str]) -> str:
    """Return the one output that there may be.  Raises: ConfigError."""
    if len(names) != 1:
        raise ConfigError(
            "--logger=capnslog supports only 1 value in '--log-outputs', got"
            f" [{' '.join(map(_quote, names))}]"
        )
    if names[0] not in (DEFAULT, STDERR, STDOUT):
        raise ConfigError(
            f"unknown log-output {_quote(names[0])}"
            f' (only supports "{DEFAULT}", "{STDERR}", "{STDOUT}")'
        )
    return names[0]


def _check_zap(names: Sequence[str]) -> None:
    if len(names) > 1 and DEFAULT in names:
        raise ConfigError(f'multi logoutput for "{DEFAULT}" is not supported yet')
    if len(names) > 1 and JOURNAL in names:
        raise ConfigError(
            "running with systemd/journal but other '--log-outputs' values"
            f" ([{' '.join(map(_quote, names))}]) are configured with 'default';"
            " override 'default' value with something else"
        )


def _open(name: str) -> Output:
    """Open one output of the JSON form.  Raises: ConfigError."""
    if name == JOURNAL:
        try:
            return JournalOutput()
        except OSError as error:
            raise ConfigError(
                f"can't find journal (dial unixgram {JOURNAL_SOCKET}: connect: {_reason(error)})"
            ) from None
    if name in (DEFAULT, STDERR):
        return StreamOutput(sys.stderr)
    if name == STDOUT:
        return StreamOutput(sys.stdout)
    return _open_file(name)


def _open_file(name: str) -> Output:
    scheme, separator, _ = name.partition("://")
    if separator and scheme != "file":
        raise ConfigError(f'open sink "{name}": no sink found for scheme "{scheme}"')
    path = name.removeprefix("file://")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise ConfigError(f'open sink "{name}": open {path}: {_reason(error)}') from None
    file = os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")
    return StreamOutput(file, is_owned=True)


def _find_journal() -> JournalOutput | None:
    try:
        return JournalOutput()
    except OSError:
        return None


def _reason(error: OSError) -> str:
    return str(error.strerror).lower()


def _quote(text: str) -> str:
    """Return a word as Go's `%q` shows it, as far as one types such words."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
