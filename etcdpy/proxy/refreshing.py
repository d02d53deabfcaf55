"""Who the members are, asked again and again: the endpoints of a proxy, kept true.

A file of its own because it is a task with a pace of its own, beside all requests.  The peer URLs
that the members tell are kept on disk, so that a proxy that is started again finds its cluster
whatever its settings say.
Source: spec/cluster.md section 9.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from etcdpy.http.form import go_quote
from etcdpy.logs import NOTICE
from etcdpy.proxy.members import Members
from etcdpy.proxy.stored_cluster import StoredCluster

main_log = logging.getLogger("etcdpy.etcdmain")
log = logging.getLogger("etcdpy.proxy.httpproxy")


class UnknownClusterError(Exception):
    """None of the members that are known can tell who the others are; the text is etcd's."""


@dataclass(frozen=True, slots=True)
class Description:
    """A cluster's URLs as one of its members tells them, each list ascending."""

    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]


#: Asks peer URLs, one after the other; raises UnknownClusterError.
Ask = Callable[[Sequence[str]], Awaitable[Description]]


class Refresher:
    """Keeps the director's endpoints; `refresh` once, then `run` as a task."""

    def __init__(
        self, peer_urls: Sequence[str], ask: Ask, stored: StoredCluster, members: Members
    ) -> None:
        self._peer_urls = tuple(peer_urls)
        self._ask = ask
        self._stored = stored
        self._members = members
        self._is_found = False

    async def run(self) -> None:
        """Refresh for ever, each time after the director's delay."""
        while True:
            await asyncio.sleep(self._members.director.refresh_delay_s(self._members.now_s()))
            await self.refresh()

    async def refresh(self) -> None:
        """Ask once; where nobody answers there are no endpoints until the next time."""
        try:
            found = await self._ask(self._peer_urls)
        except UnknownClusterError as error:
            main_log.warning("proxy: %s", error)
            self._members.director.refresh(())
            return
        self._keep(found.peer_urls)
        self._members.director.refresh(found.client_urls)
        self._members.upstream.forget_idle(set(found.client_urls))
        if found.client_urls and not self._is_found:
            self._is_found = True
            urls = " ".join(go_quote(e.url.encode()).decode() for e in self._members.available())
            log.info("endpoints found [%s]", urls)

    def _keep(self, peer_urls: tuple[str, ...]) -> None:
        """Go by these peer URLs from now on, if the disk can keep them."""
        try:
            self._stored.write(peer_urls)
        except OSError as error:
            main_log.warning("proxy: error on writing urls %s", error)
            return
        if peer_urls != self._peer_urls:
            main_log.log(
                NOTICE,
                "proxy: updated peer urls in cluster file from [%s] to [%s]",
                " ".join(self._peer_urls),
                " ".join(peer_urls),
            )
        self._peer_urls = peer_urls
