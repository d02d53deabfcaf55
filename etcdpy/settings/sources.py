"""From what the operator wrote to a Config: the command line, the environment, the YAML file.

A file selected by `--config-file` (or ETCD_CONFIG_FILE) is used alone; otherwise flags and
environment are, and a setting given in both is refused.  The command line is read by a parser of
our own and not by argparse: Go's `flag` takes `-name` and `--name` alike, gives a boolean its
value only after `=`, takes a word that begins with `-` as a value, and stops at the first word
that is no flag; argparse can be bent to some of that, not to all, and its refusals read otherwise.
Source: spec/config.md sections 1 and 3.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from etcdpy.errors import ConfigError
from etcdpy.settings.clustering import DEFAULT_INITIAL_CLUSTER
from etcdpy.settings.config import FIELDS, Field, replace_wildcard_host
from etcdpy.settings.ignored import KINDS as KINDS_WITHOUT_EFFECT
from etcdpy.settings.ignored import WITHOUT_EFFECT
from etcdpy.settings.kinds import (
    BOOLEAN,
    LISTS_IN_TEXT,
    TEXT,
    URLS,
    Kind,
    Setting,
    check_yaml_type,
    flag_to_env,
    json_type,
)
from etcdpy.settings.proxy import OFF
from etcdpy.settings.unused import check_unused
from etcdpy.urls import UrlError, go_quote

HELP = frozenset({"h", "help"})
VERSION_FLAG = "version"
CONFIG_FILE_FLAG = "config-file"
#: Flags of etcd 0.4 and of its tests: read like booleans, warned of, and without effect.
IGNORED_FLAGS = (
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-election-timeout",
    "peer-heartbeat-interval",
    "retry-interval",
    "snapshot",
    "test.coverprofile",
    "test.outputdir",
    "v",
    "vv",
)
#: Maps in the file: what stands in them are settings of their own.
MAPS = frozenset(row.setting.key.partition(".")[0] for row in FIELDS if "." in row.setting.key)
#: Settings of a few words, which a file refuses outside the log, and how it calls them.
CHOICES = {"discovery-fallback": "discovery-fallback flag"}
#: Whose refusal in a file names another setting; etcd has it so, and scripts may match it.
MISNAMED_URL_LIST = {"advertise-client-urls": "advertise-peer-urls"}

pkg_flags_log = logging.getLogger("etcdpy.pkg.flags")
log = logging.getLogger("etcdpy.etcdmain")

_BY_FLAG: dict[str, Field] = {row.setting.flag: row for row in FIELDS}
_BY_KEY: dict[str, Field] = {row.setting.key: row for row in FIELDS}
_KINDS: dict[str, Kind] = {
    **{flag: row.setting.kind for flag, row in _BY_FLAG.items()},
    **KINDS_WITHOUT_EFFECT,
    **dict.fromkeys(IGNORED_FLAGS, Kind("ignored", "bool", str)),
    VERSION_FLAG: BOOLEAN,
    CONFIG_FILE_FLAG: TEXT,
}


class UsageError(ConfigError):
    """The command line could not be read: ends as the message, the usage and exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)


class EnvironmentConflictError(ConfigError):
    """A setting stands on the command line and in the environment: which one is meant?"""


class BareRefusalError(ConfigError):
    """The YAML file has a value that can't be read; etcd says it without its log's form."""


class HelpWanted(Exception):
    """`-h` or `--help` stood on the command line before anything that is wrong."""


@dataclass(slots=True)
class CommandLine:
    """What flags (and then the environment) gave: parsed values by flag name."""

    values: dict[str, object] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)  # also those that were given empty
    unused: dict[str, object] = field(default_factory=dict)  # of flags without effect
    extra: list[str] = field(default_factory=list)  # from the first word that is no flag

    def put(self, flag: str, text: str) -> None:
        """Parse and keep one value.  Raises: ValueError with the reason."""
        kind = _KINDS[flag]
        if flag in IGNORED_FLAGS:
            pkg_flags_log.warning('flag "-%s" is no longer supported - ignoring.', flag)
        elif flag in WITHOUT_EFFECT:
            self.unused[flag] = kind.parse(text)
            if flag not in self.given:
                _warn_of_no_effect(f"--{flag}", flag)
        elif not (kind is URLS and text == ""):  # an empty list leaves the default
            self.values[flag] = kind.parse(text)
        self.given.add(flag)


