"""Values that etcd refuses of flags that do nothing here: refused all the same, in its words.

A file of its own because these are the rules of another API: who mistypes one of its flags hears
of it as from etcd, and nothing else of these values is ever used.  The keys that a token is signed
with are not looked into.
Source: spec/config.md section 2.
"""

import re
from collections.abc import Mapping

from etcdpy.errors import ConfigError
from etcdpy.settings.kinds import INT64_MAX, parse_duration_ns
from etcdpy.urls import go_quote

_SIGN_METHODS = frozenset(
    f"{kind}{bits}" for kind in ("ES", "HS", "PS", "RS") for bits in (256, 384, 512)
)


class StartRefusedError(ConfigError):
    """What etcd finds only when it starts; its line is that of a failed start."""


def check_unused(values: Mapping[str, object]) -> None:
    """Refuse what etcd refuses of `values`, by flag, of those that were given.

    Raises: ConfigError, StartRefusedError.
    """
    mode = values.get("auto-compaction-mode", "")
    if mode not in ("", "periodic", "revision"):
        raise ConfigError(f"unknown auto-compaction-mode {go_quote(str(mode))}")
    lease = "experimental-enable-lease-checkpoint"
    if values.get(f"{lease}-persist") and not values.get(lease):
        raise ConfigError(f"setting {lease}-persist requires {lease}")
    _check_retention(str(values.get("auto-compaction-retention", "0")))
    _check_token(str(values.get("auth-token", "")))


def _check_retention(text: str) -> None:
    """Refuse what is neither a number nor a duration."""
    is_number = re.fullmatch(r"\+?[0-9]+|-0+", text)
    if not text or (is_number and int(text) <= INT64_MAX):
        return
    try:
        parse_duration_ns(text)
    except ValueError as error:
        raise StartRefusedError(f"error parsing CompactionRetention: {error}") from None


def _check_token(text: str) -> None:
    """Refuse a kind of token that there is not, and options that cannot be."""
    kind, *pairs = text.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        name, *value = pair.split("=")
        if len(value) != 1 or name in options:
            raise StartRefusedError("auth: invalid auth options")
        options[name] = value[0]
    if kind not in ("", "simple", "jwt"):
        raise StartRefusedError("auth: invalid auth options")
    if kind == "jwt":
        _check_jwt(options)


def _is_duration(text: str) -> bool:
    try:
        parse_duration_ns(text)
    except ValueError:
        return False
    return True


def _check_jwt(options: Mapping[str, str]) -> None:
    method, ttl = options.get("sign-method", ""), options.get("ttl", "")
    if method not in _SIGN_METHODS or not _is_duration(ttl or "0"):
        raise StartRefusedError("auth: invalid auth options")
    names = ("priv-key",) if method.startswith("HS") else ("priv-key", "pub-key")
    if not any(options.get(name) for name in names):
        raise StartRefusedError("auth: missing key data")
