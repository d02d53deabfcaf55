"""The two ends of a peer stream, once HTTP has let go of the connection.

A file of its own because here is all that happens per batch: no task, no queue and no HTTP, but
one `write` on this side and one callback on the other.  A WebSocket would have to be awaited on
both sides, by tasks that only pass things on, and notices neither damage nor replays.  It is not
slower in itself: measured between two ends in one process (2 busy cores, uvloop, CPU of both), a
batch of 321 bytes costs 16 µs as aiohttp's WebSocket message and 14 µs as a frame, one of 20 kB
21 and 26 µs, the frame's two checksums included.

Rules for changing it: the accepting side speaks only when spoken to, so that nothing is lost
between its answer and the moment when the dialling side listens here; whatever raises PeerError
ends the stream and harms nothing else.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence

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
from etcdpy.http.peers.protocol import Cause
from etcdpy.metrics.etcd import ROUND_TRIP_BUCKETS
from etcdpy.metrics.exposition import Histogram

_TOKEN = struct.Struct("<Q")
_NS_PER_S = 1_000_000_000
_ALL_ONES = 0xFFFFFFFF
# What the acceptor's answers may add up to unread: a dialler that pings and never reads is cut.
_UNREAD_ANSWERS_MAX = 16 * ANSWER_BYTES_MAX


class Ending:
    """How a stream ended: why, and in the words of the log."""

    __slots__ = ("cause", "is_ours", "message")

    def __init__(self, cause: Cause, message: str, *, is_ours: bool = False) -> None:
        self.cause = cause
        self.message = message
        self.is_ours = is_ours  # this member wanted it so


class _Stream(asyncio.Protocol):
    """What both ends share: a transport taken over from HTTP, which is told of its loss."""

    def __init__(
        self,
        transport: asyncio.Transport,
        decoder: FrameDecoder,
        encoder: FrameEncoder,
        on_end: Callable[[Ending], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._decoder = decoder
        self._encoder = encoder
        self._on_end = on_end
        self._ending: Ending | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Done when the socket is closed.  A task that awaited it would cancel it when it is itself
        # cancelled: `wait_closed` does not.
        self.closed: asyncio.Future[Ending] = self._loop.create_future()
        self._former = transport.get_protocol()
        transport.set_protocol(self)

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
        self._on_end(self._ending)

    def eof_received(self) -> bool:
        """Take half an end for the whole: no side of a stream has use for the other's rest."""
        if not self._decoder.is_between_frames:
            self.end(Ending(Cause.BROKEN, "the stream ends within a frame"))
        return False


class OutgoingStream(_Stream):
    """The dialling end: batches out, answers to pings in.

    A ping goes out every `ping_s`; none is sent before the last one was answered, and one that is
    not within `silence_s` shows that the connection is only half there, unless what was written
    before it is still leaving: a slow peer is not a dead one.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        seed: int,
        *,
        ping_s: float,
        silence_s: float,
        write_bytes_max: int,
        on_end: Callable[[Ending], None],
        on_proven: Callable[[], None],
        on_writable: Callable[[], None],
    ) -> None:
        """Take the connection over.

        `on_proven` is called when the peer has answered the first ping.  `write_bytes_max` may
        wait unsent; `on_writable` is called when it has fallen below a quarter of that, after
        `is_full` was true.
        """
        answers = frozenset({FrameKind.PONG, FrameKind.GOODBYE})
        decoder = FrameDecoder(seed ^ _ALL_ONES, answers, ANSWER_BYTES_MAX)
        super().__init__(transport, decoder, FrameEncoder(seed), on_end)
        transport.set_write_buffer_limits(high=write_bytes_max, low=write_bytes_max // 4)
        self._ping_s = ping_s
        self._silence_s = silence_s
        self._on_proven = on_proven
        self._on_writable = on_writable
        self._token = 0
        self._pinged_s = 0.0
        self._alive_s = 0.0  # when there was last a reason to go on waiting for the pong
        self._is_awaiting_pong = False
        self._written_bytes = 0
        self._was_backed_up = False
        self._sent_bytes = 0  # of what was written, taken by the system
        self.is_full = False
        self.is_proven = False  # bytes have gone there and come back
        self.round_trip_s = 0.0  # of the last ping
        # Of all pings; the peer puts in its place one that outlives the stream.
        self.round_trips = Histogram.of_durations(ROUND_TRIP_BUCKETS)
        self._ping()

    def write(self, payload: bytes) -> None:
        """Send one batch of messages, as the codec packed it."""
        head = self._encoder.encode(FrameKind.MESSAGES, payload)
        self._written_bytes += len(head) + len(payload)
        # Two buffers go out by one writev; joining them would copy the batch.
        self._transport.writelines((head, payload))

    def data_received(self, data: bytes) -> None:
        """Take the acceptor's answers."""
        try:
            for frame in self._decoder.feed(data):
                if frame.kind is FrameKind.GOODBYE:
                    self.end(read_goodbye(frame.payload))
                else:
                    self._take_pong(frame.payload)
        except PeerError as error:
            self.end(Ending(Cause.BROKEN, str(error)))

    def pause_writing(self) -> None:
        """Hear that the peer does not read as fast as we write."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Hear that it does again."""
        self.is_full = False
        if self._ending is None:
            self._on_writable()

    def _ping(self) -> None:
        now = time.monotonic()  # uvloop's clock counts in ms
        if self._is_leaving():
            self._alive_s = now
        if not self._is_awaiting_pong:
            self._token += 1
            self._pinged_s = self._alive_s = now
            self._is_awaiting_pong = True
            payload = _TOKEN.pack(self._token)
            self._transport.write(self._encoder.encode(FrameKind.PING, payload) + payload)
        elif now - self._alive_s >= self._silence_s:
            self.end(Ending(Cause.SILENT, f"no answer within {self._silence_s:g} s"))
            return
        self._timer = self._loop.call_later(self._ping_s, self._ping)

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

    def _take_pong(self, payload: bytes) -> None:
        if not self._is_awaiting_pong or payload != _TOKEN.pack(self._token):
            raise PeerError("an answer to no ping of ours")
        self._is_awaiting_pong = False
        self.round_trip_s = time.monotonic() - self._pinged_s
        self.round_trips.observe(int(self.round_trip_s * _NS_PER_S))
        if not self.is_proven:
            self.is_proven = True
            self._on_proven()


