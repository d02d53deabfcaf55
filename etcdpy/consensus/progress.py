"""What the leader knows of one member: how far it has come and what is on its way to it.

    PROBE      one append at a time: it is not known where the member's log ends
    REPLICATE  appends follow each other without waiting, bounded by Inflights
    SNAPSHOT   nothing is sent until the member has, or has failed to get, a snapshot

PROBE goes to REPLICATE with the first acknowledgement, back with a rejection or when the member
can't be reached; both go to SNAPSHOT when what the member needs is compacted; SNAPSHOT goes to
PROBE with the transport's report and to REPLICATE with an acknowledgement that reaches the log.
"""

from collections import deque
from enum import IntEnum
from typing import NamedTuple


class ProgressState(IntEnum):
    """How the leader sends to a member."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


class _Flight(NamedTuple):
    last_index: int
    size_bytes: int


class Inflights:
    """Appends sent and not yet acknowledged, bounded by count and by bytes.

    Invariant: last indexes ascend; `size_bytes` is the sum over all of them.  One append may
    pass the byte bound, or an entry larger than the bound could never be sent.
    """

    __slots__ = ("_bytes_max", "_count_max", "_flights", "size_bytes")

    def __init__(self, count_max: int, bytes_max: int) -> None:
        assert count_max > 0
        assert bytes_max > 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._flights: deque[_Flight] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before an acknowledgement."""
        return len(self._flights) >= self._count_max or self.size_bytes >= self._bytes_max

    def add(self, last_index: int, size_bytes: int) -> None:
        """Note an append whose last entry is `last_index`."""
        assert not self.is_full
        assert not self._flights or self._flights[-1].last_index < last_index
        self._flights.append(_Flight(last_index, size_bytes))
        self.size_bytes += size_bytes

    def free_to(self, index: int) -> None:
        """Forget the appends whose last entry is at most `index`."""
        flights = self._flights
        while flights and flights[0].last_index <= index:
            self.size_bytes -= flights.popleft().size_bytes

    def free_first(self) -> None:
        """Forget the oldest, so that a member whose answers were lost can be asked again."""
        if self._flights:
            self.size_bytes -= self._flights.popleft().size_bytes

    def clear(self) -> None:
        """Forget all."""
        self._flights.clear()
        self.size_bytes = 0


class Claim:
    """What the log keeps for a member that a snapshot brings up to date; `retention` has the rules.

    All but `silent_checks` is of the moment when it began.
    """

    __slots__ = ("appended_bytes", "index", "last_index", "silent_checks")

    def __init__(self, index: int, last_index: int, appended_bytes: int) -> None:
        self.index = index  # of the snapshot: what follows it is kept
        self.last_index = last_index  # of the log
        self.appended_bytes = appended_bytes  # State's count
        self.silent_checks = 0  # of the quorum, in a row, between which the member was not heard of


class Progress:
    """One member as its leader sees it.

    Invariants: `match < next`; `match` never goes back within a term: what a member has
    acknowledged is on its disk.
    """

    __slots__ = (
        "claim",
        "commit_sent",
        "inflights",
        "is_probe_sent",
        "is_recent_active",
        "match",
        "next",
        "pending_snapshot",
        "state",
    )

    def __init__(self, next_index: int, inflights: Inflights) -> None:
        self.match = 0  # the highest index known to be on the member's disk, 0 for none
        self.next = next_index  # the first index that the next append carries
        self.state = ProgressState.PROBE
        self.pending_snapshot = 0  # the index of the snapshot on its way, 0 for none
        self.claim: Claim | None = None  # from a snapshot on until the member has caught up
        self.is_recent_active = False  # heard of since the last check of the quorum
        self.is_probe_sent = False  # in PROBE: an append is on its way, wait
        self.commit_sent = 0  # the highest commit index that the member was told
        self.inflights = inflights

    @property
    def is_paused(self) -> bool:
        """Whether an append to the member must wait."""
        if self.state is ProgressState.REPLICATE:
            return self.inflights.is_full
        if self.state is ProgressState.PROBE:
            return self.is_probe_sent
        return True

    def become_probe(self) -> None:
        """Send one append at a time from what is known to match, or from the snapshot sent."""
        floor = self.pending_snapshot if self.state is ProgressState.SNAPSHOT else 0
        self._become(ProgressState.PROBE)
        self.next = max(self.match, floor) + 1

    def become_replicate(self) -> None:
        """Send without waiting, from what matches."""
        self._become(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        """Wait for the snapshot at `index` to arrive."""
        self._become(ProgressState.SNAPSHOT)
        self.pending_snapshot = index

    def fail_snapshot(self) -> None:
        """Forget the snapshot on its way: it did not arrive."""
        assert self.state is ProgressState.SNAPSHOT
        self.pending_snapshot = 0
        self.claim = None
        self.become_probe()

    def _become(self, state: ProgressState) -> None:
        self.state = state
        self.is_probe_sent = False
        self.pending_snapshot = 0
        self.inflights.clear()

    def sent(self, last_index: int, entry_count: int, size_bytes: int) -> None:
        """Note that an append of entries up to `last_index` has left."""
        if self.state is ProgressState.REPLICATE:
            if entry_count:
                self.next = last_index + 1
                self.inflights.add(last_index, size_bytes)
        else:
            assert self.state is ProgressState.PROBE
            self.is_probe_sent = True

    def maybe_update(self, index: int) -> bool:
        """Note that the member holds all up to `index`; return whether that was news."""
        is_news = self.match < index
        if is_news:
            self.match = index
            self.is_probe_sent = False
        self.next = max(self.next, index + 1)
        return is_news

    def maybe_decrease(self, rejected: int, candidate: int) -> bool:
        """Note that an append after `rejected` did not fit; `candidate` is where logs may meet.

        Return whether the rejection was a current one: answers can be late and out of order.
        """
        if self.state is ProgressState.REPLICATE:
            if rejected <= self.match:
                return False
            self.next = self.match + 1
            return True
        if self.next - 1 != rejected:
            return False
        self.next = max(min(rejected, candidate + 1), self.match + 1)
        self.is_probe_sent = False
        return True
