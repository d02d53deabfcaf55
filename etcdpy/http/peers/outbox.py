"""Outbox: what is said to one peer, in which batches, and what waits for a moment to be said.

A file of its own because it is called for every batch of every write, and knows nothing of how
the peer is reached: `peer` tells it on which stream to speak.

Messages are written at once while that stream takes them.  While it is full, or a dial is under
way, they wait in a bounded queue; at any other time they are dropped, and Raft is told, for what
waits longer than one attempt is stale.  What Raft needs it says again.
"""

import logging
import time
from collections.abc import Callable, Sequence

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import HINT_COMMIT_ONLY, Message, MessageKind
from etcdpy.http.peers.frames import HEAD_BYTES
from etcdpy.http.peers.protocol import PeerLimits
from etcdpy.http.peers.stats import AppendStats, FollowerStats, PeerCounters
from etcdpy.http.peers.stream import PeerStream

log = logging.getLogger("etcdpy.http.peers")

# A message's own fields, and an entry's beside its data, as msgpack writes them, at most.
_MESSAGE_BYTES = 128
_ENTRY_BYTES = 32


class Outbox:
    """The messages to one peer; see the module."""

    def __init__(
        self,
        member_id: int,
        limits: PeerLimits,
        *,
        counters: PeerCounters,
        latency: FollowerStats,
        appends: AppendStats,
        on_dropped: Callable[[], None],
    ) -> None:
        """`on_dropped` hears that messages were lost here."""
        self.is_awaited = True  # a stream may be there soon: what comes before the first one waits
        self._member_id = member_id
        self._counters = counters
        self._latency = latency
        self._appends = appends
        self._limits = limits
        self._on_dropped = on_dropped
        self._stream: PeerStream | None = None
        self._queue: list[Message] = []
        self._queue_bytes = 0

    @property
    def stream(self) -> PeerStream | None:
        """The stream that is spoken on."""
        return self._stream

    @property
    def queued_count(self) -> int:
        """How many messages wait."""
        return len(self._queue)

    def speak_on(self, stream: PeerStream | None) -> None:
        """Use another stream from now on, for what waits too."""
        if stream is not self._stream:
            self._stream = stream
            self.flush()

    def send(self, messages: Sequence[Message]) -> None:
        """Write `messages`, or keep them for a moment, or drop them; returns at once."""
        stream = self._stream
        if stream is not None and not stream.is_full and not self._queue:
            self._write(stream, messages)
        elif stream is not None or self.is_awaited:
            self._enqueue(messages)
        else:
            self._drop(messages)

    def flush(self) -> None:
        """Write what waits, as far as the stream takes it."""
        stream = self._stream
        queue = self._take_queue()
        position = 0
        while stream is not None and position < len(queue) and not stream.is_full:
            end = _end_of_batch(queue, position, self._limits.batch_bytes_max)
            self._write(stream, queue[position:end])
            position = end
        self._queue = queue[position:]
        self._queue_bytes = _size_of(self._queue)

    def give_up(self) -> None:
        """Drop what waits unless there is a stream: no other one comes soon."""
        self.is_awaited = False
        if self._stream is None:
            self._drop(self._take_queue())

    def forget(self) -> None:
        """Keep nothing and tell nobody: the peer is one no longer."""
        self.is_awaited = False
        self._stream = None
        self._take_queue()

    def _write(self, stream: PeerStream, messages: Sequence[Message]) -> None:
        limits = self._limits
        if len(messages) > 1 and _size_of(messages) > limits.batch_bytes_max:
            half = len(messages) // 2
            self._write(stream, messages[:half])
            self._write(stream, messages[half:])
            return
        payload = encode_messages(messages)
        if len(payload) > limits.frame_bytes_max:
            log.error("a message to %x is too large to be sent", self._member_id)
            self._drop(messages)
            return
        stream.write(payload)
        counters = self._counters
        counters.sent_frames += 1
        counters.sent_messages += len(messages)
        counters.sent_bytes += len(payload) + HEAD_BYTES
        self._note_appends(messages, len(payload))

    def _note_appends(self, messages: Sequence[Message], size_bytes: int) -> None:
        now = time.monotonic()  # uvloop's clock stands still within a turn, and counts in ms
        share = size_bytes // len(messages)
        for message in messages:
            if message.kind is MessageKind.APPEND:
                if message.hint != HINT_COMMIT_ONLY:
                    self._latency.append_sent(message.index + len(message.entries), now)
                self._appends.sent(now, share)

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

    def _drop(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        self._counters.dropped_messages += len(messages)
        for message in messages:
            if message.kind is MessageKind.APPEND and message.hint != HINT_COMMIT_ONLY:
                self._latency.append_failed()
        self._on_dropped()


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
