"""The dialling side's HTTP: opens streams to peers and posts snapshots to them, over aiohttp.

A file of its own because it is the one that knows aiohttp's client; what it makes of an answer is
a stream or a `DialError` with a cause.  It decides neither when to dial nor what to send.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable

import aiohttp

from etcdpy.errors import PeerError
from etcdpy.http.peers.client import open_session, tls_of, url_of
from etcdpy.http.peers.peer import DialError, Peer
from etcdpy.http.peers.protocol import (
    CLUSTER_ID,
    PROTOCOL,
    SERVER_VERSION,
    SNAPSHOT_PATH,
    STATUSES,
    STREAM_PATH,
    TWO_WAY_VERSION,
    UPGRADE,
    Cause,
    Identity,
    PeerLimits,
    check_acceptor,
    greet,
)
from etcdpy.http.peers.stream import OutgoingStream
from etcdpy.tls.contexts import ClientTls, TlsError

log = logging.getLogger("etcdpy.http.peers")

# How much of a refusal is read: ours are a line.
_REFUSAL_BYTES_MAX = 4096
_CAUSES = {status: cause for cause, status in STATUSES.items() if cause is not Cause.STOPPED}


class HttpDialer:
    """Dials peers; see the module.  `start`, then `stop`, once each."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        limits: PeerLimits,
        tls: ClientTls,
    ) -> None:
        self._identity = identity
        self._limits = limits
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Make ready on the running loop."""
        # No pool: a stream keeps its connection, a snapshot's is not used again.
        self._session = open_session(self._limits.dial_s)

    async def stop(self) -> None:
        """Close what is left open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def open_stream(self, peer: Peer, url: str) -> OutgoingStream:
        """Return a stream to `peer` at `url`, which has been told of it.

        Raises: DialError.
        """
        assert self._session is not None
        identity = self._identity()
        headers = greet(identity, peer.member_id) | {"Connection": "Upgrade", "Upgrade": UPGRADE}
        try:
            async with asyncio.timeout(self._limits.dial_s):
                target = url_of(f"{url}{STREAM_PATH}/{identity.member_id:x}")
                response = await self._session.get(
                    target,
                    headers=headers,
                    allow_redirects=False,
                    ssl=tls_of(target, self._tls),
                    server_hostname=self._tls.server_name,
                )
                if response.status != 101:
                    raise await _refusal(response)
        except TimeoutError as error:
            raise DialError(Cause.SILENT, f"no answer within {self._limits.dial_s:g} s") from error
        except (aiohttp.ClientError, OSError, TlsError, ValueError) as error:
            raise DialError(Cause.UNREACHABLE, _words(error)) from error
        try:
            return self._take_over(response, peer)
        except PeerError as error:
            response.close()
            raise DialError(Cause.NOT_A_MEMBER, str(error)) from error

    def _take_over(self, response: aiohttp.ClientResponse, peer: Peer) -> OutgoingStream:
        """Make a stream of the connection of an accepted request; nothing has been awaited since.

        Raises: PeerError if the acceptor speaks another protocol.
        """
        accepted = check_acceptor(response.headers)
        connection = response.connection
        if connection is None or connection.transport is None:
            raise PeerError("accepted and closed")
        limits = self._limits
        stream = OutgoingStream(
            connection.transport,
            accepted.seed,
            limits.ways(peer.member_id, self._identity().member_id),
            peer,
            is_two_way=accepted.protocol >= TWO_WAY_VERSION,
            ping_s=limits.ping_s,
            silence_s=limits.silence_s,
        )
        # aiohttp forgets the connection when it is closed, and must be told so.
        stream.closed.add_done_callback(lambda _: response.close())
        peer.opened(stream, response.headers.get(SERVER_VERSION, "")[:32])
        return stream

    async def post_snapshot(self, peer: Peer, body: AsyncIterator[bytes]) -> None:
        """Stream `body` to `peer`; it has all of it, durable, on return.  No bound in time.

        Raises: DialError, also for whatever `body` raises.
        """
        assert self._session is not None
        headers = greet(self._identity(), peer.member_id)
        headers["Content-Type"] = "application/octet-stream"
        try:
            target = url_of(f"{peer.current_url}{SNAPSHOT_PATH}")
            async with self._session.post(
                target,
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=tls_of(target, self._tls),
                server_hostname=self._tls.server_name,
            ) as response:
                if response.status != 204:
                    raise await _refusal(response)
        except (aiohttp.ClientError, OSError, TlsError, ValueError) as error:
            raise DialError(Cause.UNREACHABLE, _words(error)) from error


async def _refusal(response: aiohttp.ClientResponse) -> DialError:
    """Return what an answer that is no acceptance means, and close its connection."""
    try:
        body = await response.content.read(_REFUSAL_BYTES_MAX)
    except aiohttp.ClientError:
        body = b""
    response.close()
    if PROTOCOL in response.headers:
        return DialError(_CAUSES.get(response.status, Cause.BROKEN), _message(body))
    answer = f"answers {response.status} {body[:64].decode('utf-8', 'replace').strip()!r}"
    if SERVER_VERSION in response.headers or CLUSTER_ID in response.headers:
        version = response.headers.get(SERVER_VERSION, "")[:32]
        return DialError(
            Cause.REAL_ETCD,
            f"a real etcd {version} is there, which can't be in a cluster with etcdpy; it {answer}",
        )
    return DialError(Cause.NOT_A_MEMBER, f"no member of etcdpy is there; it {answer}")


def _message(body: bytes) -> str:
    """Return the words of one of our own refusals."""
    try:
        return str(json.loads(body)["message"])[:1024]
    except (ValueError, KeyError, TypeError):
        return "refused without a reason"


def _words(error: Exception) -> str:
    """Return what is worth saying of an error; some have no text."""
    return str(error) or type(error).__name__
