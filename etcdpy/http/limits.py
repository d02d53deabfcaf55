"""What one client may take of a member: bounds as values, and how often each was reached.

A file of its own because every protocol in front of the handlers keeps to the same bounds and
counts them alike.  The defaults are those of etcd, or so generous that no client of etcd's finds
out.  A connection holds no more than one head, one body and one answer at a time, and what waits
behind a client that does not read is one answer, or a watch's bounded list of events.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from etcdpy.http.form import FORM_BYTES_MAX
from etcdpy.http.heads import HEAD_BYTES_MAX


class Limit(StrEnum):
    """A bound, by the flag that sets it."""

    CONNECTIONS = "connections-max"
    PEER_CONNECTIONS = "peer-connections-max"
    HEAD_BYTES = "head-bytes-max"
    BODY_BYTES = "body-bytes-max"
    HEAD_TIMEOUT = "head-timeout"
    BODY_TIMEOUT = "body-timeout"
    SEND_TIMEOUT = "send-timeout"
    WATCHERS = "watchers-max"
    PROPOSALS = "proposals-max"
    QUOTA_KEYS = "quota-keys"
    QUOTA_BYTES = "quota-bytes"


#: How often somebody was refused, kept waiting or cut off, by why.
Reached = Counter[Limit]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection.  Times are in seconds, None is for ever.

    `head_s` is for a head from its first byte on; `body_s` and `send_s` are how long a body, and
    what waits to be sent, may stand still.  Neither head nor body has its time while it waits
    here, for an answer before it or for a client that does not read.  Idle connections are not
    limited.
    """

    head_s: float | None = 60.0
    body_s: float | None = 60.0
    send_s: float | None = 600.0
    head_bytes_max: int = HEAD_BYTES_MAX
    body_bytes_max: int = FORM_BYTES_MAX


DEFAULT_LIMITS = Limits()
