"""The two ends of a peer stream, once HTTP has let go of the connection.

A file of its own because here is all that happens per batch: no task, no queue and no HTTP, but
one `write` on this side and one callback on the other.  A WebSocket would have to be awaited on
both sides, by tasks that only pass things on, and notices neither damage nor replays.  It is not
slower in itself: measured between two ends in one process (2 busy cores, uvloop, CPU of both), a
batch of 321 bytes costs 16 µs as aiohttp's WebSocket message and 14 µs as a frame, one of 20 kB
21 and 26 µs, the frame's two checksums included.

Both ends carry batches: a peer that this member cannot dial is spoken to on the stream that it has
dialled.  Which stream is spoken on is `peer`'s to decide.

Rules for changing it: the accepting side says nothing before it has heard a whole frame, so that
nothing is lost between its answer and the moment when the dialling side listens here; pings are
the dialling side's alone; whatever raises PeerError ends the stream and harms nothing else.
"""

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from etcdpy.consensus.codec import decode_messages
from etcdpy.consensus.messages import Message, MessageKind
from etcdpy.errors import PeerError
from etcdpy.http.peers.frames import (
    ANSWER_BYTES_MAX,
    HEAD_BYTES,
    FrameDecoder,
    FrameEncoder,
    FrameKind,
)
from etcdpy.http.peers.protocol import Cause, Ways
from etcdpy.metrics.etcd import ROUND_TRIP_BUCKETS
from etcdpy.metrics.exposition import Histogram

_TOKEN = struct.Struct("<Q")
_NS_PER_S = 1_000_000_000
_ALL_ONES = 0xFFFFFFFF
# What answers may add up to while nothing is read: a dialler that pings and never reads is cut.
_UNREAD_ANSWERS_MAX = 16 * ANSWER_BYTES_MAX


class Ending:
    """How a stream ended: why, and in the words of the log."""

    __slots__ = ("cause", "is_ours", "message")

    def __init__(self, cause: Cause, message: str, *, is_ours: bool = False) -> None:
        self.cause = cause
        self.message = message
        self.is_ours = is_ours  # this member wanted it so


class StreamOwner(Protocol):
    """Who has a stream, and hears of it on the loop."""

    def proven(self, stream: "PeerStream") -> None:
        """Bytes have come back from the peer: it is a connection, not half of one."""

    def writable(self, stream: "PeerStream") -> None:
        """The stream takes more again, after `is_full` was true."""

    def received(self, messages: Sequence[Message], size_bytes: int) -> None:
        """A batch came, of this peer to this member.  Raises: PeerError to end the stream."""

    def ended(self, stream: "PeerStream", ending: Ending) -> None:
        """The socket is closed."""


