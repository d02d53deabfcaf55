"""Which number of which part of a proxy is which metric.

A file of its own because it changes with the list of metrics.  Nothing here is kept.
Source: the `/metrics` of the real proxy.
"""

from etcdpy.http.limits import Limit
from etcdpy.metrics.exposition import Exposition
from etcdpy.proxy.figures import Figures

_TIMEOUTS = (Limit.HEAD_TIMEOUT, Limit.BODY_TIMEOUT, Limit.SEND_TIMEOUT)


def show_figures(figures: Figures, text: Exposition) -> None:
    """Put what was counted into the text of one scrape."""
    for method, count in sorted(figures.incoming.items()):
        text.put("etcd_proxy_requests_total", count, method)
    for (method, status), count in sorted(figures.handled.items()):
        text.put("etcd_proxy_handled_total", count, method, str(status))
    for (method, reason), count in sorted(figures.dropped.items()):
        text.put("etcd_proxy_dropped_total", count, method, reason)
    for method, durations in sorted(figures.durations.items()):
        text.put_durations("etcd_proxy_handling_duration_seconds", durations, method)
    for limit in _TIMEOUTS:
        text.put("etcdpy_limit_reached_total", figures.reached[limit], limit)
