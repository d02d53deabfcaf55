"""The Transport that consensus asks for: all other members, and the ways to and from them.

A file of its own because it owns the peers as a set: who is one, who may become one, and what of
a message concerns them all.  What happens with one peer is `peer`'s, how bytes travel is
`stream`'s and `snapshot_stream`'s, what a request asks is answered in `port`.  Rules for
changing it: `send` is called for every batch of every write, so it makes no task and waits for
nothing; no peer's trouble reaches another's messages.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from etcdpy.consensus.interfaces import RandomSource
from etcdpy.consensus.messages import Message, MessageKind, SnapshotRequest
from etcdpy.http.peers.admission import Admission, DataChecks, Standing
from etcdpy.http.peers.dialer import HttpDialer
from etcdpy.http.peers.peer import Peer
from etcdpy.http.peers.protocol import Cause, Greeting, Identity, PeerLimits, Refusal, refuse
from etcdpy.http.peers.said import Said
from etcdpy.http.peers.snapshot_sender import SnapshotSender
from etcdpy.http.peers.snapshot_stream import SnapshotSource
from etcdpy.http.peers.stats import AppendStats, TransportCounters
from etcdpy.http.peers.stream import Ending
from etcdpy.tls.contexts import ClientTls

log = logging.getLogger("etcdpy.http.peers")

DEFAULT_LIMITS = PeerLimits()


class Receiver(Protocol):
    """Who is told what comes in and how sending went; the driver, by shape."""

    @property
    def status(self) -> Standing:
        """Where this member is."""

    def step(self, message: Message) -> None:
        """Take a validated message of a peer."""

    def report_unreachable(self, member_id: int) -> None:
        """Hear that messages to a peer may have been lost."""

    def report_snapshot(self, to: int, *, is_ok: bool) -> None:
        """Hear how `send_snapshot` ended."""


def _ignore(member_id: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PeerCallbacks:
    """What the member wants to know of; called on the loop, from within a transport's callback."""

    # A peer can't be heard any more, and not because this member wanted it so.
    on_peer_lost: Callable[[int], None] = _ignore
    # A peer says that this member was removed from the cluster for good.
    on_removed: Callable[[int], None] = _ignore


