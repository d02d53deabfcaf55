"""The `etcdpy` command: from words to a running member, and from a refusal to one line.

Exit codes and streams are etcd's: 2 for a command line that can't be read (the reason and the
usage on stderr), 1 for settings or a disk that can't be used (one log line), 0 for `--help` and
`--version`.  No input, signal or closed pipe ends in a traceback.
Source: spec/config.md section 1, spec/cluster.md sections 1, 6 and 11.
"""

import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

from etcdpy import ETCD_VERSION, __version__, log_outputs, logs, process, system
from etcdpy.errors import ConfigError, FatalError
from etcdpy.gateway import command
from etcdpy.settings import sources
from etcdpy.settings.config import FIELDS, Config, Field
from etcdpy.settings.ignored import WITHOUT_EFFECT
from etcdpy.settings.kinds import flag_to_env
from etcdpy.settings.unused import StartRefusedError
from etcdpy.startup.discovery import DiscoveryError, explain

log = logging.getLogger("etcdpy.etcdmain")
pkg_flags_log = logging.getLogger("etcdpy.pkg.flags")

GATEWAY = "gateway"

USAGE = """Usage:

  etcdpy [flags]
    Run a member.

  etcdpy --config-file FILE
    Run a member with the settings of a YAML file; other flags and ETCD_* variables are ignored.

  etcdpy gateway start [flags]
    Pass TCP connections on to the members of a cluster; `etcdpy gateway start -h` has its flags.

  etcdpy --version
    Show the version.

  etcdpy -h | --help
    Show this and every flag.
"""

_ADVERTISE_HINT = (
    "When listening on specific address(es), this etcd process must advertise accessible url(s)"
    " to each connected client."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's); return the exit code."""
    _open_standard_streams()
    logs.setup()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _run(arguments, os.environ)
    except KeyboardInterrupt:
        # An interrupt before the member has its handlers: end by it, as a shell expects.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 130


def _open_standard_streams() -> None:
    """Put the null device where the caller has closed stdin, stdout or stderr.

    Otherwise the first files that are opened get their numbers, and what the C library has to say
    in the end lands in one of them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    if arguments[:1] == [GATEWAY]:
        return command.run(arguments[1:])
    try:
        line = sources.read_command_line(arguments)
    except sources.HelpWanted:
        print(USAGE, file=sys.stderr)
        return _show(render_flags())
    except sources.UsageError as refusal:
        print(f"{refusal}\n{USAGE}", file=sys.stderr)
        return refusal.exit_code
    try:
        if line.extra:
            raise ConfigError(f"'{line.extra[0]}' is not a valid flag")
        if line.values.get(sources.VERSION_FLAG):
            return _show("\n".join(version_lines()))
        config = _load(line, environ)
    except ConfigError as refusal:
        return _refuse(refusal)
    return _start(config)


def _show(text: str) -> int:
    """Print what was asked for; return the exit code, 1 when it could not be written."""
    try:
        print(text, flush=True)
    except OSError:
        # Nobody reads, or the disk behind stdout is full; what is still buffered would fail again
        # when the interpreter closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _load(line: sources.CommandLine, environ: Mapping[str, str]) -> Config:
    """Return the settings from the file, if one is selected, else from flags and environment.

    Raises: ConfigError and its kinds.
    """
    flag = sources.CONFIG_FILE_FLAG
    path = str(line.values.get(flag) or environ.get(flag_to_env(flag), ""))
    if path:
        log.info(
            'Loading server configuration from "%s". Other configuration command line flags and'
            " environment variables will be ignored if provided.",
            path,
        )
        values = sources.values_of_file(path)
    else:
        sources.read_environment(line, environ)
        values = sources.values_of_command_line(line)
    values = sources.advertise_default_host(values, find_default_host)
    # Refusals below this line already have the form that the operator asked for.
    if values.get("logger") == "zap":
        logs.setup("zap")
    config = Config.model_validate(values)
    level = "debug" if config.debug else config.log_level
    log_outputs.setup(config.logger, level, config.log_outputs, config.log_package_levels)
    if not values.get("data_dir"):
        log.warning("no data-dir provided, using default data-dir ./%s", config.data_dir)
    return config


def _start(config: Config) -> int:
    """Run the member; return the exit code."""
    for text in version_lines():
        log.info("%s", text)
    try:
        return process.run(config)
    except DiscoveryError as refusal:
        explain(refusal, url=config.discovery, name=config.name, data_dir=config.data_dir)
        return refusal.exit_code
    except (ConfigError, FatalError) as refusal:
        log.critical("%s", refusal)
        return refusal.exit_code if isinstance(refusal, ConfigError) else 1


def _refuse(refusal: ConfigError) -> int:
    """Say in one line why nothing was started; return the exit code."""
    match refusal:
        case sources.EnvironmentConflictError():
            pkg_flags_log.critical("%s", refusal)
        case StartRefusedError():
            log.critical("%s", refusal)
        case sources.BareRefusalError():
            print(refusal, file=sys.stderr)
        case _:
            log.error(
                "error verifying flags, %s. See 'etcd --help'.",
                refusal,
                extra=logs.fields("failed to verify flags", error=str(refusal)),
            )
            if str(refusal).startswith("--advertise-client-urls is required"):
                log.error(_ADVERTISE_HINT)
    return refusal.exit_code


def version_lines() -> list[str]:
    """Return etcd's four lines, which clients parse, then our own."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return [
        f"etcd Version: {ETCD_VERSION}",
        "Git SHA: Not provided",
        f"Go Version: none ({platform.python_implementation()} {platform.python_version()})",
        f"Go OS/Arch: {platform.system().lower()}/{machine}",
        f"etcdpy Version: {__version__}{' (compiled)' if system.is_compiled() else ''}",
    ]


def render_flags() -> str:
    """Return the list of all flags, by section, with defaults and help."""
    lines: list[str] = []
    section = ""
    for row in FIELDS:
        if row.setting.section != section:
            section = row.setting.section
            lines += ["", f"{section}:"]
        lines += _render_flag(row)
    lines += ["", "Without effect, taken so that a unit file of etcd's works:"]
    lines += [f"  --{flag}\n    No effect: {reason}." for flag, reason in WITHOUT_EFFECT.items()]
    lines += ["", "Commands:", "  --config-file ''", "    Path to a YAML file with the settings."]
    lines += ["  --version 'false'", "    Show the version and exit."]
    return "\n".join(lines[1:])


def _render_flag(row: Field) -> list[str]:
    setting = row.setting
    notes = ", ".join(note for note in (setting.unit, setting.bound) if note)
    return [
        f"  --{setting.flag} '{show_default(row)}'",
        f"    {setting.help}" + (f" ({notes})" if notes else ""),
    ]


def show_default(row: Field) -> str:
    """Return a setting's default as one would type it."""
    if isinstance(row.default, tuple):
        return ",".join(row.default)
    return str(row.default).lower() if isinstance(row.default, bool) else str(row.default)


def find_default_host() -> str | None:
    """Return this machine's IPv4 address on its default route, None if it has none.

    Connecting a datagram socket asks the routing table and sends nothing.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))  # TEST-NET-3: never a neighbour
            return str(probe.getsockname()[0])
        except OSError:
            return None
