"""What the clients of a cluster under faults asked and were told, by all threads, for the judge.

A call is noted before it is sent and an answer after it has been read, under one lock, so that
what the history calls earlier was earlier.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.simulation.history import Answer, Ask, History, Operation, Seen

#: Few keys at a time, so that clients meet on them, and not for long, so that what a search has to
#: order stays short.
KEYS_AT_A_TIME = 4
KEYS_CALLS_MAX = 300
KEYS_AGE_S = 3.0


@dataclass(frozen=True, slots=True)
class LocalRead:
    """A plain GET: what one member showed of a key at an index."""

    member: str
    key: bytes
    index: int
    node: Seen | None


class Record:
    """All that happened in one run.  `faults` are what was wrong at once, in sentences."""

    def __init__(self) -> None:
        self.history = History()
        self.local_reads: list[LocalRead] = []
        self.faults: list[str] = []
        self.outcomes: Counter[str] = Counter()  # acknowledged, refused, unsent, unknown
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self._seen: dict[bytes, Seen] = {}
        self._shown: dict[str, int] = {}  # by member: the highest index that it has shown
        self._generation = 0
        self._generation_calls = 0
        self._generation_began_s = time.monotonic()

    def pick_key(self, source: Random) -> bytes:
        """Return one of the keys that are in use now."""
        with self._lock:
            now_s = time.monotonic()
            self._generation_calls += 1
            is_old = now_s - self._generation_began_s > KEYS_AGE_S
            if is_old or self._generation_calls > KEYS_CALLS_MAX:
                self._generation += 1
                self._generation_calls = 0
                self._generation_began_s = now_s
            return b"/k/%d/%d" % (self._generation, source.randrange(KEYS_AT_A_TIME))

    def last_seen(self, key: bytes) -> Seen | None:
        """Return what some answer has shown of `key`."""
        with self._lock:
            return self._seen.get(key)

    # Operations that the cluster orders

    def call(
        self,
        ask: Ask,
        key: bytes,
        value: bytes | None = None,
        prev_value: bytes | None = None,
        prev_index: int = 0,
    ) -> Operation:
        """Note a call that is about to be sent."""
        with self._lock:
            return self.history.call(ask, key, value, prev_value, prev_index)

    def withdraw(self, operation: Operation) -> None:
        """Note that a call was not sent."""
        with self._lock:
            self.outcomes["unsent"] += 1
            self.history.by_key[operation.key].remove(operation)

    def answer(self, operation: Operation, answer: Answer) -> None:
        """Note an answer that has been read."""
        with self._lock:
            self.history.answer(operation, answer)
            self.outcomes["refused" if answer.code else "acknowledged"] += 1
            if operation.value is not None and not answer.code:
                created = answer.index if answer.node is None else answer.node.created
                self._seen[operation.key] = Seen(operation.value, answer.index, created)
            elif answer.node is not None:
                self._seen[operation.key] = answer.node

    def lose(self) -> None:
        """Note that a call will have no answer."""
        with self._lock:
            self.outcomes["unknown"] += 1

    def blame(self, fault: str) -> None:
        """Note what may not happen whatever the faults."""
        with self._lock:
            self.faults.append(fault)

    # Reads of one member's own tree

    def shown_by(self, member: str) -> int:
        """Return the highest index that `member` has shown so far."""
        with self._lock:
            return self._shown.get(member, 0)

    def read_locally(self, read: LocalRead, floor: int) -> None:
        """Note a plain GET that was sent after `member` had shown `floor`."""
        with self._lock:
            self.outcomes["acknowledged"] += 1
            self.local_reads.append(read)
            self._shown[read.member] = max(self._shown.get(read.member, 0), read.index)
            if read.index < floor:
                self.faults.append(f"{read} after it had shown {floor}")
