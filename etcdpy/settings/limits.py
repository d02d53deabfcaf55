"""Settings of what clients may take of a member, which are etcdpy's own.

A file of its own because etcd has none of them: without any of these flags a client finds what it
finds at etcd.  Those that are 0 by default bound nothing then.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.errors import ConfigError
from etcdpy.settings.kinds import LIMITS, NUMBER, NUMBER64, Setting

#: As much as Go's server reads of a head: 1 MiB and 4 KiB.
HEAD_BYTES_MAX = 1024 * 1024 + 4096
#: As much as Go's server reads of a form.
BODY_BYTES_MAX = 10 * 1024 * 1024
#: Proposals that a member keeps account of at once.
PROPOSALS_MAX = 100_000
#: A longer time-out is none.
TIMEOUT_MS_MAX = 24 * 3600 * 1000


class LimitSettings(BaseModel):
    """What bounds memory, descriptors and disk against clients that take too much."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    connections_max: Annotated[
        int,
        Setting(
            "connections-max",
            NUMBER,
            LIMITS,
            "Connections of clients at once; who comes then waits until another one ends.",
            unit="connections",
            bound="0 means as many as there are file descriptors, less 150",
        ),
    ] = 0
    peer_connections_max: Annotated[
        int,
        Setting(
            "peer-connections-max",
            NUMBER,
            LIMITS,
            "The same for the peers' port, and for that of --listen-metrics-urls; leave room"
            " for ten of each other member.",
            unit="connections",
            bound="0 means no bound",
        ),
    ] = 0
    head_bytes_max: Annotated[
        int,
        Setting(
            "head-bytes-max",
            NUMBER,
            LIMITS,
            "Size of a request's head, with its target; a larger one is refused with 431.",
            unit="bytes",
            bound=f"1024 to {HEAD_BYTES_MAX}",
        ),
    ] = HEAD_BYTES_MAX
    body_bytes_max: Annotated[
        int,
        Setting(
            "body-bytes-max",
            NUMBER,
            LIMITS,
            "Size of a request's body, with its value in escaped form; a larger one is refused.",
            unit="bytes",
            bound=f"1 to {BODY_BYTES_MAX}",
        ),
    ] = BODY_BYTES_MAX
    head_timeout_ms: Annotated[
        int,
        Setting(
            "head-timeout",
            NUMBER,
            LIMITS,
            "How long a client may take for a head from its first byte on.",
            unit="ms",
            bound="0 means for ever",
        ),
    ] = 60_000
    body_timeout_ms: Annotated[
        int,
        Setting(
            "body-timeout",
            NUMBER,
            LIMITS,
            "How long nothing may come of a body that has begun.",
            unit="ms",
            bound="0 means for ever",
        ),
    ] = 60_000
    send_timeout_ms: Annotated[
        int,
        Setting(
            "send-timeout",
            NUMBER,
            LIMITS,
            "How long a client may take nothing of an answer or a watch that waits for it.",
            unit="ms",
            bound="0 means for ever",
        ),
    ] = 600_000
    watchers_max: Annotated[
        int,
        Setting(
            "watchers-max",
            NUMBER,
            LIMITS,
            "Watches at once; one more is refused. A connection never has more than one.",
            unit="watches",
            bound="0 means no bound",
        ),
    ] = 0
    proposals_max: Annotated[
        int,
        Setting(
            "proposals-max",
            NUMBER,
            LIMITS,
            "Writes that wait for their result at once; one more is refused.",
            unit="writes",
            bound=f"1 to {PROPOSALS_MAX}",
        ),
    ] = PROPOSALS_MAX
    quota_keys: Annotated[
        int,
        Setting(
            "quota-keys",
            NUMBER64,
            LIMITS,
            "Keys and directories of clients from which on they can only read and delete.",
            unit="keys",
            bound="0 means no quota",
        ),
    ] = 0
    quota_bytes: Annotated[
        int,
        Setting(
            "quota-bytes",
            NUMBER64,
            LIMITS,
            "The same for the bytes of their names and values.",
            unit="bytes",
            bound="0 means no quota",
        ),
    ] = 0

    def check_limits(self) -> None:
        """Refuse numbers that bound nothing or everything.  Raises: ConfigError."""
        for flag, value, low, high in (
            ("head-bytes-max", self.head_bytes_max, 1024, HEAD_BYTES_MAX),
            ("body-bytes-max", self.body_bytes_max, 1, BODY_BYTES_MAX),
            ("head-timeout", self.head_timeout_ms, 0, TIMEOUT_MS_MAX),
            ("body-timeout", self.body_timeout_ms, 0, TIMEOUT_MS_MAX),
            ("send-timeout", self.send_timeout_ms, 0, TIMEOUT_MS_MAX),
            ("proposals-max", self.proposals_max, 1, PROPOSALS_MAX),
        ):
            if not low <= value <= high:
                raise ConfigError(f"--{flag} must be from {low} to {high} (set to {value})")

    def limits(self) -> dict[str, int]:
        """Return what bounds something, by flag, in the flag's unit."""
        bounds = {
            meta.flag: getattr(self, name)
            for name, info in LimitSettings.model_fields.items()
            for meta in info.metadata
            if isinstance(meta, Setting)
        }
        return {flag: value for flag, value in bounds.items() if value}