class PeerStream(asyncio.Protocol):
    """What both ends share: a transport taken over from HTTP, batches out, and its loss told."""

    def __init__(
        self,
        transport: asyncio.Transport,
        decoder: FrameDecoder,
        encoder: FrameEncoder,
        ways: Ways,
        owner: StreamOwner,
        *,
        is_two_way: bool,
    ) -> None:
        """`is_two_way` is whether the accepting side may carry batches on it too."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._decoder = decoder
        self._encoder = encoder
        self._ways = ways
        self._owner = owner
        self._ending: Ending | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._written_bytes = 0
        self._sent_bytes = 0  # of what was written, taken by the system
        self._was_backed_up = False
        self.is_two_way = is_two_way
        self.is_full = False
        self.is_proven = False
        # Done when the socket is closed.  A task that awaited it would cancel it when it is itself
        # cancelled: `wait_closed` does not.
        self.closed: asyncio.Future[Ending] = self._loop.create_future()
        self._former = transport.get_protocol()
        transport.set_write_buffer_limits(ways.write_bytes_max, ways.write_bytes_max // 4)
        transport.set_protocol(self)

    @property
    def is_ending(self) -> bool:
        """Whether nothing more will be sent or taken."""
        return self._ending is not None

    def write(self, payload: bytes) -> None:
        """Send one batch of messages, as the codec packed it."""
        head = self._encoder.encode(FrameKind.MESSAGES, payload)
        self._written_bytes += len(head) + len(payload)
        # Two buffers go out by one writev; joining them would copy the batch.
        self._transport.writelines((head, payload))

    def end(self, ending: Ending, *, is_flushed: bool = False) -> None:
        """End the stream; what was written and not sent is given up unless `is_flushed`."""
        if self._ending is None:
            self._ending = ending
            if is_flushed:
                self._transport.close()
            else:
                self._transport.abort()

    async def wait_closed(self) -> Ending:
        """Return how the stream ended, when its socket is closed."""
        await asyncio.wait([self.closed])
        return self.closed.result()

    def abort(self) -> None:
        """Close the socket now, whatever is unsent; harmless at any time."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who care, HTTP's protocol included, which keeps lists of its connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._former.connection_lost(exc)
        if self._ending is None:
            self._ending = Ending(Cause.UNREACHABLE, str(exc) if exc else "closed by the peer")
        self.closed.set_result(self._ending)
        self._owner.ended(self, self._ending)

    def eof_received(self) -> bool:
        """Take half an end for the whole: no side of a stream has use for the other's rest."""
        if not self._decoder.is_between_frames:
            self.end(Ending(Cause.BROKEN, "the stream ends within a frame"))
        return False

    def pause_writing(self) -> None:
        """Hear that the peer does not read as fast as we write."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Hear that it does again."""
        self.is_full = False
        if self._ending is None:
            self._owner.writable(self)

    def _write_short(self, kind: FrameKind, payload: bytes) -> None:
        data = self._encoder.encode(kind, payload) + payload
        self._written_bytes += len(data)
        self._transport.write(data)

    def _is_leaving(self) -> bool:
        """Tell whether bytes that had to wait have left since the last look.

        The system takes some for a dead peer too, but only until its own buffer is full.
        """
        unsent = self._transport.get_write_buffer_size()
        sent_bytes = self._written_bytes - unsent
        is_leaving = self._was_backed_up and sent_bytes > self._sent_bytes
        self._was_backed_up = unsent > 0
        self._sent_bytes = sent_bytes
        return is_leaving

    def _prove(self) -> None:
        if not self.is_proven:
            self.is_proven = True
            self._owner.proven(self)

    def _take_messages(self, payload: bytes) -> None:
        """Hand on a batch.  Raises: PeerError unless it is one that the owner takes."""
        messages = decode_messages(payload)
        self._check(messages)
        self._owner.received(messages, len(payload) + HEAD_BYTES)

    def _check(self, messages: Sequence[Message]) -> None:
        """Raise PeerError unless all are from this peer to this member, of a stream's kinds."""
        sender, to = self._ways.sender, self._ways.to
        for message in messages:
            if message.sender != sender or message.to != to:
                raise PeerError(
                    f"a message from {message.sender:x} to {message.to:x}"
                    f" on the stream from {sender:x} to {to:x}"
                )
            if message.kind is MessageKind.SNAPSHOT:
                raise PeerError("a snapshot without its bytes")


class OutgoingStream(PeerStream):
    """The dialling end: pings out, answers and batches in.

    A ping goes out every `ping_s`; none is sent before the last one was answered, and one that is
    not within `silence_s` shows that the connection is only half there, unless something else came
    or what was written before it is still leaving: a slow peer is not a dead one.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        seed: int,
        ways: Ways,
        owner: StreamOwner,
        *,
        is_two_way: bool,
        ping_s: float,
        silence_s: float,
    ) -> None:
        """Take the connection over; it is proven when the peer has answered the first ping."""
        kinds = {FrameKind.PONG, FrameKind.GOODBYE} | (
            {FrameKind.MESSAGES} if is_two_way else set()
        )
        bytes_max = ways.frame_bytes_max if is_two_way else ANSWER_BYTES_MAX
        decoder = FrameDecoder(seed ^ _ALL_ONES, frozenset(kinds), bytes_max)
        encoder = FrameEncoder(seed)
        super().__init__(transport, decoder, encoder, ways, owner, is_two_way=is_two_way)
        self._ping_s = ping_s
        self._silence_s = silence_s
        self._token = 0
        self._pinged_s = 0.0
        self._alive_s = 0.0  # when there was last a reason to go on waiting for the pong
        self._is_awaiting_pong = False
        self.round_trip_s = 0.0  # of the last ping
        # Of all pings; the peer puts in its place one that outlives the stream.
        self.round_trips = Histogram.of_durations(ROUND_TRIP_BUCKETS)
        self._ping()

    def data_received(self, data: bytes) -> None:
        """Take the acceptor's answers and batches."""
        self._alive_s = time.monotonic()
        try:
            for kind, payload in self._decoder.feed(data):
                if self._ending is not None:
                    return
                if kind is FrameKind.MESSAGES:
                    self._take_messages(payload)
                elif kind is FrameKind.GOODBYE:
                    self.end(read_goodbye(payload))
                else:
                    self._take_pong(payload)
        except PeerError as error:
            self.end(Ending(Cause.BROKEN, str(error)))

    def _ping(self) -> None:
        now = time.monotonic()  # uvloop's clock counts in ms
        if self._is_leaving():
            self._alive_s = now
        if not self._is_awaiting_pong:
            self._token += 1
            self._pinged_s = self._alive_s = now
            self._is_awaiting_pong = True
            self._write_short(FrameKind.PING, _TOKEN.pack(self._token))
        elif now - self._alive_s >= self._silence_s:
            self.end(Ending(Cause.SILENT, f"no answer within {self._silence_s:g} s"))
            return
        self._timer = self._loop.call_later(self._ping_s, self._ping)

    def _take_pong(self, payload: bytes) -> None:
        if not self._is_awaiting_pong or payload != _TOKEN.pack(self._token):
            raise PeerError("an answer to no ping of ours")
        self._is_awaiting_pong = False
        self.round_trip_s = time.monotonic() - self._pinged_s
        self.round_trips.observe(int(self.round_trip_s * _NS_PER_S))
        self._prove()


