"""Traffic: what is counted of the requests for keys, and which of them took too long.

A file of its own because it is on the path of every request, on whatever connection it came: a
request costs it two additions and one look at the clock, since its beginning was looked up anyway.
Watches are not counted, as in etcd.
Source: spec/observability.md section 4 (`etcd_http_…`).
"""

import logging
import time
from collections import Counter

from etcdpy.http.gojson.writer import format_duration
from etcdpy.http.limits import Reached
from etcdpy.metrics.etcd import HTTP_BUCKETS
from etcdpy.metrics.exposition import Histogram

log = logging.getLogger("etcdpy.member")

#: What a quorum read is called.
QUORUM_GET = "QGET"
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", QUORUM_GET)
#: A request that takes longer is worth a line, but not each of those that waited for the same.
SLOW_NS = 1_000_000_000
SAID_AGAIN_S = 1.0


class Traffic:
    """The counters of all listeners of a member.

    A method is that of the request, `QGET` for a quorum read.  `failed` is by status and method,
    `reached` by the limit that was reached.  `looked_s` is for how long the loop was kept awake for
    what might come (`lookout`): it had time to spare.
    """

    __slots__ = (
        "_said_s",
        "_unsaid_count",
        "durations",
        "failed",
        "looked_s",
        "reached",
        "received",
        "recursive_reads_count",
        "watches_count",
    )

    def __init__(self) -> None:
        self.received = dict.fromkeys(METHODS, 0)
        self.failed: Counter[tuple[int, str]] = Counter()
        self.reached = Reached()
        self.durations = {method: Histogram.of_durations(HTTP_BUCKETS) for method in METHODS}
        self.looked_s = 0.0
        self.recursive_reads_count = 0
        self.watches_count = 0
        self._said_s = -SAID_AGAIN_S
        self._unsaid_count = 0

    def succeeded(self, method: str, path: bytes, took_ns: int) -> None:
        """Count a request that was answered with what it asked for."""
        self.durations[method].observe(took_ns)
        if took_ns > SLOW_NS:
            self._say(method, path, took_ns)

    def _say(self, method: str, path: bytes, took_ns: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s < SAID_AGAIN_S:
            self._unsaid_count += 1
            return
        unsaid, self._unsaid_count = self._unsaid_count, 0
        self._said_s = now_s
        log.warning(
            'request "method:%s path:%s" took too long (%s) to execute%s',
            method,
            path.decode("utf-8", "replace"),
            format_duration(took_ns),
            f", and {unsaid} others before it" if unsaid else "",
        )
