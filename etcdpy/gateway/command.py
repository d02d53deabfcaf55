"""`etcdpy gateway`: its words, its help and its refusals, which are those of etcd's.

A file of its own because these flags are read by other rules than a member's: etcd uses another
library for them.  A flag has two dashes, words that are no flags are passed over, lists add up, and
nothing comes from the environment.
Source: spec/cluster.md section 10.
"""

import asyncio
import csv
import random
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from etcdpy import logs
from etcdpy.gateway.endpoints import Endpoints
from etcdpy.gateway.finding import Settings, StartError, find_endpoints
from etcdpy.gateway.service import Gateway
from etcdpy.readiness import notify_systemd
from etcdpy.settings.kinds import parse_bool, parse_duration_ns
from etcdpy.system import RESERVED_DESCRIPTORS, raise_descriptor_limit
from etcdpy.urls import go_quote

#: How long inactive endpoints wait where no delay is wanted; etcd's.
DEFAULT_RETRY_DELAY_S = 300.0

_HELP = frozenset({"-h", "--help"})
_USAGE = """Usage:
  etcdpy gateway [command]

Available Commands:
  start       start the gateway

Flags:
  -h, --help   help for gateway

Use "etcdpy gateway [command] --help" for more information about a command.
"""
_START_USAGE = """Usage:
  etcdpy gateway start [flags]

Flags:
      --discovery-srv string        DNS domain used to bootstrap initial cluster
      --discovery-srv-name string   service name to query when using DNS discovery
      --endpoints strings           comma separated etcd cluster endpoints (default [127.0.0.1:2379])
  -h, --help                        help for start
      --insecure-discovery          accept insecure SRV records
      --listen-addr string          listen address (default "127.0.0.1:23790")
      --retry-delay duration        duration of delay before retrying failed endpoints (default 1m0s)
      --trusted-ca-file string      path to the client server TLS CA file for verifying the discovered endpoints when discovery-srv is provided.
"""  # noqa: E501 - etcd's lines


class UsageError(ValueError):
    """The words cannot be read; the text is etcd's."""


class HelpWanted(Exception):
    """Somebody has asked what there is."""


@dataclass(frozen=True, slots=True)
class _Flag:
    """How the text of a flag is read; `parse` raises ValueError with the reason."""

    field: str
    parse: Callable[[str], object] = str
    is_boolean: bool = False


def run(arguments: Sequence[str]) -> int:
    """Run the command whose words follow `gateway`; return the exit code."""
    words = list(arguments)
    start = _find_command(words)
    is_start = start is not None and words[start] == "start"
    usage = _START_USAGE if is_start else _USAGE
    about = "start the gateway" if is_start else "gateway related command"
    if is_start:
        assert start is not None
        del words[start]
    try:
        settings = _parse(words, FLAGS if is_start else {})
    except HelpWanted:
        print(f"{about}\n\n{usage}", end="")
        return 0
    except UsageError as refusal:
        print(f"Error: {refusal}\n{usage}\n{refusal}", end="", file=sys.stderr)
        return 1
    if not is_start:
        print(f"{about}\n\n{usage}", end="")
        return 0
    return _start(settings)


def _start(settings: Settings) -> int:
    """Serve until a signal ends the process; return the exit code of a refusal."""
    logs.setup_gateway()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except StartError as refusal:
        print(refusal, end=refusal.end, file=sys.stdout if refusal.is_on_stdout else sys.stderr)
    return 1


async def _serve(settings: Settings) -> None:
    """Raises: StartError."""
    records, listener = await find_endpoints(settings)
    endpoints = Endpoints(records, random.Random())
    delay_s = settings.retry_delay_s or DEFAULT_RETRY_DELAY_S
    gateway = Gateway(endpoints, delay_s, _connections_max())
    notify_systemd()
    await gateway.serve(listener)


def _connections_max() -> int:
    """Return how many clients there are descriptors for, of which each takes two."""
    return max(1, (raise_descriptor_limit() - RESERVED_DESCRIPTORS) // 2)


# Words


def _find_command(words: Sequence[str]) -> int | None:
    """Return where the first word stands that is neither a flag nor the value of one."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return None
        if not word.startswith("-") or word == "-":
            return at
        # A flag is not known here, so that what follows it counts as its value.
        is_whole = "=" in word or (not word.startswith("--") and len(word) != 2)
        at += 1 if is_whole else 2
    return None


def _parse(words: Sequence[str], flags: Mapping[str, _Flag]) -> Settings:
    """Raises: UsageError, HelpWanted."""
    values: dict[str, Any] = {}
    left = deque(words)
    while left and left[0] != "--":
        word = left.popleft()
        if not word.startswith("-") or word == "-":
            continue
        name, equals, text = _split(word)
        flag = flags.get(name)
        if flag is None:
            raise UsageError(f"unknown flag: --{name}")
        if not equals and flag.is_boolean:
            text = "true"
        elif not equals:
            if not left:
                raise UsageError(f"flag needs an argument: --{name}")
            text = left.popleft()
        value = _read(name, flag, text)
        if isinstance(value, tuple):  # lists add up
            value = values.get(flag.field, ()) + value
        values[flag.field] = value
    return Settings(**values)


def _split(word: str) -> tuple[str, str, str]:
    """Return the name of a flag, `=` if that follows, and what follows it.

    Raises: UsageError, HelpWanted.
    """
    if word in _HELP:
        raise HelpWanted
    if not word.startswith("--"):
        raise UsageError(f"unknown shorthand flag: '{word[1]}' in {word}")
    if word[2] in "-=":
        raise UsageError(f"bad flag syntax: {word}")
    return word[2:].partition("=")


def _read(name: str, flag: _Flag, text: str) -> object:
    try:
        return flag.parse(text)
    except ValueError as reason:
        raise UsageError(
            f'invalid argument {go_quote(text)} for "--{name}" flag: {reason}'
        ) from None


def _parse_list(text: str) -> tuple[str, ...]:
    """Read a line of comma-separated values."""
    return tuple(next(csv.reader([text]), ())) if text else ()


def _parse_switch(text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError:
        reason = f"strconv.ParseBool: parsing {go_quote(text)}: invalid syntax"
        raise ValueError(reason) from None


def _parse_delay(text: str) -> float:
    """Return seconds."""
    nanoseconds = parse_duration_ns(text)
    if nanoseconds < 0:  # etcd takes it, and tries without a pause
        raise ValueError("must not be negative")
    return nanoseconds / 1_000_000_000


#: The flags of `gateway start` by name.
FLAGS = {
    "listen-addr": _Flag("listen_addr"),
    "endpoints": _Flag("endpoints", _parse_list),
    "discovery-srv": _Flag("discovery_srv"),
    "discovery-srv-name": _Flag("discovery_srv_name"),
    "insecure-discovery": _Flag("insecure_discovery", _parse_switch, is_boolean=True),
    "trusted-ca-file": _Flag("trusted_ca_file"),
    "retry-delay": _Flag("retry_delay_s", _parse_delay),
}
