"""Flags of etcd that are taken and do nothing here: each is checked, and warned of once.

A file of its own so that a unit file of etcd's starts a member: an operator hears what has no
effect, instead of finding out which flag to delete.
Source: spec/config.md section 2.
"""

from etcdpy.settings.kinds import (
    BOOLEAN,
    NUMBER,
    TEXT,
    Kind,
    parse_duration_ns,
    parse_signed,
)

V3_ONLY = "it is for etcd's v3 API, which is not there"

_UINT32_MAX = 2**32 - 1


def parse_duration(text: str) -> str:
    """Return a duration as Go writes it, `1h30m`, as it is.  Raises: ValueError."""
    try:
        parse_duration_ns(text)
    except ValueError:
        raise ValueError("parse error") from None
    return text


def parse_uint32(text: str) -> int:
    """Read a number of 32 bits.  Raises: ValueError in the words of Go's strconv."""
    try:
        value = NUMBER.parse(text)
    except ValueError as reason:
        words = "value out of range" if "range" in str(reason) else "invalid syntax"
        raise ValueError(f'strconv.ParseUint: parsing "{text}": {words}') from None
    assert isinstance(value, int)
    if value > _UINT32_MAX:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return value


SIGNED = Kind("number", "int", parse_signed)
SIGNED64 = Kind("number", "int64", parse_signed)
UINT32 = Kind("number", "uint32", parse_uint32)
DURATION = Kind("duration", "time.Duration", parse_duration)

_V3: dict[str, Kind] = {
    "quota-backend-bytes": SIGNED64,
    "backend-batch-interval": DURATION,
    "backend-batch-limit": SIGNED,
    "max-txn-ops": NUMBER,
    "max-request-bytes": NUMBER,
    "max-concurrent-streams": UINT32,
    "grpc-keepalive-min-time": DURATION,
    "grpc-keepalive-interval": DURATION,
    "grpc-keepalive-timeout": DURATION,
    "auto-compaction-retention": TEXT,
    "auto-compaction-mode": TEXT,
    "auth-token": TEXT,
    "auth-token-ttl": NUMBER,
    "bcrypt-cost": NUMBER,
    "enable-grpc-gateway": BOOLEAN,
    "experimental-initial-corrupt-check": BOOLEAN,
    "experimental-corrupt-check-time": DURATION,
    "experimental-enable-v2v3": TEXT,
    "experimental-backend-bbolt-freelist-type": TEXT,
    "experimental-enable-lease-checkpoint": BOOLEAN,
    "experimental-enable-lease-checkpoint-persist": BOOLEAN,
    "experimental-compaction-batch-limit": SIGNED,
    "experimental-watch-progress-notify-interval": DURATION,
    "experimental-warning-apply-duration": DURATION,
}
_OTHERS: dict[str, tuple[Kind, str]] = {
    "enable-pprof": (BOOLEAN, "it profiles programs that are written in Go"),
    "log-output": (TEXT, "use --log-outputs"),
}

#: Why each of these flags does nothing.
WITHOUT_EFFECT: dict[str, str] = {
    **dict.fromkeys(_V3, V3_ONLY),
    **{flag: reason for flag, (_, reason) in _OTHERS.items()},
}
#: What can be said of them, so that nonsense is refused as etcd refuses it.
KINDS: dict[str, Kind] = {**_V3, **{flag: kind for flag, (kind, _) in _OTHERS.items()}}
