"""What consensus needs of others: a Storage, an Applier, a Transport, a source of randomness.

Declared by the consumer; `store.storage`, `http.transport` and the member fulfil them by shape
and import nothing from here but values.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from etcdpy.consensus.messages import Entry, HardState, Message, SnapshotMeta, SnapshotRequest


class RandomSource(Protocol):
    """Seeded randomness from outside, `random.Random` by shape."""

    def randrange(self, stop: int, /) -> int:
        """Return a number of [0, stop)."""


class Flusher(Protocol):
    """Makes files durable beside this process, one at a time, without keeping anybody waiting."""

    def fileno(self) -> int:
        """Return a descriptor that can be read once what was begun has ended."""

    def begin(self, handle: int) -> None:
        """Begin; raises OSError when refused, and then nothing was begun."""

    def end(self) -> None:
        """Take the end of what was begun; raises OSError if it is not durable."""

    def wait(self, handle: int) -> None:
        """Do the same, blocking."""

    def close(self) -> None:
        """Wait for what was begun, and forget it."""


class Storage(Protocol):
    """The log and the hard state: an in-memory view to read, a durable copy to write.

    Invariants: indexes are contiguous; `first_index() == compacted_index + 1`;
    `last_index() >= compacted_index`.  The view changes only by `stabilise` and `compact`, both
    called on the loop; `write`, `begin_write` and `end_write` touch no view, and never run at
    the same time.
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

    def flusher(self) -> Flusher | None:
        """Return a new one for what `begin_write` returns, None where there is only `write`."""

    def begin_write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> int | None:
        """Write the frame, and return the handle that is to be made durable before `end_write`.

        None, and nothing written, if it takes more than that: then it is for `write`.
        Raises: FatalError if the disk refused; the member must stop.
        """

    def end_write(self, error: OSError | None) -> None:
        """Take note of how making it durable ended.  Raises: FatalError if the disk refused."""

    def stabilise(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make what has become durable visible to readers."""

    def compact(self, index: int) -> None:
        """Forget entries up to and including `index` from the view."""


class SnapshotInstaller(Protocol):
    """Puts a snapshot that the leader sent, and that lies verified beside, in the log's place.

    Apart from Storage because it concerns the application too: the member fulfils it over its
    store and its tree.  A member that never has peers needs none.
    """

    def write(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Make the received snapshot at `meta` the newest durable one.  Blocking.

        After it a restart begins with this snapshot, this hard state and an empty log; a crash
        inside it leaves that or what was before.  Runs in the thread that owns the files.

        Raises: FatalError if the disk refused; the member must stop.
        """

    def stabilise(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Make it visible: the storage's view is empty after `meta`, the tree is the snapshot's."""


class Applier(Protocol):
    """What the driver hands results to, on the loop, in log order, each exactly once."""

    def apply(self, entries: Sequence[Entry]) -> Collection[int] | None:
        """Apply committed entries, in order.

        Return the indexes of those configuration changes that the application refuses; every
        member must refuse the same.  None means none.
        """


class Transport(Protocol):
    """The way to the other members.  Delivery is not promised, order neither."""

    def send(self, messages: Sequence[Message]) -> None:
        """Take `messages`, each with its `to`, and return at once; what can't be sent is lost."""

    def send_snapshot(self, request: SnapshotRequest) -> None:
        """Begin to stream a durable snapshot to `request.to`, and return at once.

        It is the one at `request.message.snapshot`, or a newer one with the message changed to
        its place.  The receiver verifies all bytes and then steps the message.  The driver must
        be told how it ended, whatever happens: `Driver.report_snapshot`.
        """
