"""The peer port's routes for Raft: streams and snapshots from other members, and who is refused.

A file of its own because it is the accepting side's HTTP.  A refusal has a status and a JSON
message for a member of ours, is logged once for each peer and cause, and counted.  A real etcd
gets its own words on its own routes, so that its log says what is wrong; never 410, at which it
would stop for good.
Source: spec/cluster.md section 2, spec/members.md sections 5 and 6.
"""

import logging
from collections.abc import Callable
from functools import partial

from aiohttp import web

from etcdpy.errors import FatalError, PeerError
from etcdpy.http import wire
from etcdpy.http.connection import Connection
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.handler import BodyError
from etcdpy.http.peers.peer import Peer
from etcdpy.http.peers.protocol import (
    CLUSTER_ID,
    PROTOCOL,
    PROTOCOL_VERSION,
    SENDER,
    SERVER_VERSION,
    SNAPSHOT_PATH,
    STREAM_PATH,
    STREAM_SEED,
    TWO_WAY_VERSION,
    UPGRADE,
    Cause,
    Greeting,
    Refusal,
    RefusedError,
    check_versions,
    find_id,
    hear,
    refuse,
)
from etcdpy.http.peers.said import Said
from etcdpy.http.peers.snapshot_stream import Incoming, SnapshotSink
from etcdpy.http.peers.stream import IncomingStream
from etcdpy.http.peers.transport import PeerTransport
from etcdpy.http.wire import Framing, Response

log = logging.getLogger("etcdpy.http.peers")


