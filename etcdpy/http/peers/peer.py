"""Peer: one other member, seen from here: its queue, its dialling, its two streams.

A file of its own because everything about one peer is bounded and decided without a look at the
others, so that a slow or dead one costs them nothing.

Messages are written at once while the stream takes them.  While it is full, or a dial is under
way, they wait in a bounded queue; at any other time they are dropped, and Raft is told, for what
waits longer than one attempt is stale.  What Raft needs it says again.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.interfaces import RandomSource
from etcdpy.consensus.messages import Message, MessageKind
from etcdpy.http.peers.frames import HEAD_BYTES
from etcdpy.http.peers.protocol import Cause, PeerLimits
from etcdpy.http.peers.stats import AppendStats, FollowerStats, PeerCounters
from etcdpy.http.peers.stream import Ending, IncomingStream, OutgoingStream
from etcdpy.metrics.etcd import ROUND_TRIP_BUCKETS
from etcdpy.metrics.exposition import Histogram

log = logging.getLogger("etcdpy.http.peers")

# What a peer may end a stream with that will not be better on the next one.
_REFUSALS = frozenset({Cause.BROKEN, Cause.REMOVED})
_ABSENCES = frozenset({Cause.UNREACHABLE, Cause.SILENT})
_GOODBYES = {Cause.STOPPED: "the peer stops", Cause.REMOVED: "this member was removed"}
# A message's own fields, and an entry's beside its data, as msgpack writes them, at most.
_MESSAGE_BYTES = 128
_ENTRY_BYTES = 32


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

    def peer_unreachable(self, peer: "Peer") -> None:
        """Messages to `peer` may have been lost."""

    def dial_failed(self, peer: "Peer", cause: Cause) -> None:
        """`peer` was not reached, or would not have us, or ended our stream with a reason."""


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
        is_guest: bool = False,
    ) -> None:
        assert urls
        self.member_id = member_id
        self.urls = tuple(urls)  # where this member knows it to be
        self._told_urls: tuple[str, ...] = ()  # where it says itself that it is
        self.is_guest = is_guest
        self.version = ""  # as it said last
        self.counters = PeerCounters()
        self.latency = FollowerStats()
        self.round_trips = Histogram.of_durations(ROUND_TRIP_BUCKETS)  # of pings
        self.incoming: IncomingStream | None = None
        self.active_since_s: float | None = None  # on the loop's clock
        self._dialer = dialer
        self._events = events
        self._limits = limits
        self._random = random_source
        self._loop = asyncio.get_running_loop()
        self._outgoing: OutgoingStream | None = None
        self._is_dialing = True  # what comes before the first attempt waits for it
        self._queue: list[Message] = []
        self._queue_bytes = 0
        self._url_position = 0
        self._failures = 0  # attempts in a row
        self._is_worth_a_poke = True
        self._poked = asyncio.Event()
        self._said: set[Cause] = set()  # of our dialling: logged since the last connection
        self._said_of_incoming: set[Cause] = set()
        self._task: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Begin to dial."""
        self._task = self._loop.create_task(self._run())

    async def stop(self, goodbye: Cause = Cause.STOPPED) -> None:
        """End both streams; what was written already gets a moment to leave.

        `goodbye` is what the peer is told of it.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._is_dialing = False
        self._take_queue()
        ending = Ending(Cause.STOPPED, "this member stops", is_ours=True)
        streams: list[OutgoingStream | IncomingStream] = []
        if self._outgoing is not None:
            self._outgoing.end(ending, is_flushed=True)
            streams.append(self._outgoing)
        if self.incoming is not None:
            self.incoming.dismiss(goodbye, _GOODBYES[goodbye], is_ours=True)
            streams.append(self.incoming)
        if not streams:
            return
        await asyncio.wait([s.closed for s in streams], timeout=self._limits.goodbye_s)
        for stream in streams:
            stream.abort()
            await stream.wait_closed()

    def update_urls(self, urls: Sequence[str]) -> None:
        """Dial at `urls` from now on; a stream to an address that is not among them ends."""
        assert urls
        if tuple(urls) == self.urls:
            return
        current = self.current_url
        is_kept = self._outgoing is not None and current in urls
        self.urls = tuple(urls)
        self._url_position = self.urls.index(current) if is_kept else 0
        if not is_kept and self._outgoing is not None:
            self._outgoing.end(
                Ending(Cause.STOPPED, "the peer has moved", is_ours=True), is_flushed=True
            )
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
    def round_trip_s(self) -> float:
        """How long the last ping took, 0 while there is no connection."""
        return 0.0 if self._outgoing is None else self._outgoing.round_trip_s

    @property
    def queued_count(self) -> int:
        """How many messages wait."""
        return len(self._queue)

    def streams_changed(self) -> None:
        """Note anew whether the peer is active, which is: it hears us, and we hear it."""
        outgoing = self._outgoing
        is_active = outgoing is not None and outgoing.is_proven and self.incoming is not None
        if is_active and self.active_since_s is None:
            self.active_since_s = self._loop.time()
            log.info("peer %x became active", self.member_id)
        elif not is_active and self.active_since_s is not None:
            self.active_since_s = None
            self.counters.disconnected += 1
            log.info("peer %x became inactive", self.member_id)

    def incoming_ended(self, stream: IncomingStream, ending: Ending) -> None:
        """Note the end of the stream from the peer; what it breaks again and again is said once."""
        self.incoming = None
        self.streams_changed()
        if ending.is_ours:
            return
        if ending.cause is Cause.BROKEN:
            is_new = ending.cause not in self._said_of_incoming
            self._said_of_incoming.add(ending.cause)
        else:
            is_new = stream.is_proven
            self._said_of_incoming.clear()
        if is_new:
            log.warning(
                "lost the TCP streaming connection from peer %x (%s)",
                self.member_id,
                ending.message,
            )

    # Sending

    def send(self, messages: Sequence[Message]) -> None:
        """Write `messages`, or keep them for a moment, or drop them; returns at once."""
        stream = self._outgoing
        if stream is not None and not stream.is_full and not self._queue:
            self._write(stream, messages)
        elif stream is not None or self._is_dialing:
            self._enqueue(messages)
        else:
            self._drop(messages)

    def _write(self, stream: OutgoingStream, messages: Sequence[Message]) -> None:
        limits = self._limits
        if len(messages) > 1 and _size_of(messages) > limits.batch_bytes_max:
            half = len(messages) // 2
            self._write(stream, messages[:half])
            self._write(stream, messages[half:])
            return
        payload = encode_messages(messages)
        if len(payload) > limits.frame_bytes_max:
            log.error("a message to %x is too large to be sent", self.member_id)
            self._drop(messages)
            return
        stream.write(payload)
        counters = self.counters
        counters.sent_frames += 1
        counters.sent_messages += len(messages)
        counters.sent_bytes += len(payload) + HEAD_BYTES
        self._note_appends(messages, len(payload))

    def _note_appends(self, messages: Sequence[Message], size_bytes: int) -> None:
        now = time.monotonic()  # uvloop's clock stands still within a turn, and counts in ms
        share = size_bytes // len(messages)
        for message in messages:
            if message.kind is MessageKind.APPEND:
                self.latency.append_sent(message.index + len(message.entries), now)
                self._events.appends.sent(now, share)

    def _enqueue(self, messages: Sequence[Message]) -> None:
        limits = self._limits
        size = _size_of(messages)
        count = len(self._queue) + len(messages)
        if count > limits.queue_count_max or self._queue_bytes + size > limits.queue_bytes_max:
            self._drop(messages)
            return
        self._queue.extend(messages)
        self._queue_bytes += size

    def _take_queue(self) -> list[Message]:
        queue, self._queue = self._queue, []
        self._queue_bytes = 0
        return queue

    def _flush(self) -> None:
        """Write what waits, as far as the stream takes it."""
        stream = self._outgoing
        queue = self._take_queue()
        position = 0
        while stream is not None and position < len(queue) and not stream.is_full:
            end = _end_of_batch(queue, position, self._limits.batch_bytes_max)
            self._write(stream, queue[position:end])
            position = end
        self._queue = queue[position:]
        self._queue_bytes = _size_of(self._queue)

    def _drop(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        self.counters.dropped_messages += len(messages)
        for message in messages:
            if message.kind is MessageKind.APPEND:
                self.latency.append_failed()
        self._events.peer_unreachable(self)

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
                await stream.wait_closed()
            self._is_dialing = False
            self._drop(self._take_queue())
            await self._back_off()
            self._is_dialing = True

    def opened(self, stream: OutgoingStream, version: str) -> None:
        """Take a stream that the dialer has opened; called before anything can happen to it."""
        self._outgoing = stream
        stream.round_trips = self.round_trips
        self._is_dialing = False
        self.version = version
        self.counters.streams_opened += 1
        self._flush()

    def proven(self) -> None:
        """Note that the peer has answered on the stream: it is a connection, not half of one."""
        self._said &= _REFUSALS
        log.info("established a TCP streaming connection with peer %x", self.member_id)
        self.streams_changed()

    def ended(self, ending: Ending) -> None:
        """Note the end of the stream that was opened."""
        stream, self._outgoing = self._outgoing, None
        assert stream is not None
        self.latency.connection_lost()
        self.streams_changed()
        if ending.is_ours:
            return
        self._events.peer_unreachable(self)
        if stream.is_proven and ending.cause not in _REFUSALS:
            self._failures = 0
            self._said.clear()
            log.warning(
                "lost the TCP streaming connection with peer %x (%s)",
                self.member_id,
                ending.message,
            )
            self._is_worth_a_poke = True
        else:
            self._dial_failed(ending.cause, ending.message)

    def writable(self) -> None:
        """Go on with what waits: the stream takes more again."""
        self._flush()

    def _dial_failed(self, cause: Cause, message: str) -> None:
        self.counters.dials_failed += 1
        self._is_worth_a_poke = cause in _ABSENCES or cause is Cause.UNKNOWN
        if cause not in self._said:
            self._said.add(cause)
            # Members start one after the other: not to reach one is no error yet.
            level = logging.WARNING if cause in _ABSENCES else logging.ERROR
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


def _size_of(messages: Sequence[Message]) -> int:
    """Return an upper bound of the bytes that `messages` pack to."""
    size = 0
    for message in messages:
        size += _MESSAGE_BYTES
        for entry in message.entries:
            size += _ENTRY_BYTES + len(entry.data)
    return size


def _end_of_batch(queue: Sequence[Message], start: int, bytes_max: int) -> int:
    """Return where a batch that begins at `start` ends: after one message, or within the bound."""
    size, end = _size_of(queue[start : start + 1]), start + 1
    while end < len(queue):
        size += _size_of(queue[end : end + 1])
        if size > bytes_max:
            break
        end += 1
    return end
