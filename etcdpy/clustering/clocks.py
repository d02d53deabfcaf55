"""Clocks: how far those of the other members are from this one's.

A file of its own because nothing here depends on them but keys that expire: whoever proposes a
write brings the time along, and the leader's says what has expired.  So a clock that is wrong makes
keys live too long or too short, and is said.
Source: spec/cluster.md section 8, spec/members.md section 6.
"""

import asyncio
import calendar
import logging
import re
import time
from collections.abc import Callable

import aiohttp

from etcdpy.http.gojson.writer import format_duration
from etcdpy.http.peers.client import open_session, tls_of, url_of
from etcdpy.http.peers.peer import Peer
from etcdpy.http.peers.transport import PeerTransport
from etcdpy.tls.contexts import ClientTls, TlsError

log = logging.getLogger("etcdpy.http.peers")

#: A larger difference is said; etcd's number.
DIFFERENCE_MAX_NS = 1_000_000_000
#: How often the others are asked, and how soon after the start.
INTERVAL_S = 30.0
FIRST_S = 3.0
#: How long one of them may take to answer, and how much it may say.
TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 1024

_NOW = re.compile(rb'"Now":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z"')
_NS_PER_S = 1_000_000_000


class ClockWatch:
    """Asks each peer for its time, again and again; `start`, then `stop`, once each.

    `differences_ns` is by member id, of those that have answered when last asked: how much the
    other's clock is ahead of this one's, give or take half of the time that the answer took.
    """

    def __init__(
        self,
        transport: PeerTransport,
        tls: ClientTls | None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.differences_ns: dict[int, int] = {}
        self._transport = transport
        self._tls = tls or ClientTls()
        self._now_ns = now_ns
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it; harmless when it never began."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_S)
        async with open_session(TIMEOUT_S) as session:
            while True:
                peers = [peer for peer in self._transport.peers if not peer.is_guest]
                found = await asyncio.gather(*(self._ask(session, peer) for peer in peers))
                self.differences_ns = {
                    peer.member_id: difference_ns
                    for peer, difference_ns in zip(peers, found, strict=True)
                    if difference_ns is not None
                }
                self._say()
                await asyncio.sleep(INTERVAL_S)

    async def _ask(self, session: aiohttp.ClientSession, peer: Peer) -> int | None:
        """Return how far a peer's clock is ahead, None when it does not tell."""
        target = url_of(f"{peer.current_url}/raft/probing")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                asked_ns = self._now_ns()
                context, name = tls_of(target, self._tls), self._tls.server_name
                async with session.get(target, ssl=context, server_hostname=name) as response:
                    answer = await response.content.read(ANSWER_BYTES_MAX)
                answered_ns = self._now_ns()
        except (aiohttp.ClientError, OSError, TlsError, ValueError, TimeoutError):
            return None  # that it is not reached is the transport's to say
        theirs_ns = find_time(answer)
        return None if theirs_ns is None else theirs_ns - (asked_ns + answered_ns) // 2

    def _say(self) -> None:
        for member_id, difference_ns in sorted(self.differences_ns.items()):
            if abs(difference_ns) > DIFFERENCE_MAX_NS:
                log.warning(
                    "the clock difference against peer %x is too high [%s > %s]",
                    member_id,
                    format_duration(abs(difference_ns)),
                    format_duration(DIFFERENCE_MAX_NS),
                )


def find_time(answer: bytes) -> int | None:
    """Return the time that a peer's answer tells, Unix nanoseconds, None if it tells none."""
    match = _NOW.search(answer)
    if match is None:
        return None
    try:
        second = calendar.timegm(time.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return second * _NS_PER_S + int((match[2] or b"").ljust(9, b"0"))
