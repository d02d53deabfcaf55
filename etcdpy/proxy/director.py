"""Director: which members a request is sent to, and in which order.

A file of its own because it is the proxy's one decision, and needs neither clock nor socket:
moments come as arguments, chance from a seeded source.  The order is drawn anew at each refresh and
kept until the next one, so that requests of one moment see one member; a refresh also forgets who
has failed.
Source: spec/cluster.md section 9.
"""

import random
from collections.abc import Iterable

#: From this interval on a proxy without endpoints does not wait so long; etcd's numbers.
PATIENT_REFRESH_S = 30.0
HURRIED_REFRESH_S = 1.0
#: However short the interval is said to be: members have other work than to describe themselves.
REFRESH_S_MIN = 0.1


class Endpoint:
    """A member's client URL, and until when it is left alone."""

    __slots__ = ("failed_until_s", "host", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = url.partition("://")[2].partition("/")[0].encode("utf-8", "surrogateescape")
        self.failed_until_s: float | None = None

    def is_available(self, now_s: float) -> bool:
        """Tell whether requests may be sent there."""
        return self.failed_until_s is None or now_s >= self.failed_until_s


class Director:
    """The endpoints of one proxy."""

    def __init__(self, failure_wait_s: float, refresh_s: float, chance: random.Random) -> None:
        self._failure_wait_s = failure_wait_s
        self._refresh_s = refresh_s
        self._chance = chance
        self._endpoints: list[Endpoint] = []

    def refresh(self, urls: Iterable[str]) -> None:
        """Take the URLs that the members advertise now; all of them count as reachable."""
        self._endpoints = [Endpoint(url) for url in urls]
        self._chance.shuffle(self._endpoints)

    def available(self, now_s: float) -> list[Endpoint]:
        """Return whom to try, in this order."""
        return [endpoint for endpoint in self._endpoints if endpoint.is_available(now_s)]

    def fail(self, endpoint: Endpoint, now_s: float) -> bool:
        """Leave an endpoint alone for a while; False if it was left alone already."""
        if not endpoint.is_available(now_s):
            return False
        endpoint.failed_until_s = now_s + self._failure_wait_s
        return True

    def refresh_delay_s(self, now_s: float) -> float:
        """Return how long to wait before the members are asked again."""
        if self._refresh_s >= PATIENT_REFRESH_S and not self.available(now_s):
            return HURRIED_REFRESH_S
        return max(self._refresh_s, REFRESH_S_MIN)
