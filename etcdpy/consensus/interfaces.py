"""What the driver needs of others: a Storage to keep the log, an Applier to give entries to.

Declared by the consumer; `store.storage` and the member fulfil them by shape and import nothing
from here but values.
"""

from collections.abc import Sequence
from typing import Protocol

from etcdpy.consensus.messages import Entry, HardState, SnapshotMeta


class Storage(Protocol):
    """The log and the hard state: an in-memory view to read, a durable copy to write.

    Invariants: indexes are contiguous; `first_index() == compacted_index + 1`;
    `last_index() >= compacted_index`.  The view changes only by `stabilise` and `compact`, both
    called on the loop; `write` runs in the one thread that owns the file and touches no view.
    """

    def initial_state(self) -> tuple[HardState, SnapshotMeta]:
        """Return what recovery found: the hard state and the snapshot that the log follows."""

    def first_index(self) -> int:
        """Return the index of the first entry that can be read."""

    def last_index(self) -> int:
        """Return the index of the last durable entry, the snapshot's if there is none."""

    def term(self, index: int) -> int:
        """Return the term at `index`, from `first_index() - 1` to `last_index()`.

        Raises: LookupError outside that range (compacted or not there yet).
        """

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        """Return entries of [low, high), at least one, then as many as fit `bytes_max`.

        Raises: LookupError if `low` is compacted or `high` is past the end.
        """

    def snapshot_meta(self) -> SnapshotMeta:
        """Return the newest durable snapshot's place, the empty one if there is none."""

    def write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write one frame and fsync it.  Blocking.  Entries may replace a conflicting tail.

        Raises: FatalError if the disk refused; the member must stop.
        """

    def stabilise(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make what `write` has made durable visible to readers."""

    def compact(self, index: int) -> None:
        """Forget entries up to and including `index` from the view."""


class Applier(Protocol):
    """What the driver hands results to, on the loop, in log order, each exactly once."""

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply committed entries, in order."""