class IncomingStream(PeerStream):
    """The accepting end: batches and pings in, answers and batches out."""

    def __init__(
        self,
        transport: asyncio.Transport,
        seed: int,
        ways: Ways,
        owner: StreamOwner,
        *,
        is_two_way: bool,
        ping_s: float,
        silence_s: float,
    ) -> None:
        """Take the connection over; it is proven when a whole frame has come.

        It is silent when the peer, which pings every `ping_s`, was not heard for `silence_s`.
        """
        spoken = frozenset({FrameKind.MESSAGES, FrameKind.PING})
        decoder = FrameDecoder(seed, spoken, ways.frame_bytes_max)
        encoder = FrameEncoder(seed ^ _ALL_ONES)
        super().__init__(transport, decoder, encoder, ways, owner, is_two_way=is_two_way)
        self._ping_s = ping_s
        self._silence_s = silence_s
        self._unread_bytes = 0  # of answers that were written while the stream was full
        self.heard_s = self._loop.time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take batches and pings."""
        self.heard_s = self._loop.time()
        try:
            for kind, payload in self._decoder.feed(data):
                if self._ending is not None:
                    return
                self._prove()
                if kind is FrameKind.PING:
                    self._answer(FrameKind.PONG, payload)
                else:
                    self._take_messages(payload)
        except PeerError as error:
            self.dismiss(Cause.BROKEN, str(error))

    def dismiss(self, cause: Cause, message: str, *, is_ours: bool = False) -> None:
        """Tell the peer why the stream ends, and end it."""
        if self._ending is None:
            self._answer(FrameKind.GOODBYE, write_goodbye(cause, message))
            self.end(Ending(cause, message, is_ours=is_ours), is_flushed=True)

    def resume_writing(self) -> None:
        """Hear that the peer reads again."""
        self._unread_bytes = 0
        super().resume_writing()

    def _answer(self, kind: FrameKind, payload: bytes) -> None:
        if len(payload) > ANSWER_BYTES_MAX:
            raise PeerError(f"a ping of {len(payload)} bytes")
        if self.is_full:
            self._unread_bytes += len(payload) + HEAD_BYTES
            if self._unread_bytes > _UNREAD_ANSWERS_MAX:
                self.end(Ending(Cause.BROKEN, "pings, and reads no answers"))
                return
        self._write_short(kind, payload)

    def _watch(self) -> None:
        now = self._loop.time()
        if self._is_leaving():  # the peer reads, and pings again when it has come to our answer
            self.heard_s = now
        if now - self.heard_s >= self._silence_s:
            self.end(Ending(Cause.SILENT, f"nothing heard for {self._silence_s:g} s"))
            return
        self._timer = self._loop.call_later(self._ping_s, self._watch)


def write_goodbye(cause: Cause, message: str) -> bytes:
    """Return the payload of the frame that ends a stream."""
    return f"{cause}\n{message}".encode()[:ANSWER_BYTES_MAX]


def read_goodbye(payload: bytes) -> Ending:
    """Return how the acceptor ends the stream.

    Raises: PeerError if it does not say.
    """
    word, _, message = payload.decode("utf-8", "replace").partition("\n")
    try:
        return Ending(Cause(word), message[:1024])
    except ValueError as error:
        raise PeerError("a goodbye without a cause") from error
