"""Driver: the asyncio loop that executes the pump's actions, and decides nothing.

A file of its own because it alone, with `writer`, knows asyncio.  There is no task: a batch runs
in one callback of the loop, from all that has arrived to the write of it, which the writer has
done; what arrives while that goes on is the next batch (group commit without a timer).  When the
write has ended, one callback makes it visible, sends what depended on it, begins the next batch's
write if there is one, and then applies and releases reads: the disk does not wait for that.  Where
the loop writes by itself (see `writer`) it is all one callback.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from etcdpy.consensus.core import Raft
from etcdpy.consensus.inbox import BATCH_PROPOSALS_MAX, Inbox
from etcdpy.consensus.interfaces import (
    Applier,
    RandomSource,
    SnapshotInstaller,
    Storage,
    Transport,
)
from etcdpy.consensus.membership import HELD_CHANGES_MAX
from etcdpy.consensus.messages import ConfChange, Message, Role, SnapshotMeta, SoftState
from etcdpy.consensus.pump import (
    Action,
    Apply,
    Batch,
    Install,
    Persist,
    Pump,
    ReleaseReads,
    SendAfterPersist,
    SendNow,
    SendSnapshot,
    SnapshotReport,
    SoftStateChanged,
)
from etcdpy.consensus.state import RaftConfig
from etcdpy.consensus.status import Backlog, Status
from etcdpy.consensus.waiting import WaitingReads
from etcdpy.consensus.writer import Pace, Writer
from etcdpy.errors import RAFT_INTERNAL, TOO_MANY_REQUESTS, EtcdError, FatalError

# What may wait to be stepped; for proposals it is RaftConfig's held_count_max and held_bytes_max.
# Messages: peers resend what is lost.
MESSAGES_COUNT_MAX = 65_536

_TOO_MANY = b"etcdserver: too many requests"
_STOPPED = b"etcdserver: server stopped"


class Driver:
    """One member's consensus on an asyncio loop.  All methods are for the loop's thread."""

    def __init__(
        self,
        raft_config: RaftConfig,
        storage: Storage,
        applier: Applier,
        transport: Transport,
        *,
        tick_s: float,
        random_source: RandomSource,
        on_soft_state: Callable[[SoftState], None] | None = None,
        on_fatal: Callable[[FatalError], None],
        installer: SnapshotInstaller | None = None,
        pace: Pace | None = None,
        spare_s: Callable[[], float] = float,
    ) -> None:
        """Take the parts; nothing runs before `start`.

        `on_fatal` is called once; after it nothing is written, answered or sent any more.
        `installer` may be left out only where no peer can ever send a snapshot.  `pace` says
        which writes are for the loop itself; without one they are as `Pace` finds them.  `spare_s`
        returns for how long the loop was ever awake without need.

        Raises: FatalError if what `storage` recovered does not fit together.
        """
        self._config = raft_config
        self._storage = storage
        self._applier = applier
        self._transport = transport
        self._installer = installer
        self._tick_s = tick_s
        self._pace = pace or Pace()
        self._spare_s = spare_s
        self._on_soft_state = on_soft_state
        self._on_fatal = on_fatal
        self._core = Raft(raft_config, storage, random_source)
        self._pump = Pump(self._core)
        self.status = Status(self._core)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: Writer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_scheduled = False  # a callback that will run a batch is on its way
        self._is_over = False  # stopping, stopped or failed: no further batch begins
        self._is_sending = False  # what was sent last has not left before the loop's next turn
        self._has_failed = False
        self._actions: Sequence[Action] = ()  # of the batch going on
        self._position = 0  # of the action in `_actions` that comes next
        self._writing: Persist | Install | None = None  # by whoever will tell its end
        self._inbox = Inbox()
        self._reads = WaitingReads()
        # Counted for who asks: how many batches had so many proposals, by the bit length of their
        # number less one; and the beats that a leader's peers got too late.
        self.batch_sizes = [0] * (BATCH_PROPOSALS_MAX.bit_length() + 1)
        self.batched_count = 0
        self.late_beats_count = 0

    # ---- life

    def start(self) -> None:
        """Begin to run on the running loop."""
        assert self._loop is None
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self._loop, self._pace, self._spare_s, self._storage.flusher())
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._schedule()

    async def stop(self) -> None:
        """Finish what is being written, apply and answer it, then end; leaves nothing behind."""
        if self._loop is None:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None
        self._reads.fail(self._refusal())

    # ---- what comes in

    def propose(self, data: bytes) -> None:
        """Have `data` replicated; the applier gets it when it is committed, if it ever is.

        Raises: EtcdError 121 if too much waits already, 300 if the member has stopped.
        """
        state, config, inbox = self._core.state, self._config, self._inbox
        count = len(inbox.proposals) + len(state.held)
        size_bytes = inbox.proposals_bytes + state.held_bytes + len(data)
        # The core has the same bounds, and drops of what is taken here only what finds no room
        # beside that which others forward in the same turn.
        if count >= config.held_count_max or size_bytes > config.held_bytes_max or self._is_over:
            raise self._refusal()
        inbox.proposals.append(data)
        inbox.proposals_bytes += len(data)
        if not self._is_scheduled:
            self._schedule()

    def propose_conf_change(self, change: ConfChange) -> None:
        """Have a configuration change replicated, as `propose` does.

        Raises: EtcdError 121 if too many wait already, 300 if the member has stopped.
        """
        count = len(self._inbox.changes) + len(self._core.state.held_changes)
        if count >= HELD_CHANGES_MAX or self._is_over:
            raise self._refusal()
        self._inbox.changes.append(change)
        self._schedule()

    def read_index(self) -> "asyncio.Future[int]":
        """Return a future of an index, done when a read here sees all acknowledged before now.

        It may never be done: the caller bounds the wait, and cancels.

        Raises: EtcdError 121 if too much waits already, 300 if the member has stopped.
        """
        if self._reads.is_full or self._is_over or self._loop is None:
            raise self._refusal()
        future: asyncio.Future[int] = self._loop.create_future()
        self._reads.add(future)
        self._schedule()
        return future

    def step(self, message: Message) -> None:
        """Take a validated message of a peer; one too many is dropped, as a network would."""
        if len(self._inbox.messages) < MESSAGES_COUNT_MAX and not self._is_over:
            self._inbox.messages.append(message)
            self._schedule()

    def transfer_leadership(self, to: int) -> None:
        """Have voter `to` lead instead of whoever does."""
        self._inbox.transfer_to = to
        self._schedule()

    def campaign(self) -> None:
        """Ask for votes without waiting for the election timeout; harmless for a leader.

        Members that hear of their leader ignore it: the first question is a pre-vote.
        """
        self._inbox.must_campaign = True
        self._schedule()

    def advance(self, ticks: int) -> None:
        """Have the next so many ticks of the clock pass at once."""
        self._inbox.ticks_ahead += ticks
        self._schedule()

    def report_unreachable(self, member_id: int) -> None:
        """Tell that messages to a peer may have been lost."""
        if member_id not in self._inbox.unreachable:
            self._inbox.unreachable.append(member_id)
            self._schedule()

    def report_snapshot(self, to: int, *, is_ok: bool) -> None:
        """Tell how `Transport.send_snapshot` ended."""
        self._inbox.snapshot_reports.append(SnapshotReport(to, is_ok))
        self._schedule()

    def compact(self, index: int) -> int:
        """Forget log entries up to and including `index`, or fewer: see `Raft.compact`."""
        return self._core.compact(index)

    def run_in_writer(self, job: Callable[[], None]) -> "asyncio.Future[None]":
        """Do `job` in the thread that owns the log's files, between two frames.

        The future has whatever `job` raises.

        Raises: EtcdError 300 if the member has stopped.
        """
        if self._writer is None or self._loop is None or self._is_over:
            raise self._refusal()
        future: asyncio.Future[None] = self._loop.create_future()

        def end(error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._writer.submit(job, end)
        return future

    def applied_meta(self) -> SnapshotMeta | None:
        """Return the place of what is applied now: a snapshot of the application is at it.

        None while a snapshot of the leader's is being put in the place of it.
        """
        state = self._core.state
        if state.log.pending_snapshot is not None:
            return None
        index = state.log.applied
        return SnapshotMeta(index, state.log.term(index), state.conf)

    @property
    def backlog(self) -> Backlog:
        """How much waits here, now."""
        reads = self._reads
        open_count = reads.count - reads.new_count
        return Backlog(
            len(self._inbox.proposals), len(self._inbox.messages), reads.new_count, open_count
        )

    def _refusal(self) -> EtcdError:
        if self._is_over:
            return EtcdError(RAFT_INTERNAL, _STOPPED)
        return EtcdError(TOO_MANY_REQUESTS, _TOO_MANY)

    # ---- the loop

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._is_over and self._loop is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _tick(self) -> None:
        assert self._loop is not None
        # One tick however late this is, and one for all that pass while a batch is written: the
        # silence of a loop that stood still is not the leader's.
        if self._inbox.has_ticked and self.status.role is Role.LEADER:
            self.late_beats_count += 1
        self._inbox.has_ticked = True
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._schedule()

    def _run(self) -> None:
        """Begin a batch, unless one is being written: then its end begins the next."""
        self._is_scheduled = False
        if self._is_over or self._pump.is_persisting:
            return
        self._guard(self._begin)

    def _begin(self) -> None:
        self._actions = self._pump.begin(self._take_batch())
        self._position = 0
        self._execute()

    def _take_batch(self) -> Batch:
        batch = self._inbox.take(self._reads.ask())
        count = len(batch.proposals)
        if count:
            self.batch_sizes[(count - 1).bit_length()] += 1
            self.batched_count += count
        return batch

    def _execute(self) -> None:
        """Do the actions in order, up to one that has to be waited for."""
        self._is_sending = False
        actions = self._actions
        while self._position < len(actions):
            action = actions[self._position]
            self._position += 1
            if not isinstance(action, (Persist, Install)):
                self._do(action)
            elif not self._write(action):
                return
        if self._writing is not None:
            return
        if self._pump.is_persisting:
            self._persisted()
        elif self._inbox.is_any or self._reads.may_ask or self._pump.has_work:
            self._schedule()

    def _persisted(self) -> None:
        """Do what the end of a batch's write allows, the next batch's write first."""
        must_apply = not self._inbox.proposals or self._is_over
        actions = self._pump.persisted(must_apply=must_apply)
        if must_apply:
            self._actions, self._position = actions, 0
            self._execute()
        else:
            for action in actions:
                self._do(action)
            self._begin()

    def _do(self, action: Action) -> None:
        if isinstance(action, Apply):
            refused = self._applier.apply(action.entries)
            self._pump.applied(action.entries[-1].index, refused or ())
        elif isinstance(action, (SendNow, SendAfterPersist)):
            self._transport.send(action.messages)
            self._is_sending = True
        elif isinstance(action, ReleaseReads):
            self._reads.release(action.tokens, self._core.state.log.applied)
        elif isinstance(action, SendSnapshot):
            self._transport.send_snapshot(action.request)
        elif isinstance(action, SoftStateChanged) and self._on_soft_state is not None:
            self._on_soft_state(action.soft_state)

    def _write(self, action: Persist | Install) -> bool:
        """Write, or have it written; return whether to go on with what follows.

        What is still being written then is `_writing`.
        """
        assert self._loop is not None
        assert self._writer is not None
        if isinstance(action, Install):
            if self._installer is None:
                raise FatalError(f"snapshot {action.meta.index} received by a member without peers")
            self._writing = action
            self._writer.submit(partial(self._installer.write, *action), self._written)
            return False
        if not self._writer.may_write_here(len(action.entries)):
            self._writing = action
            self._write_beside(action)
            return True
        if self._is_sending:  # first let it leave: the peers' disks work while this one's does
            self._position -= 1
            self._loop.call_soon(self._guard, self._execute)
            return False
        self._writer.write_here(partial(self._storage.write, *action))
        self._storage.stabilise(*action)
        return True

    def _write_beside(self, action: Persist) -> None:
        """Have it written, and its end told, while the loop goes on."""
        writer, storage = self._writer, self._storage
        assert writer is not None
        if writer.may_flush() and writer.flush(
            partial(storage.begin_write, *action), self._flushed
        ):
            return
        writer.submit(partial(storage.write, *action), self._written)

    def _flushed(self, error: Exception | None) -> None:
        assert error is None or isinstance(error, OSError)
        self._guard(partial(self._end_write, error))

    def _end_write(self, error: OSError | None) -> None:
        self._storage.end_write(error)
        self._go_on()

    def _written(self, error: Exception | None) -> None:
        """Go on after the thread has written, or end here and now if it could not."""
        if error is not None:
            self._fail(error)
        else:
            self._guard(self._go_on)

    def _go_on(self) -> None:
        written, self._writing = self._writing, None
        if isinstance(written, Persist):
            self._storage.stabilise(*written)
        else:
            assert isinstance(written, Install)
            assert self._installer is not None
            self._installer.stabilise(*written)
        self._execute()

    # ---- the end

    def _guard(self, part: Callable[[], None]) -> None:
        """Run a part of a batch; whatever it raises ends the member."""
        if self._has_failed:  # while this was on its way
            return
        try:
            part()
        except Exception as error:  # an edge: half a batch can't be taken back
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._has_failed:
            return
        self._is_over = self._has_failed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reads.fail(self._refusal())
        if isinstance(error, FatalError):
            self._on_fatal(error)
            return
        fatal = FatalError(f"{type(error).__name__}: {error}")
        fatal.__cause__ = error
        self._on_fatal(fatal)
