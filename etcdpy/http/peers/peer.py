"""Peer: one other member, seen from here: its dialling, its streams, and which one is spoken on.

A file of its own because everything about one peer is bounded and decided without a look at the
others, so that a slow or dead one costs them nothing.

Each side dials the other and speaks on the stream that it dialled, once that is proven.  While it
has none, it speaks on the one that the peer dialled: a peer may be where only it can dial.  Each
message goes out on one stream; what was written to two may arrive in another order, which Raft
takes as it takes loss.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from etcdpy.consensus.interfaces import RandomSource
from etcdpy.consensus.messages import Message
from etcdpy.http.peers.outbox import Outbox
from etcdpy.http.peers.protocol import Cause, PeerLimits
from etcdpy.http.peers.said import Said
from etcdpy.http.peers.stats import AppendStats, FollowerStats, PeerCounters
from etcdpy.http.peers.stream import Ending, IncomingStream, OutgoingStream, PeerStream
from etcdpy.metrics.etcd import ROUND_TRIP_BUCKETS
from etcdpy.metrics.exposition import Histogram

log = logging.getLogger("etcdpy.http.peers")

# What a peer may end a stream with that will not be better on the next one.
_REFUSALS = frozenset({Cause.BROKEN, Cause.REMOVED})
_ABSENCES = frozenset({Cause.UNREACHABLE, Cause.SILENT})
_GOODBYES = {Cause.STOPPED: "the peer stops", Cause.REMOVED: "this member was removed"}
# Streams that a peer may have dialled: one, and the one that it is about to leave.
_INCOMING_MAX = 2


class DialError(Exception):
    """The peer was not reached, or would not have us."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Dialer(Protocol):
    """Opens streams; `dialer` does, over aiohttp."""

    async def open_stream(self, peer: "Peer", url: str) -> OutgoingStream:
        """Return a stream to `peer` at `url`.  Raises: DialError."""


class PeerEvents(Protocol):
    """What a peer tells the transport that it belongs to."""

    appends: AppendStats

    def deliver(self, peer: "Peer", messages: Sequence[Message], size_bytes: int) -> None:
        """Hand on a batch of `peer`.  Raises: PeerError for one that is not admitted."""

    def peer_unreachable(self, peer: "Peer") -> None:
        """Messages to `peer` may have been lost."""

    def peer_lost(self, peer: "Peer") -> None:
        """`peer` can't be heard any more, and not by this member's doing."""

    def dial_failed(self, peer: "Peer", cause: Cause) -> None:
        """`peer` was not reached, or would not have us, or ended our stream with a reason."""

    def incoming_ended(self, peer: "Peer", ending: Ending) -> None:
        """A stream that `peer` had dialled has ended."""


