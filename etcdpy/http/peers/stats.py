"""What a member counts of its peers: plain integers, read when statistics are asked for.

A file of its own because these are values without sockets or clocks; whoever counts brings the
time along.
Source: spec/observability.md sections 3.1 and 3.2.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: A follower that was never heard of has this minimum: the reference's largest number.
_NEVER_MS = float(2**63)
#: Rates are those of the last so many messages, and of none if the newest is older than this.
RATE_SAMPLES_MAX = 200
RATE_AGE_S_MAX = 1.0
#: Appends whose answer is awaited: as many as Raft lets be in flight.
AWAITED_COUNT_MAX = 256


@dataclass(slots=True)
class PeerCounters:
    """Totals of one peer since it became one."""

    sent_bytes: int = 0
    sent_frames: int = 0
    sent_messages: int = 0
    received_bytes: int = 0
    received_frames: int = 0
    received_messages: int = 0
    dropped_messages: int = 0  # for lack of a connection, or of room
    dials_failed: int = 0
    streams_opened: int = 0  # by us
    streams_accepted: int = 0
    snapshots_sent: int = 0
    snapshots_failed: int = 0
    snapshots_received: int = 0
    snapshots_refused: int = 0
    disconnected: int = 0  # times that the peer was active and then was not


@dataclass(slots=True)
class TransportCounters:
    """Totals of all peers and strangers together."""

    rejected: Counter[str] = field(default_factory=Counter)  # by Cause: those that dialled us
    failed: Counter[str] = field(default_factory=Counter)  # by Cause: those that we dialled


class Rate(NamedTuple):
    """How much a second."""

    messages: float
    size_bytes: float


class RateWindow:
    """The rate of the last messages."""

    __slots__ = ("_samples", "_size_bytes")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._size_bytes = 0

    def add(self, now_s: float, size_bytes: int) -> None:
        """Count one message; the time must not go back."""
        samples = self._samples
        samples.append((now_s, size_bytes))
        self._size_bytes += size_bytes
        if len(samples) > RATE_SAMPLES_MAX:
            self._size_bytes -= samples.popleft()[1]

    def rate(self, now_s: float) -> Rate:
        """Return the rate, 0 if nothing came of late or if no time lies between what came."""
        samples = self._samples
        if not samples or now_s - samples[-1][0] > RATE_AGE_S_MAX:
            samples.clear()
            self._size_bytes = 0
            return Rate(0.0, 0.0)
        elapsed_s = samples[-1][0] - samples[0][0]
        if elapsed_s <= 0:
            return Rate(0.0, 0.0)
        return Rate(len(samples) / elapsed_s, self._size_bytes / elapsed_s)


class AppendStats:
    """The appends that this member has received and sent, for `/v2/stats/self`."""

    __slots__ = ("_received", "_sent", "received_count", "sent_count")

    def __init__(self) -> None:
        self.received_count = 0
        self.sent_count = 0
        self._received = RateWindow()
        self._sent = RateWindow()

    def received(self, now_s: float, size_bytes: int) -> None:
        """Count an append from the leader."""
        self.received_count += 1
        self._received.add(now_s, size_bytes)

    def sent(self, now_s: float, size_bytes: int) -> None:
        """Count an append to one follower."""
        self.sent_count += 1
        self._sent.add(now_s, size_bytes)

    def render(self, now_s: float) -> dict[str, Any]:
        """Return the fields in the API's order; a rate of 0 is left out."""
        rendered: dict[str, Any] = {}
        for word, count, window in (
            ("recv", self.received_count, self._received),
            ("send", self.sent_count, self._sent),
        ):
            rendered[f"{word}AppendRequestCnt"] = count
            rate = window.rate(now_s)
            if rate.messages:
                rendered[f"{word}PkgRate"] = rate.messages
            if rate.size_bytes:
                rendered[f"{word}BandwidthRate"] = rate.size_bytes
        return rendered


class FollowerStats:
    """How long one follower takes to answer appends, for `/v2/stats/leader`."""

    __slots__ = (
        "_awaited",
        "_current_ms",
        "_maximum_ms",
        "_minimum_ms",
        "_square_sum",
        "_sum",
        "failed_count",
        "succeeded_count",
    )

    def __init__(self) -> None:
        self.succeeded_count = 0
        self.failed_count = 0
        self._current_ms = 0.0
        self._minimum_ms = _NEVER_MS
        self._maximum_ms = 0.0
        self._sum = 0.0
        self._square_sum = 0.0
        self._awaited: deque[tuple[int, float]] = deque(maxlen=AWAITED_COUNT_MAX)

    def append_sent(self, last_index: int, now_s: float) -> None:
        """Note that an append up to `last_index` left."""
        self._awaited.append((last_index, now_s))

    def append_failed(self) -> None:
        """Note that an append could not be sent."""
        self.failed_count += 1

    def answered(self, index: int, now_s: float) -> None:
        """Note an answer: the follower has all up to `index`.

        It is a sample for one append that ended there, and for all before it whose answers were
        lost; an empty append that followed it, as a probe, has an answer of its own to come.
        """
        awaited = self._awaited
        while awaited and awaited[0][0] <= index:
            last_index, sent_s = awaited.popleft()
            self._succeeded((now_s - sent_s) * 1000)
            if last_index == index:
                break

    def connection_lost(self) -> None:
        """Forget what is awaited: it was lost, or its answer will be."""
        self.failed_count += len(self._awaited)
        self._awaited.clear()

    def _succeeded(self, latency_ms: float) -> None:
        self.succeeded_count += 1
        self._current_ms = latency_ms
        self._sum += latency_ms
        self._square_sum += latency_ms * latency_ms
        self._minimum_ms = min(self._minimum_ms, latency_ms)
        self._maximum_ms = max(self._maximum_ms, latency_ms)

    def render(self) -> dict[str, Any]:
        """Return the follower's object of the API, fields in its order, latencies in ms."""
        average = deviation = 0.0
        if self.succeeded_count:
            average = self._sum / self.succeeded_count
            # Rounding can put the difference of two nearly equal numbers below zero.
            variance = self._square_sum / self.succeeded_count - average * average
            deviation = math.sqrt(max(0.0, variance))
        return {
            "latency": {
                "current": self._current_ms,
                "average": average,
                "standardDeviation": deviation,
                "minimum": self._minimum_ms,
                "maximum": self._maximum_ms,
            },
            "counts": {"fail": self.failed_count, "success": self.succeeded_count},
        }
