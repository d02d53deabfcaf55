"""Pump: one batch of inputs to ordered actions.  Pure; the driver and the simulator run it.

A file of its own because the order of doing is half of Raft's safety, and here it is data:

    begin      SoftStateChanged, SendNow, SendSnapshot, Persist, Apply, ReleaseReads
    persisted  SendAfterPersist, Apply, ReleaseReads

Where nothing has to be persisted, the second line follows the first in one list; where a received
snapshot is to be installed, Apply and ReleaseReads come before Install, and that before Persist.
Whoever runs the actions does them one after the other and in this order, and calls `applied` when
an Apply is done.  Install is finished before what follows it; a Persist has only to be begun, so
that what is on disk already is applied while the disk works, and both are finished before
`persisted` is called.  A crash is to drop the pump and begin with a new one on what the storage
recovers.  So no vote is asked for or given, and nothing acknowledged, before it is on disk; no
read is answered before its index is applied.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from etcdpy.consensus.core import Raft, Ready
from etcdpy.consensus.messages import (
    ConfChange,
    Entry,
    HardState,
    Message,
    ReadState,
    SnapshotMeta,
    SnapshotRequest,
    SoftState,
)


class SnapshotReport(NamedTuple):
    """How the sending of a snapshot to `to` ended."""

    to: int
    is_ok: bool


class Batch(NamedTuple):
    """All that has arrived since the last batch."""

    messages: Sequence[Message] = ()
    tick_count: int = 0
    proposals: Sequence[bytes] = ()
    changes: Sequence[ConfChange] = ()
    reads: Sequence[int] = ()  # tokens
    transfer_to: int = 0  # 0: no transfer is asked for
    unreachable: Sequence[int] = ()  # members to which messages may have been lost
    snapshot_reports: Sequence[SnapshotReport] = ()
    must_campaign: bool = False


class SoftStateChanged(NamedTuple):
    """Tell the application of another leader or role."""

    soft_state: SoftState


class SendNow(NamedTuple):
    """Send; nothing of it depends on what is about to be persisted."""

    messages: Sequence[Message]


class SendSnapshot(NamedTuple):
    """Begin to stream a snapshot; report how it ended."""

    request: SnapshotRequest


class Apply(NamedTuple):
    """Apply, then call `Pump.applied`."""

    entries: Sequence[Entry]  # ascending, not empty


class ReleaseReads(NamedTuple):
    """Serve these reads: all that they must see is applied."""

    tokens: Sequence[int]


class Install(NamedTuple):
    """Put the received snapshot in the place of log and application state, durably."""

    hard_state: HardState
    meta: SnapshotMeta


class Persist(NamedTuple):
    """Begin to write one frame and fsync it; then make it visible in the storage's view."""

    hard_state: HardState | None  # None: as on disk
    entries: Sequence[Entry]


class SendAfterPersist(NamedTuple):
    """Send; it promises what is on disk by now."""

    messages: Sequence[Message]


Action = (
    SoftStateChanged
    | SendNow
    | SendSnapshot
    | Apply
    | ReleaseReads
    | Install
    | Persist
    | SendAfterPersist
)


class Pump:
    """Turns batches into actions.

    Invariant: between a `begin` that asked to persist and its `persisted` nothing is stepped, so
    that what is being written is what the core holds.
    """

    def __init__(self, core: Raft) -> None:
        self.core = core
        self._persisting: Ready | None = None
        self._reads: list[ReadState] = []  # their index is known, and not applied yet

    @property
    def is_persisting(self) -> bool:
        """Whether `persisted` is owed."""
        return self._persisting is not None

    @property
    def has_work(self) -> bool:
        """Whether `begin` with an empty batch would give any action."""
        return self.core.has_ready

    def begin(self, batch: Batch) -> list[Action]:
        """Step the core with `batch` and return what is to be done.

        Raises: FatalError where a promise of Raft has been broken.
        """
        assert self._persisting is None
        self._step(batch)
        ready = self.core.ready()
        actions: list[Action] = []
        if ready.soft_state is not None:
            actions.append(SoftStateChanged(ready.soft_state))
        if ready.messages:
            actions.append(SendNow(ready.messages))
        actions.extend(map(SendSnapshot, ready.snapshot_requests))
        if not ready.must_persist:
            self._finish(ready, actions)
            return actions
        self._persist(ready, actions)
        self._persisting = ready
        return actions

    def persisted(self, *, must_apply: bool = True) -> list[Action]:
        """Note that all that `begin` asked for is on disk; return what may be done now.

        Unless `must_apply`, what is to be applied is left to the next `begin`, which follows at
        once: it puts the next Persist before it.
        """
        ready = self._persisting
        assert ready is not None
        self._persisting = None
        core = self.core
        if ready.snapshot is not None:
            core.snapshot_installed(ready.snapshot)
        if ready.entries:
            last = ready.entries[-1]
            core.persisted(last.index, last.term)
        if ready.hard_state is not None:
            core.hard_state_persisted(ready.hard_state)
        actions: list[Action] = []
        self._finish(ready, actions, must_apply=must_apply)
        return actions

    def applied(self, index: int, refused: Collection[int] = ()) -> None:
        """Note that an Apply up to `index` is done; the changes at `refused` have no effect."""
        self.core.applied_to(index, refused)

    def _step(self, batch: Batch) -> None:
        core = self.core
        # Messages before ticks: after a pause the leader's heartbeats are all here, and must be
        # heard before the clock says that there were none.
        for message in batch.messages:
            core.step(message)
        for member_id in batch.unreachable:
            core.report_unreachable(member_id)
        for to, is_ok in batch.snapshot_reports:
            core.report_snapshot(to, is_ok=is_ok)
        for _ in range(batch.tick_count):
            core.tick()
        if batch.proposals:
            core.propose(batch.proposals)
        for change in batch.changes:
            core.propose_change(change)
        for token in batch.reads:
            core.read_index(token)
        if batch.transfer_to:
            core.transfer_leadership(batch.transfer_to)
        if batch.must_campaign:
            core.campaign()

    def _persist(self, ready: Ready, actions: list[Action]) -> None:
        """Put in what is to be made durable, and what has to be applied around it."""
        if ready.snapshot is None:
            actions.append(Persist(ready.hard_state, ready.entries))
            self._apply(actions)
            return
        self._apply(actions)
        # The entries after it are in the next frame, so its own commit is all there is.
        assert ready.hard_state is not None
        hard_state = ready.hard_state._replace(commit=ready.snapshot.index)
        actions.append(Install(hard_state, ready.snapshot))
        if ready.entries:
            actions.append(Persist(ready.hard_state, ready.entries))

    def _finish(self, ready: Ready, actions: list[Action], *, must_apply: bool = True) -> None:
        if ready.messages_after_persist:
            actions.append(SendAfterPersist(ready.messages_after_persist))
        if must_apply:
            self._apply(actions)

    def _apply(self, actions: list[Action]) -> None:
        entries = self.core.take_committed()
        if entries:
            actions.append(Apply(entries))
        self._reads.extend(self.core.take_read_states())
        if not self._reads:
            return
        applying = self.core.state.log.applying
        ripe = [read.token for read in self._reads if read.index <= applying]
        if ripe:
            actions.append(ReleaseReads(ripe))
            self._reads = [read for read in self._reads if read.index > applying]