class Peer:
    """One other member.  Made and used on one loop; `start`, then `stop`, once each."""

    def __init__(
        self,
        member_id: int,
        urls: Sequence[str],
        *,
        dialer: Dialer,
        events: PeerEvents,
        limits: PeerLimits,
        random_source: RandomSource,
        said: Said,
        is_guest: bool = False,
    ) -> None:
        """`said` is of all guests, and outlives them."""
        assert urls
        self.member_id = member_id
        self.urls = tuple(urls)  # where this member knows it to be
        self._told_urls: tuple[str, ...] = ()  # where it says itself that it is
        self.is_guest = is_guest
        self.version = ""  # as it said last
        self.counters = PeerCounters()
        self.latency = FollowerStats()
        self.round_trips = Histogram.of_durations(ROUND_TRIP_BUCKETS)  # of pings
        self.active_since_s: float | None = None  # on the loop's clock
        self._dialer = dialer
        self._events = events
        self._limits = limits
        self._random = random_source
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(
            member_id,
            limits,
            counters=self.counters,
            latency=self.latency,
            appends=events.appends,
            on_dropped=lambda: events.peer_unreachable(self),
        )
        self._outgoing: list[OutgoingStream] = []  # the newest last; all but that one will end
        self._incoming: list[IncomingStream] = []  # the newest last
        self._is_heard = False
        self._url_position = 0
        self._failures = 0  # attempts in a row
        self._is_worth_a_poke = True
        self._poked = asyncio.Event()
        self._moved: asyncio.Future[None] = self._loop.create_future()
        self._said: set[Cause] = set()  # of our dialling: logged since the last connection
        self._said_of_incoming: set[Cause] = set()
        self._said_of_guests = said
        self._task: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Begin to dial."""
        self._task = self._loop.create_task(self._run())

    async def stop(self, goodbye: Cause = Cause.STOPPED) -> None:
        """End all streams; what was written already gets a moment to leave.

        `goodbye` is what the peer is told of it.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._outbox.forget()
        streams: list[PeerStream] = [*self._outgoing, *self._incoming]
        for outgoing in self._outgoing:
            ending = Ending(Cause.STOPPED, "this member stops", is_ours=True)
            outgoing.end(ending, is_flushed=True)
        for incoming in self._incoming:
            incoming.dismiss(goodbye, _GOODBYES[goodbye], is_ours=True)
        if not streams:
            return
        await asyncio.wait([s.closed for s in streams], timeout=self._limits.goodbye_s)
        for stream in streams:
            stream.abort()
            await stream.wait_closed()

    def update_urls(self, urls: Sequence[str]) -> None:
        """Dial at `urls` from now on.

        A stream to an address that is not among them stays in use until one to a new address is
        proven: what is on its way must not be lost.
        """
        assert urls
        if tuple(urls) == self.urls:
            return
        current = self.current_url
        is_kept = bool(self._outgoing) and current in urls
        self.urls = tuple(urls)
        self._url_position = self.urls.index(current) if is_kept else 0
        if not is_kept and not self._moved.done():
            self._moved.set_result(None)
        self._failures = 0
        self.poke(is_urgent=True)

    def hear_urls(self, urls: Sequence[str]) -> None:
        """Dial at `urls` too, where the peer says that it is.

        Who lags behind the change that moved the leader learns of it only from that leader, which
        goes on only when it is answered.
        """
        self._told_urls = tuple(urls)

    def poke(self, *, is_urgent: bool = False) -> None:
        """Try at once again: the peer was just heard of.  One that refuses us gains nothing."""
        if is_urgent or self._is_worth_a_poke:
            self._poked.set()

    def send(self, messages: Sequence[Message]) -> None:
        """Write `messages`, or keep them for a moment, or drop them; returns at once."""
        self._outbox.send(messages)

    # What is seen

    @property
    def current_url(self) -> str:
        """Where the peer is, or will next be, dialled."""
        addresses = self._addresses
        return addresses[self._url_position % len(addresses)]

    @property
    def _addresses(self) -> tuple[str, ...]:
        """All places at which the peer may be, the known ones first."""
        return self.urls + tuple(url for url in self._told_urls if url not in self.urls)

    @property
    def incoming(self) -> IncomingStream | None:
        """The newest stream that the peer has dialled, None while there is none."""
        return self._incoming[-1] if self._incoming else None

    @property
    def round_trip_s(self) -> float:
        """How long the last ping took, 0 while there is no stream of ours."""
        return self._outgoing[-1].round_trip_s if self._outgoing else 0.0

    @property
    def queued_count(self) -> int:
        """How many messages wait."""
        return self._outbox.queued_count

    # Streams

    def opened(self, stream: OutgoingStream, version: str) -> None:
        """Take a stream that the dialer has opened; called before anything can happen to it."""
        for older in self._outgoing:
            if older.is_ending or not older.is_proven:  # else it is needed until this one is proven
                older.end(Ending(Cause.STOPPED, "the peer has moved", is_ours=True))
                older.abort()
        self._outgoing.append(stream)
        stream.round_trips = self.round_trips
        self._outbox.is_awaited = False
        self.version = version
        self.counters.streams_opened += 1
        self._streams_changed()

    def accepted(self, stream: IncomingStream, version: str) -> None:
        """Take a stream that the peer has dialled.

        The one before it is heard until it ends: if the peer dials anew only because this member
        has moved, there is more to come on it.
        """
        former = self.incoming
        if former is not None and self._loop.time() - former.heard_s > 2 * self._limits.ping_s:
            self.active_since_s = None  # there was a break, whether or not anybody noticed
        self._incoming.append(stream)
        for older in self._incoming[:-_INCOMING_MAX]:
            older.dismiss(Cause.STOPPED, "there are newer streams", is_ours=True)
        self.version = version
        self.counters.streams_accepted += 1
        self._streams_changed()
        self.poke()

    def proven(self, stream: PeerStream) -> None:
        """Note that the peer has been heard on a stream; one of ours replaces older ones."""
        self._streams_changed()
        if not isinstance(stream, OutgoingStream):
            return
        self._said &= _REFUSALS
        if self._may_say("established"):
            log.info("established a TCP streaming connection with peer %x", self.member_id)
        for older in self._outgoing[: self._outgoing.index(stream)]:
            moved = Ending(Cause.STOPPED, "the peer has moved", is_ours=True)
            older.end(moved, is_flushed=True)

    def writable(self, stream: PeerStream) -> None:
        """Go on with what waits: the stream takes more again."""
        if stream is self._outbox.stream:
            self._outbox.flush()

    def received(self, messages: Sequence[Message], size_bytes: int) -> None:
        """Hand on a batch that came on any stream.  Raises: PeerError if it is not admitted."""
        self._events.deliver(self, messages, size_bytes)

    def ended(self, stream: PeerStream, ending: Ending) -> None:
        """Note the end of a stream."""
        was_heard, was_spoken_on = self._is_heard, stream is self._outbox.stream
        newest = [*self._outgoing[-1:], *self._incoming[-1:]]
        is_superseded = stream not in newest
        self._outgoing = [one for one in self._outgoing if one is not stream]
        self._incoming = [one for one in self._incoming if one is not stream]
        if was_spoken_on:
            self.latency.connection_lost()
        self._streams_changed()
        if was_spoken_on and not ending.is_ours:
            self._events.peer_unreachable(self)
        if isinstance(stream, OutgoingStream) and not ending.is_ours:
            self._outgoing_ended(stream, ending)
        elif isinstance(stream, IncomingStream) and not is_superseded:
            self._incoming_ended(stream, ending)
        if was_heard and not self._is_heard and not ending.is_ours:
            self._events.peer_lost(self)

    def _outgoing_ended(self, stream: OutgoingStream, ending: Ending) -> None:
        if not stream.is_proven or ending.cause in _REFUSALS:
            self._dial_failed(ending.cause, ending.message)
            return
        self._failures = 0
        self._said.clear()
        self._is_worth_a_poke = True
        if self._may_say("lost ours"):
            log.warning(
                "lost the TCP streaming connection with peer %x (%s)",
                self.member_id,
                ending.message,
            )

    def _incoming_ended(self, stream: IncomingStream, ending: Ending) -> None:
        """Tell of the end of a stream; what the peer breaks again and again is said once."""
        self._events.incoming_ended(self, ending)
        if ending.is_ours:
            return
        if ending.cause is Cause.BROKEN:
            is_new = ending.cause not in self._said_of_incoming
            self._said_of_incoming.add(ending.cause)
        else:
            is_new = stream.is_proven
            self._said_of_incoming.clear()
        if is_new and self._may_say(f"lost theirs: {ending.cause}"):
            log.warning(
                "lost the TCP streaming connection from peer %x (%s)",
                self.member_id,
                ending.message,
            )

    def _streams_changed(self) -> None:
        """Choose anew which stream to speak on, and note whether the peer is active.

        It is when it hears us and we hear it.
        """
        way = next(self._ways(), None)
        self._outbox.speak_on(way)
        is_two_way = any(one.is_two_way and one.is_proven for one in self._outgoing)
        self._is_heard = bool(self._incoming) or is_two_way
        is_active = self._is_heard and way is not None and way.is_proven
        if is_active and self.active_since_s is None:
            self.active_since_s = self._loop.time()
            if self._may_say("active"):
                log.info("peer %x became active", self.member_id)
        elif not is_active and self.active_since_s is not None:
            self.active_since_s = None
            self.counters.disconnected += 1
            if self._may_say("inactive"):
                log.info("peer %x became inactive", self.member_id)

    def _may_say(self, what: str) -> bool:
        """Tell whether to log what has happened: with a guest each thing once, ever."""
        return not self.is_guest or self._said_of_guests.is_new(f"{self.member_id:x}", what)

    def _ways(self) -> Iterator[PeerStream]:
        """Yield the streams on which the peer can be spoken to, the best first."""
        outgoing = [one for one in reversed(self._outgoing) if not one.is_ending]
        yield from (one for one in outgoing if one.is_proven)
        for one in reversed(self._incoming):
            if one.is_two_way and one.is_proven and not one.is_ending:
                yield one
        yield from outgoing

    # Dialling

    async def _run(self) -> None:
        while True:
            try:
                stream = await self._dialer.open_stream(self, self.current_url)
            except DialError as error:
                self._dial_failed(error.cause, str(error))
                self._url_position = (self._url_position + 1) % len(self._addresses)
            except Exception as error:  # an edge: this task is all that ever dials the peer
                log.exception("dialling peer %x failed", self.member_id)
                self._dial_failed(Cause.UNREACHABLE, str(error))
            else:
                await self._hold(stream)
            self._outbox.give_up()
            await self._back_off()
            self._outbox.is_awaited = True

    async def _hold(self, stream: OutgoingStream) -> None:
        """Wait until a stream has ended or the peer has moved."""
        ends: list[asyncio.Future[Any]] = [stream.closed, self._moved]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._moved.done():
            self._moved = self._loop.create_future()

    def _dial_failed(self, cause: Cause, message: str) -> None:
        self.counters.dials_failed += 1
        self._is_worth_a_poke = cause in _ABSENCES or cause is Cause.UNKNOWN
        if cause not in self._said:
            self._said.add(cause)
            # Members start one after the other: not to reach one is no error yet.
            level = logging.WARNING if cause in _ABSENCES else logging.ERROR
            if self._may_say(f"dialled: {cause}"):
                log.log(level, "peer %x at %s: %s", self.member_id, self.current_url, message)
        self._events.dial_failed(self, cause)

    async def _back_off(self) -> None:
        """Wait before the next attempt: longer each time, less when the peer is heard of."""
        limits = self._limits
        delay_s = min(limits.backoff_max_s, limits.backoff_min_s * 2 ** min(self._failures, 16))
        self._failures += 1
        # Between a half and the whole, so that two members do not go on colliding.
        delay_s *= 0.5 + self._random.randrange(1024) / 2048
        try:
            async with asyncio.timeout(delay_s):
                await self._poked.wait()
        except TimeoutError:
            pass
        self._poked.clear()
