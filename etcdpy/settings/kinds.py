"""How one setting is described and read: from a flag or the environment (text) or from YAML.

A leaf below `config`, which lists the settings: here is what they have in common.  A kind knows
how its text is parsed and which type the YAML value must have; a setting adds name, unit, bound
and help.  The refusals are those of Go's `flag` and `encoding/json`, as scripts know them.
Source: spec/config.md sections 1 and 3.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from etcdpy.errors import ConfigError
from etcdpy.urls import go_quote, parse_urls

UINT64_MAX = 2**64 - 1
INT64_MAX = 2**63 - 1

MEMBER = "Member"
CLUSTERING = "Clustering"
PROXY = "Proxy"
SECURITY = "Security"
MONITORING = "Monitoring"
LOGGING = "Logging"
LIMITS = "Limits (not etcd's)"
UNSAFE = "Unsafe"
DEPRECATED = "Deprecated"
#: In the order of help and documentation.
SECTIONS = (
    MEMBER,
    CLUSTERING,
    PROXY,
    SECURITY,
    MONITORING,
    LOGGING,
    LIMITS,
    UNSAFE,
    DEPRECATED,
)

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
#: Go's integer literals: base prefixes, and `_` between digits.
_GO_NUMBER = re.compile(
    r"0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9][0-9]*(?:_[0-9]+)*"
)
#: One part of a duration: a number, and all up to the next one.
_DURATION_PART = re.compile(r"(?P<number>[0-9]*\.?[0-9]*)(?P<unit>[^.0-9]*)")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of setting.  `parse` raises ValueError with the reason that a refusal quotes."""

    name: str  # as the documentation says it
    yaml_type: str  # as etcd's decoder says it
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Setting:
    """What one setting is called and what it means; its type and default are the field's."""

    flag: str
    kind: Kind
    section: str
    help: str
    unit: str = ""
    bound: str = ""
    yaml: str = ""  # its key in the file, `map.key` in a map; the flag's name if empty

    @property
    def key(self) -> str:
        """What it is called in a YAML file; a dot stands between a map and the key in it."""
        return self.yaml or self.flag

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return flag_to_env(self.flag)


def flag_to_env(flag: str) -> str:
    """Return the name of the environment variable that stands for `flag`."""
    return "ETCD_" + flag.upper().replace("-", "_")


def parse_bool(text: str) -> bool:
    """Read a boolean as Go does.  Raises: ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("parse error")


def parse_number(text: str) -> int:
    """Read an unsigned 64-bit number, decimal or with a base prefix.  Raises: ValueError."""
    if not _GO_NUMBER.fullmatch(text):
        raise ValueError("parse error")
    is_bare_octal = (text[0] == "0" and text[1:2].isdigit()) or text[:2] == "0_"
    value = int(text.replace("_", ""), 8 if is_bare_octal else 0)
    if value > UINT64_MAX:
        raise ValueError("value out of range")
    return value


def parse_signed(text: str) -> int:
    """Read a 64-bit number that may be negative.  Raises: ValueError."""
    sign = -1 if text.startswith("-") else 1
    value = parse_number(text[1:] if text[:1] in ("-", "+") else text)
    if value > INT64_MAX + (sign < 0):
        raise ValueError("value out of range")
    return sign * value


def parse_duration_ns(text: str) -> int:
    """Read a duration as Go writes it, `1h30m`.  Raises: ValueError with Go's reason."""
    whole = text[1:] if text[:1] in ("-", "+") else text
    total = Decimal(0)
    at = 0
    if whole == "0":
        return 0
    while at < len(whole) or not whole:
        part = _DURATION_PART.match(whole, at)
        if part is None or not part["number"].strip("."):
            raise ValueError(f"time: invalid duration {go_quote(text)}")
        if not part["unit"]:
            raise ValueError(f"time: missing unit in duration {go_quote(text)}")
        if part["unit"] not in _UNITS_NS:
            unit = go_quote(part["unit"])
            raise ValueError(f"time: unknown unit {unit} in duration {go_quote(text)}")
        total += Decimal(part["number"]) * _UNITS_NS[part["unit"]]
        at = part.end()
    if total > INT64_MAX:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    return -int(total) if text.startswith("-") else int(total)


def parse_url_list(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of URLs.  Raises: ValueError."""
    return parse_urls(text.split(","))


def parse_texts(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of words."""
    return tuple(text.split(","))


def parse_word_set(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of words, of which each counts once."""
    return tuple(sorted(set(text.split(","))))


def parse_origins(text: str) -> tuple[str, ...]:
    """Read `*` or a comma-separated list of URLs.  Raises: ValueError."""
    return ("*",) if text == "*" else parse_urls(text.split(","))


def parse_choice(allowed: tuple[str, ...]) -> Callable[[str], str]:
    """Return a parser that takes the given words only."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("invalid value")
        return text

    return parse


TEXT = Kind("text", "string", str)
BOOLEAN = Kind("boolean", "bool", parse_bool)
NUMBER = Kind("number", "uint", parse_number)
NUMBER64 = Kind("number", "uint64", parse_number)
URLS = Kind("URL list", "string", parse_url_list)
TEXTS = Kind("list", "[]string", parse_texts)
HOSTS = Kind("list of hosts", "string", parse_word_set)
ORIGINS = Kind("URL list or `*`", "string", parse_origins)
#: Lists that are one text with commas, in a file as well.
LISTS_IN_TEXT = (URLS, HOSTS, ORIGINS)
FALLBACK = Kind("`proxy` or `exit`", "string", parse_choice(("proxy", "exit")))
PROXY_MODE = Kind("`off`, `readonly` or `on`", "string", parse_choice(("off", "readonly", "on")))
CLUSTER_STATE = Kind("`new` or `existing`", "string", parse_choice(("new", "existing")))


_RANGES = {
    "uint": (0, UINT64_MAX),
    "uint64": (0, UINT64_MAX),
    "uint32": (0, 2**32 - 1),
    "int": (-INT64_MAX - 1, INT64_MAX),
    "int64": (-INT64_MAX - 1, INT64_MAX),
    "time.Duration": (-INT64_MAX - 1, INT64_MAX),
}


def check_yaml_type(setting: Setting, value: object) -> object:
    """Return the YAML value if its type is the setting's, without any coercion.

    Raises: ConfigError in the words of etcd's decoder.
    """
    wanted = setting.kind.yaml_type
    found = json_type(value)
    if wanted == "string" and isinstance(value, str):
        return value
    if wanted == "bool" and isinstance(value, bool):
        return value
    if wanted == "[]string" and isinstance(value, list):
        return tuple(_check_element(setting, element) for element in value)
    if wanted in _RANGES and found == "number":
        assert isinstance(value, int | float)
        low, high = _RANGES[wanted]
        if value == int(value) and low <= value <= high:
            return int(value)
        found = f"number {json.dumps(value)}"
    raise _wrong_type(setting, found, wanted)


def _check_element(setting: Setting, element: object) -> str:
    """Return one element of a list of texts; null is an empty one.  Raises: ConfigError."""
    if element is None:
        return ""
    if not isinstance(element, str):
        raise _wrong_type(setting, json_type(element), "string")
    return element


def _wrong_type(setting: Setting, found: str, wanted: str) -> ConfigError:
    struct = "securityConfig" if "." in setting.key else "configYAML"
    return ConfigError(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
        f" {found} into Go struct field {struct}.{setting.key} of type {wanted}"
    )


def json_type(value: object) -> str:
    """Return what JSON calls the type of `value`."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "string"