def _warn_of_no_effect(name: str, flag: str) -> None:
    log.warning('"%s" has no effect: %s', name, WITHOUT_EFFECT[flag])


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read the command line.

    Raises: UsageError at the first flag that is wrong; HelpWanted.
    """
    line = CommandLine()
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if len(word) < 2 or word[0] != "-":
            break
        at += 1
        if word == "--":
            break
        at += _read_flag(line, word, arguments[at : at + 1])
    line.extra = list(arguments[at:])
    return line


def _read_flag(line: CommandLine, word: str, following: Sequence[str]) -> int:
    """Read one flag; return how many of the following words it took.  Raises: UsageError."""
    body = word[2:] if word.startswith("--") else word[1:]
    if body[0] in "-=":
        raise UsageError(f"bad flag syntax: {word}")
    flag, equals, text = body.partition("=")
    if flag not in _KINDS:
        if flag in HELP:
            raise HelpWanted
        raise UsageError(f"flag provided but not defined: -{flag}")
    is_boolean = _KINDS[flag].yaml_type == "bool"
    taken = 0
    if not equals and is_boolean:
        text = "true"
    elif not equals:
        if not following:
            raise UsageError(f"flag needs an argument: -{flag}")
        text, taken = following[0], 1
    try:
        line.put(flag, text)
    except ValueError as reason:
        if is_boolean:
            raise UsageError(
                f"invalid boolean value {go_quote(text)} for -{flag}: {reason}"
            ) from None
        raise UsageError(f"invalid value {go_quote(text)} for flag -{flag}: {reason}") from None
    return taken


def read_environment(line: CommandLine, environ: Mapping[str, str]) -> None:
    """Add to `line` what the environment sets, and say what was used and what was not.

    Raises: EnvironmentConflictError; ConfigError for a value that can't be read.
    """
    on_line = {flag_to_env(flag) for flag in line.given}
    used, refusal = set(), None
    for flag in sorted(_KINDS):
        env = flag_to_env(flag)
        text = environ.get(env, "")
        if not text or env in on_line:
            continue
        used.add(env)
        try:
            line.put(flag, text)
        except ValueError as reason:
            refusal = ConfigError(f"invalid value {go_quote(text)} for {env}: {reason}")
        else:
            pkg_flags_log.info("recognized and used environment variable %s=%s", env, text)
    for env in (env for env in environ if env not in used):
        if env in on_line:
            raise EnvironmentConflictError(
                f'conflicting environment variable "{env}" is shadowed by corresponding'
                " command-line flag (either unset environment variable or disable flag)"
            )
        if env.startswith("ETCD_"):
            pkg_flags_log.warning("unrecognized environment variable %s=%s", env, environ[env])
    if refusal:
        raise refusal


def values_of_command_line(line: CommandLine) -> dict[str, object]:
    """Return settings by field name from flags and environment.

    Raises: ConfigError for what etcd refuses of flags without effect.
    """
    check_unused(line.unused)
    values = {_BY_FLAG[flag].name: value for flag, value in line.values.items() if flag in _BY_FLAG}
    # Who may become a proxy advertises nothing then.
    falls_back = values.get("discovery") and values.get("discovery_fallback") != "exit"
    may_be_proxy = values.get("proxy", OFF) != OFF or falls_back
    is_missing = "listen-client-urls" in line.given and "advertise-client-urls" not in line.given
    if is_missing and not may_be_proxy:
        values["advertise_client_urls"] = ()  # Config refuses that
    return values


def values_of_file(path: str) -> dict[str, object]:
    """Return settings by field name from a YAML file.

    Raises: ConfigError where it can't be read; BareRefusalError.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as reason:
        problem = (reason.strerror or str(reason)).lower()
        raise ConfigError(f"open {path}: {problem}") from None
    document = _parse_yaml(text)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
            f" {json_type(document)} into Go value of type embed.configYAML"
        )
    given = _flatten(document)
    values: dict[str, object] = {}
    unused: dict[str, object] = {}
    for key in sorted(given):
        name = key.lower()  # Go's decoder does not mind the case of a key
        row = _BY_KEY.get(name)
        if name in WITHOUT_EFFECT:
            unused[name] = check_yaml_type(Setting(name, _KINDS[name], "", ""), given[key])
            _warn_of_no_effect(key, name)
            continue
        if row is None:
            log.warning('the configuration file sets "%s", which is ignored', key)
            continue
        value = check_yaml_type(row.setting, given[key])
        if name in CHOICES:
            value = _read_choice(row, str(value))
        if row.setting.kind not in LISTS_IN_TEXT:
            values[row.name] = value
        elif value:
            values[row.name] = _read_file_urls(row, str(value))
    check_unused(unused)
    if values.get("initial_cluster") == DEFAULT_INITIAL_CLUSTER and (
        values.get("discovery") or values.get("discovery_srv")
    ):
        del values["initial_cluster"]  # etcd cannot tell whether it was written
    return values


