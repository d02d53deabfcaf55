"""The members as all requests of a proxy see them: whom to ask, how to reach them, who has failed.

A file of its own because plain requests and shared watches go by the same director, and a member
that fails one of them is left alone by all.
Source: spec/cluster.md section 9.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from etcdpy.proxy.director import Director, Endpoint
from etcdpy.proxy.figures import Figures
from etcdpy.proxy.upstream import Upstream

log = logging.getLogger("etcdpy.proxy.httpproxy")


@dataclass(frozen=True, slots=True)
class Members:
    """The members, as all requests of a proxy see them."""

    director: Director
    upstream: Upstream
    figures: Figures
    failure_wait_s: float
    now_s: Callable[[], float] = time.monotonic

    def available(self) -> list[Endpoint]:
        """Return whom to ask, in this order."""
        return self.director.available(self.now_s())

    def fail(self, endpoint: Endpoint, reason: str) -> None:
        """Leave a member alone for a while, and say so."""
        log.info("failed to direct request to %s: %s", endpoint.url, reason)
        if not self.director.fail(endpoint, self.now_s()):
            return
        log.info("marked endpoint %s unavailable", endpoint.url)
        words = "marked endpoint %s available, to retest connectivity"
        loop = asyncio.get_running_loop()
        loop.call_later(self.failure_wait_s, log.info, words, endpoint.url)
