"""The metrics of a proxy, which has none of a member's.

Those that etcd's proxy shows too have its names, labels, bounds and helps.
Source: the `/metrics` of the real proxy.
"""

from collections.abc import Mapping

from etcdpy.metrics.etcd import HTTP_BUCKETS, PROCESS
from etcdpy.metrics.exposition import Family, Kind
from etcdpy.metrics.own import LIMIT_REACHED

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

_ETCD = (
    Family(
        "etcd_proxy_requests_total", _COUNTER, "Counter requests incoming by method.", ("method",)
    ),
    Family(
        "etcd_proxy_handled_total",
        _COUNTER,
        "Counter of requests fully handled (by authoratitave servers)",
        ("method", "code"),
    ),
    Family(
        "etcd_proxy_dropped_total",
        _COUNTER,
        "Counter of requests dropped on the proxy.",
        ("method", "proxying_error"),
    ),
    Family(
        "etcd_proxy_handling_duration_seconds",
        _HISTOGRAM,
        "Bucketed histogram of handling time of successful events (non-watches),"
        " by method (GET/PUT etc.).",
        ("method",),
        HTTP_BUCKETS,
    ),
)
_OWN = (
    Family("etcdpy_proxy_connections", _GAUGE, "Open connections of clients."),
    Family("etcdpy_proxy_upstream_connections", _GAUGE, "Open connections to members."),
    Family("etcdpy_proxy_endpoints", _GAUGE, "Members' client URLs that requests are sent to now."),
    Family("etcdpy_proxy_shared_watches", _GAUGE, "Watches at members that clients share."),
    Family("etcdpy_proxy_shared_watchers", _GAUGE, "Clients' watches that share one."),
    Family(
        "etcdpy_proxy_shared_joined_total", _COUNTER, "Clients' watches that came to share one."
    ),
    Family("etcdpy_proxy_shared_opened_total", _COUNTER, "Requests to members for shared watches."),
    Family(
        "etcdpy_proxy_shared_events_total", _COUNTER, "Events that members told shared watches."
    ),
    Family(
        "etcdpy_proxy_shared_told_total",
        _COUNTER,
        "Events that clients were told of these as they came.",
    ),
    Family(
        "etcdpy_proxy_shared_cut_total",
        _COUNTER,
        "Clients' watches that were cut since events may be missing.",
    ),
    LIMIT_REACHED,
)
#: All families of a proxy by name.
PROXY_FAMILIES: Mapping[str, Family] = {f.name: f for f in (*_ETCD, *_OWN, *PROCESS)}