class PeerTransport:
    """The ways to the other members.  Made and used on one loop; `start`, then `stop`, once each.

    Peers may be added before `start` and at any time after; messages to who is none are dropped.
    """

    def __init__(
        self,
        identity: Identity,
        source: SnapshotSource,
        *,
        checks: DataChecks,
        removed: Callable[[], Collection[int]],
        random_source: RandomSource,
        callbacks: PeerCallbacks = PeerCallbacks(),
        limits: PeerLimits = DEFAULT_LIMITS,
        tls: ClientTls | None = None,
    ) -> None:
        """`removed` returns the ids that have left the cluster for good, as applied here.

        `checks` tell, by kind of entry, whether what a peer wants in the log can be applied.
        Without `tls` https is dialled with the system's authorities and no certificate.
        """
        self.identity = identity
        self.limits = limits
        self.counters = TransportCounters()
        self.appends = AppendStats()
        self.said = Said()  # of guests, and of who is refused
        self._source = source
        self._admission = Admission(checks)
        self._removed = removed
        self._random = random_source
        self._callbacks = callbacks
        self._dialer = HttpDialer(lambda: self.identity, limits, tls or ClientTls())
        self._loop = asyncio.get_running_loop()
        self._peers: dict[int, Peer] = {}  # by member id, guests included
        self._stopping: set[asyncio.Task[None]] = set()  # of peers that were removed
        self._receiver: Receiver | None = None
        self._snapshots: SnapshotSender | None = None
        self._is_running = False

    # Life

    def start(self, receiver: Receiver) -> None:
        """Begin to dial the peers; what comes in goes to `receiver`."""
        assert self._receiver is None
        self._receiver = receiver
        self._dialer.start()
        self._snapshots = SnapshotSender(self._source, self._dialer, self.limits, receiver)
        self._is_running = True
        for peer in self._peers.values():
            peer.start()

    async def stop(self) -> None:
        """End all streams and transfers; what was written already gets a moment to leave."""
        self._is_running = False
        if self._snapshots is not None:
            await self._snapshots.stop()
        peers = list(self._peers.values())
        await asyncio.gather(*(peer.stop() for peer in peers), *self._stopping)
        self._peers.clear()
        await self._dialer.stop()

    # Who the peers are

    @property
    def peers(self) -> list[Peer]:
        """All peers, guests included, ascending by id: for statistics."""
        return [self._peers[member_id] for member_id in sorted(self._peers)]

    def add_peer(self, member_id: int, urls: Sequence[str]) -> None:
        """Dial a member at `urls` from now on; one that came as a guest stays connected."""
        assert member_id != self.identity.member_id
        peer = self._peers.get(member_id)
        if peer is None:
            self._add(member_id, urls, is_guest=False)
            return
        peer.is_guest = False
        peer.update_urls(urls)

    def update_self(self, urls: Sequence[str]) -> None:
        """Tell peers other addresses of this member, when they are next dialled."""
        self.identity = replace(self.identity, peer_urls=tuple(urls))

    def remove_peer(self, member_id: int) -> None:
        """End what goes on with a member, which is told that it was removed; harmless for others.

        What was sent to it so far still gets a moment to arrive: it may be how it learns of this.
        """
        peer = self._peers.pop(member_id, None)
        if peer is None:
            return
        log.info("stopped peer %x", member_id)
        if self._snapshots is not None:
            self._snapshots.cancel(member_id)
        task = self._loop.create_task(peer.stop(Cause.REMOVED))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def find_peer(self, member_id: int) -> Peer | None:
        """Return what is known of the connections with a member."""
        return self._peers.get(member_id)

    def is_active(self, member_id: int) -> bool:
        """Tell whether a member hears us and we hear it, now."""
        return self.active_for_s(member_id) is not None

    def active_for_s(self, member_id: int) -> float | None:
        """Return for how long that has been so without a break, None if it is not."""
        peer = self._peers.get(member_id)
        if peer is None or peer.active_since_s is None:
            return None
        return self._loop.time() - peer.active_since_s

    def render_appends(self) -> dict[str, Any]:
        """Return the fields of `/v2/stats/self` that count appends, in the API's order."""
        return self.appends.render(time.monotonic())

    def render_followers(self) -> dict[str, Any]:
        """Return the `followers` of `/v2/stats/leader`, keys ascending as text."""
        shown = {f"{p.member_id:x}": p.latency for p in self.peers if not p.is_guest}
        return {member_id: shown[member_id].render() for member_id in sorted(shown)}

    def _add(self, member_id: int, urls: Sequence[str], *, is_guest: bool) -> Peer:
        peer = Peer(
            member_id,
            urls,
            dialer=self._dialer,
            events=self,
            limits=self.limits,
            random_source=self._random,
            said=self.said,
            is_guest=is_guest,
        )
        self._peers[member_id] = peer
        if not is_guest:
            log.info("added peer %x", member_id)
        elif self.said.is_new(f"{member_id:x}", "added"):
            log.info("added guest peer %x", member_id)
        if self._is_running:
            peer.start()
        return peer

    # Consensus' Transport

    def send(self, messages: Sequence[Message]) -> None:
        """Take `messages`, each with its `to`, and return at once; what can't be sent is lost."""
        peers = self._peers
        if len(messages) == 1:
            peer = peers.get(messages[0].to)
            if peer is not None:
                peer.send(messages)
            return
        batches: dict[int, list[Message]] = {}
        for message in messages:
            batch = batches.get(message.to)
            if batch is None:
                batches[message.to] = [message]
            else:
                batch.append(message)
        for to, batch in batches.items():
            peer = peers.get(to)
            if peer is not None:
                peer.send(batch)

    def send_snapshot(self, request: SnapshotRequest) -> None:
        """Begin to stream the newest durable snapshot to `request.to`, and return at once."""
        peer = self._peers.get(request.to)
        if peer is None or self._snapshots is None or not self._is_running:
            if self._receiver is not None:
                self._receiver.report_snapshot(request.to, is_ok=False)
            return
        self._snapshots.begin(request, peer)

    # Peers' events

    def peer_unreachable(self, peer: Peer) -> None:
        """Tell Raft that messages may have been lost."""
        if self._receiver is not None and self._is_running:
            self._receiver.report_unreachable(peer.member_id)

    def dial_failed(self, peer: Peer, cause: Cause) -> None:
        """Count, and tell the member if another one says that it is none any more."""
        self.counters.failed[cause] += 1
        if cause is Cause.REMOVED and self._is_running and not peer.is_guest:
            self._callbacks.on_removed(peer.member_id)

    def peer_lost(self, peer: Peer) -> None:
        """Tell the member."""
        if self._is_running:
            self._callbacks.on_peer_lost(peer.member_id)

    def incoming_ended(self, peer: Peer, ending: Ending) -> None:
        """Count what a peer did wrong, and forget a guest that has left."""
        if not self._is_running:
            return
        self.served(peer)
        if not ending.is_ours and ending.cause is not Cause.UNREACHABLE:
            self.counters.rejected[ending.cause] += 1

    # What comes in; for `port`

    @property
    def removed(self) -> Collection[int]:
        """The ids that have left the cluster for good."""
        return self._removed()

    def draw_seed(self) -> int:
        """Return where the checksums of a new incoming stream begin."""
        return self._random.randrange(2**32)

    def admit(self, greeting: Greeting) -> Peer | Refusal:
        """Return the peer that has dialled, or why it is not heard.

        A member that is not known here yet is let in as a guest: this one may lag behind the
        change that added it, and only it, as leader, may be able to tell.
        """
        if not self._is_running:
            return refuse(Cause.STOPPED, "this member stops")
        peer = self._peers.get(greeting.sender)
        if peer is not None:
            return peer
        guests = sum(peer.is_guest for peer in self._peers.values())
        if not greeting.peer_urls or guests >= self.limits.guests_max:
            return refuse(Cause.UNKNOWN, f"member {greeting.sender:x} is not known here")
        return self._add(greeting.sender, greeting.peer_urls, is_guest=True)

    def served(self, peer: Peer) -> None:
        """Forget a guest that has no stream any more: if it comes again it is let in again."""
        is_known = self._peers.get(peer.member_id) is peer
        if not (self._is_running and peer.is_guest and is_known and peer.incoming is None):
            return
        del self._peers[peer.member_id]
        task = self._loop.create_task(peer.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def check(self, peer: Peer, messages: Sequence[Message]) -> None:
        """Raise PeerError unless the core may see all of what a peer says."""
        if self._receiver is not None:
            self._admission.check(messages, self._receiver.status, is_guest=peer.is_guest)

    def deliver(self, peer: Peer, messages: Sequence[Message], size_bytes: int) -> None:
        """Hand on a batch of a correct form, and count it.

        Raises: PeerError if the core may not see all of it; then it sees none.
        """
        receiver = self._receiver
        if receiver is None or not self._is_running or not messages:
            return
        self.check(peer, messages)
        counters = peer.counters
        counters.received_frames += 1
        counters.received_messages += len(messages)
        counters.received_bytes += size_bytes
        now = time.monotonic()
        for message in messages:
            if message.kind is MessageKind.APPEND:
                self.appends.received(now, size_bytes // len(messages))
            elif message.kind is MessageKind.APPEND_RESPONSE and not message.is_rejected:
                peer.latency.answered(message.index, now)
            receiver.step(message)