class RaftFace:
    """Answers everything under /raft of one member's peer port."""

    def __init__(
        self,
        transport: PeerTransport,
        sink: SnapshotSink,
        on_fatal: Callable[[FatalError], None],
    ) -> None:
        """`on_fatal` hears of a disk that refuses a snapshot; the member must stop."""
        self._transport = transport
        self._sink = sink
        self._on_fatal = on_fatal
        self._said_of_snapshots = Said()
        self._is_receiving = False

    async def serve(
        self, request: web.BaseRequest, path: bytes, connection: Connection, framing: Framing
    ) -> bool:
        """Answer one request; for a stream that is when it has ended.

        Return whether another request may follow.
        """
        stream_path = STREAM_PATH.encode() + b"/"
        if path != SNAPSHOT_PATH.encode() and not path.startswith(stream_path):
            return connection.respond(self._refuse_etcd(request), framing)
        greeting = hear(request.headers, self._transport.identity, self._transport.removed)
        if isinstance(greeting, Refusal):
            return connection.respond(self._refusal(request, greeting), framing)
        peer = self._transport.admit(greeting)
        if isinstance(peer, Refusal):
            return connection.respond(self._refusal(request, peer), framing)
        if not peer.is_guest:
            self._transport.said.forget(f"{greeting.sender:x}")
        try:
            if path.startswith(stream_path):
                return await self._serve_stream(greeting, peer, connection)
            response = await self._serve_snapshot(request, peer)
            return connection.respond(response, framing)
        finally:
            self._transport.served(peer)

    # Streams

    async def _serve_stream(self, greeting: Greeting, peer: Peer, connection: Connection) -> bool:
        """Accept a stream and hold the connection until it ends."""
        transport, limits = self._transport, self._transport.limits
        if connection.transport is None or connection.is_half_closed:
            connection.end_with(b"")
            return False
        seed = transport.draw_seed()
        peer.hear_urls(greeting.peer_urls)
        connection.send(self._acceptance(seed, greeting.protocol))
        stream = IncomingStream(
            connection.transport,
            seed,
            limits.ways(peer.member_id, transport.identity.member_id),
            peer,
            is_two_way=greeting.protocol >= TWO_WAY_VERSION,
            ping_s=limits.ping_s,
            silence_s=limits.silence_s,
        )
        peer.accepted(stream, greeting.version)
        await stream.wait_closed()
        return False

    def _acceptance(self, seed: int, protocol: int) -> bytes:
        identity = self._transport.identity
        return (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            f"Upgrade: {UPGRADE}\r\n{PROTOCOL}: {protocol}\r\n{STREAM_SEED}: {seed:x}\r\n"
            f"{SERVER_VERSION}: {identity.version}\r\n{CLUSTER_ID}: {identity.cluster_id:x}\r\n\r\n"
        ).encode()

    # Snapshots

    async def _serve_snapshot(self, request: web.BaseRequest, peer: Peer) -> Response:
        """Take one snapshot to the disk, then hand on the message that it came for."""
        if self._is_receiving:
            busy = RefusedError(Cause.BUSY, "another snapshot is being received")
            return self._refuse_snapshot(request, peer, busy)
        self._is_receiving = True
        transport = self._transport
        incoming = Incoming(request.content, self._sink, transport.limits.snapshot_stall_s)
        sender = f"{peer.member_id:x}"
        if not self._said_of_snapshots.has(sender):  # else it tries what was refused again
            log.info("receiving database snapshot from %s", sender)
        try:
            received = await incoming.receive(
                peer.member_id, transport.identity.member_id, partial(transport.check, peer)
            )
            transport.deliver(peer, [received.message], received.size_bytes)
        except BodyError as error:
            broken = PeerError(f"the snapshot's request breaks off: {error.cause.decode()}")
            return self._refuse_snapshot(request, peer, broken)
        except PeerError as error:
            return self._refuse_snapshot(request, peer, error)
        except FatalError as error:
            self._on_fatal(error)
            return wire.message(500, b'"Internal Server Error"')
        finally:
            self._is_receiving = False
        peer.counters.snapshots_received += 1
        self._said_of_snapshots.forget(sender)
        log.info(
            "received and saved database snapshot [index: %d, from: %s]",
            received.message.snapshot.index if received.message.snapshot else 0,
            sender,
        )
        return Response(204, self._headers())

    def _refuse_snapshot(self, request: web.BaseRequest, peer: Peer, error: PeerError) -> Response:
        peer.counters.snapshots_refused += 1
        cause = error.cause if isinstance(error, RefusedError) else Cause.BROKEN
        if self._said_of_snapshots.is_new(f"{peer.member_id:x}", cause):
            log.error("failed to save database snapshot from %x: %s", peer.member_id, error)
        return self._refusal(request, refuse(cause, str(error)), is_said=True)

    # Refusals

    def _refusal(
        self, request: web.BaseRequest, refusal: Refusal, *, is_said: bool = False
    ) -> Response:
        """Count and log a refusal, and return its answer, which ends the connection."""
        self._transport.counters.rejected[refusal.cause] += 1
        sender = _sender(request)
        is_said = is_said or refusal.cause is Cause.STOPPED
        if not is_said and self._transport.said.is_new(sender, refusal.cause):
            log.error("%s from %s refused", refusal.message, sender)
        body = b'{"message":%b}' % gojson.quote(refusal.message.encode())
        headers = wire.JSON_TYPE + self._headers()
        return Response(refusal.status, headers, body, is_closing=True)

    def _refuse_etcd(self, request: web.BaseRequest) -> Response:
        """Return what a real etcd understands of why it can't be a peer."""
        headers, identity = request.headers, self._transport.identity
        words = b"incompatible version\n"
        cause, complaint = Cause.REAL_ETCD, "a real etcd can't be in a cluster with etcdpy"
        if find_id(headers.get(CLUSTER_ID, "")) != identity.cluster_id:
            got = headers.get(CLUSTER_ID, "")[:16]
            words = b"cluster ID mismatch\n"
            complaint = f"request cluster ID mismatch (got {got} want {identity.cluster_id:x})"
        version_complaint = check_versions(headers, identity)
        if version_complaint:
            words = b"incompatible version\n"
            complaint = f"request version incompatibility ({version_complaint})"
        self._transport.counters.rejected[cause] += 1
        sender = _sender(request)
        if self._transport.said.is_new(sender, cause):
            log.error("request of a real etcd from %s refused: %s", sender, complaint)
        return wire.text(412, words, self._headers())

    def _headers(self) -> bytes:
        identity = self._transport.identity
        return (
            f"{PROTOCOL}: {PROTOCOL_VERSION}\r\n{SERVER_VERSION}: {identity.version}\r\n"
            f"X-Etcd-Cluster-Id: {identity.cluster_id:x}\r\n"
        ).encode()


def _sender(request: web.BaseRequest) -> str:
    """Return who asks, in the one way to write its id, or from where."""
    member_id = find_id(request.headers.get(SENDER, ""))
    return str(request.remote) if member_id is None else f"{member_id:x}"
