"""Figures: what a proxy counts, in plain numbers that are read when somebody scrapes.

A file of its own because every part counts here and none reads it.
Source: spec/observability.md section 4; the real proxy's `/metrics`.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from etcdpy.http.limits import Reached
from etcdpy.metrics.etcd import HTTP_BUCKETS
from etcdpy.metrics.exposition import Histogram

ZERO_ENDPOINTS = "zero_endpoints"
FAILED_SENDING = "failed_sending_request"
FAILED_GETTING = "failed_getting_response"
CROWDED = "too_many_requests"
#: The methods that have a name among the figures; clients may make up others without end.
_METHODS = frozenset(
    ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE")
)
_OTHER = "other"


def label_of(method: str) -> str:
    """Return what a request's method is counted under."""
    return method if method in _METHODS else _OTHER


@dataclass(slots=True)
class Figures:
    """The counters of one proxy; a label's value is the key."""

    incoming: Counter[str] = field(default_factory=Counter)  # by method
    handled: Counter[tuple[str, int]] = field(default_factory=Counter)  # by method and status
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # by method and reason
    durations: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram.of_durations(HTTP_BUCKETS))
    )  # by method, until the head of the answer
    shared_joined_count: int = 0  # watches that joined a shared one
    shared_opened_count: int = 0  # requests to members on their behalf
    shared_events_count: int = 0  # events that members told shared watches
    shared_told_count: int = 0  # events that clients were told from these
    shared_cut_count: int = 0  # watches that were cut since an event may be missing
    reached: Reached = field(default_factory=Reached)  # time-outs of clients