def _flatten(document: Mapping[object, object]) -> dict[str, object]:
    """Return all that is set, with `map.key` for what stands in one of the two maps.

    Raises: ConfigError where such a map is none.
    """
    given: dict[str, object] = {}
    for key, value in document.items():
        name = str(key)
        if value is None:
            continue
        if name.lower() not in MAPS:
            given[name] = value
        elif isinstance(value, dict):
            given |= {f"{name}.{inner}": v for inner, v in value.items() if v is not None}
        else:
            raise ConfigError(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
                f" {json_type(value)} into Go struct field configYAML.{name}"
                " of type embed.securityConfig"
            )
    return given


def _read_choice(row: Field, text: str) -> object:
    try:
        return row.setting.kind.parse(text) if text else row.default
    except ValueError as reason:
        name = CHOICES[row.setting.flag]
        raise BareRefusalError(f"unexpected error setting up {name}: {reason}") from None


def _read_file_urls(row: Field, text: str) -> object:
    flag = row.setting.flag
    try:
        return row.setting.kind.parse(text)
    except UrlError as refusal:
        name = MISNAMED_URL_LIST.get(flag, flag)
        raise BareRefusalError(f"unexpected error setting up {name}: {refusal}") from None


#: YAML's scalars as Go's decoder resolves them: no dates, no base 60, `1e3` is a number.  Built
#: on libyaml where PyYAML has it: etcd's refusals are libyaml's.
_Loader: Any = type(
    "_Loader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    {"yaml_implicit_resolvers": {}},
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$"),
    list("yYnNtTfFoO"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<$"), ["<"])


def _parse_yaml(text: bytes) -> object:
    """Return the document.  Raises: ConfigError, with the line that libyaml names."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"error converting YAML to JSON: yaml: {_yaml_line(error)}{error.problem}"
        ) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"error converting YAML to JSON: yaml: {error.reason}") from None
    except ValueError as error:  # a scalar that its tag does not allow, such as `!!int x`
        raise ConfigError(f"error converting YAML to JSON: yaml: {error}") from None


def _yaml_line(error: yaml.MarkedYAMLError) -> str:
    """Return where it went wrong, counted as etcd counts: the scanner's lines from 1."""
    marks = (error.context_mark, error.problem_mark)
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    return f"line {line}: " if line else ""


def advertise_default_host(
    values: dict[str, object], find_host: Callable[[], str | None]
) -> dict[str, object]:
    """Return `values`, with this machine's address where `0.0.0.0` would have been advertised."""
    wildcards: Iterable[object] = (
        values.get("listen_peer_urls", ()),
        values.get("listen_client_urls", ()),
    )
    if not any("://0.0.0.0:" in str(urls) for urls in wildcards):
        return values
    host = find_host()
    if host is None:
        return values
    replaced = replace_wildcard_host(values, host)
    if replaced:
        log.info('advertising using detected default host "%s"', host)
    return values | replaced