class IncomingStream(_Stream):
    """The accepting end: batches in, checked, and handed on in one call each."""

    def __init__(
        self,
        transport: asyncio.Transport,
        seed: int,
        *,
        sender: int,
        to: int,
        frame_bytes_max: int,
        silence_s: float,
        on_messages: Callable[[Sequence[Message], int], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        """Take the connection over.  `on_messages` gets a batch and the bytes that it came in."""
        spoken = frozenset({FrameKind.MESSAGES, FrameKind.PING})
        decoder = FrameDecoder(seed, spoken, frame_bytes_max)
        super().__init__(transport, decoder, FrameEncoder(seed ^ _ALL_ONES), on_end)
        transport.set_write_buffer_limits(high=_UNREAD_ANSWERS_MAX)
        self._sender = sender
        self._to = to
        self._silence_s = silence_s
        self._on_messages = on_messages
        self._heard_s = self._loop.time()
        self.is_proven = False  # a whole frame has come
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take batches and pings."""
        self._heard_s = self._loop.time()
        try:
            for kind, payload in self._decoder.feed(data):
                if self._ending is not None:
                    return
                self.is_proven = True
                if kind is FrameKind.PING:
                    self._answer(FrameKind.PONG, payload)
                    continue
                messages = decode_messages(payload)
                self._check(messages)
                self._on_messages(messages, len(payload) + HEAD_BYTES)
        except PeerError as error:
            self.dismiss(Cause.BROKEN, str(error))

    def dismiss(self, cause: Cause, message: str, *, is_ours: bool = False) -> None:
        """Tell the peer why the stream ends, and end it."""
        if self._ending is None:
            self._answer(FrameKind.GOODBYE, write_goodbye(cause, message))
            self.end(Ending(cause, message, is_ours=is_ours), is_flushed=True)

    def pause_writing(self) -> None:
        """Cut a dialler that does not read our answers."""
        self.end(Ending(Cause.BROKEN, "pings, and reads no answers"))

    def _answer(self, kind: FrameKind, payload: bytes) -> None:
        if len(payload) > ANSWER_BYTES_MAX:
            raise PeerError(f"a ping of {len(payload)} bytes")
        self._transport.write(self._encoder.encode(kind, payload) + payload)

    def _check(self, messages: Sequence[Message]) -> None:
        """Raise PeerError unless all are from this peer to this member, of a stream's kinds."""
        sender, to = self._sender, self._to
        for message in messages:
            if message.sender != sender or message.to != to:
                raise PeerError(
                    f"a message from {message.sender:x} to {message.to:x}"
                    f" on the stream from {sender:x} to {to:x}"
                )
            if message.kind is MessageKind.SNAPSHOT:
                raise PeerError("a snapshot without its bytes")

    def _watch(self) -> None:
        left_s = self._heard_s + self._silence_s - self._loop.time()
        if left_s <= 0:
            self.end(Ending(Cause.SILENT, f"nothing heard for {self._silence_s:g} s"))
            return
        self._timer = self._loop.call_later(left_s, self._watch)


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
