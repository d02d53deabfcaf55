"""SimulatedMember: one boot of one member.  Core, pump, store, apply and tree are the real ones.

What is stood in for is what knows asyncio, threads and sockets: here the driver's loop is
events of the scheduler, under the same rules (consensus/driver.py): what arrives while a frame is
being written is the next batch; an action is begun when the one before it is done; a write or an
fsync takes virtual time, and its effect on the disk happens at its end, or at a crash in part.
The rows of a snapshot are taken some at a time, between batches (etcdpy/snapshotter.py).
Start-up is that of `etcdpy.startup.bootstrap` without its settings.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, cast

from etcdpy.apply import Applications
from etcdpy.clustering.membership import apply_change
from etcdpy.consensus.core import Raft
from etcdpy.consensus.messages import (
    ConfChange,
    Entry,
    Message,
    Role,
    SnapshotMeta,
)
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
from etcdpy.errors import FatalError
from etcdpy.store.files import Files
from etcdpy.store.storage import Limits
from etcdpy.tree import members, snapshot
from etcdpy.tree.capture import Capture
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event
from etcdpy.tree.snapshot import Row
from tests.simulation.disk import open_store
from tests.simulation.host import Host, Outcome, Promise
from tests.simulation.scheduler import SECOND
from tests.simulation.watching import Session

if TYPE_CHECKING:
    from asyncio import Future

CLIENT_PATIENCE = 2 * SECOND  # virtual; several elections
EPOCH_NS = 1_700_000_000 * SECOND  # what the simulated clocks show at the start
CLUSTER_ID = 1
SYNC_TICKS = 25  # half a second of the profile's ticks
SYNC_LIMIT = 2  # small, so that what expires at once takes several entries
DIGEST_PERIOD = 16  # applied entries between two looks at the whole tree
SLICE_ROWS_MAX = 8  # rows of a snapshot taken at a time, of a tree of some fifty nodes


class SimulatedMember:
    """A member from its start to its end; a restart is another object on the same disk."""

    def __init__(
        self,
        host: Host,
        files: Files,
        *,
        member_id: int,
        boot: int,
        founders: Sequence[ConfChange],
        random: Random,
        clock_skew: int,
    ) -> None:
        """Start on what `files` holds, or found or join a cluster if they are empty.

        Raises: FatalError if the disk can't be used.
        """
        self.id = member_id
        self.is_dead = False
        self.paused_until = 0
        self.disk_slowness = 1
        self.sessions: dict[int, Session] = {}  # connected here
        self._host = host
        self._random = random
        self._clock_skew = clock_skew
        limits = Limits(
            host.profile.segment_bytes, host.profile.ahead_bytes, wals_max=2, snapshots_max=2
        )
        self.storage, self.tree, meta = open_store(files, member_id, founders, limits)
        self.applications = self._new_applications(boot, meta.index)
        profile = host.profile
        config = RaftConfig(
            member_id,
            election_ticks=profile.election_ticks,
            heartbeat_ticks=profile.heartbeat_ticks,
            append_bytes_max=profile.append_bytes_max,
            inflight_count_max=profile.inflight_count_max,
            apply_count_max=profile.apply_count_max,
            removed=members.removed_ids(self.tree),
        )
        self.core = Raft(config, self.storage, random)
        self.pump = Pump(self.core)
        self.seen_commit = 0  # for the invariants: what was looked at
        self.seen_event = self.tree.index
        self.seen_matches: dict[int, int] = {}
        self.seen_last = self.storage.last_index()
        self.led_term = 0
        self.writing: Persist | Install | None = None
        self.saving: SnapshotMeta | None = None
        self._capture: Capture | None = None  # of the next snapshot's rows
        self._moving_rows: Iterator[Row] = iter(())
        self._rows: list[Row] = []  # those taken so far; all of them while `saving`
        self._snapshot_after = meta.index + profile.snapshot_count  # the next one's earliest place
        self._actions: Sequence[Action] = ()
        self._position = 0
        self._is_scheduled = False
        self._is_running = False  # in the midst of a batch: what comes in waits
        self._ticks = 0
        self._reads: dict[int, Callable[[int], None]] = {}
        self._last_token = 0
        self._init_inbox()

    def _init_inbox(self) -> None:
        self._messages: list[Message] = []
        self._has_ticked = False
        self._proposals: list[bytes] = []
        self._changes: list[ConfChange] = []
        self._tokens: list[int] = []
        self._transfer_to = 0
        self._unreachable: list[int] = []
        self._reports: list[SnapshotReport] = []
        self._has_input = False
        self._has_rare = False  # anything but messages and ticks

    def _new_applications(self, boot: int, applied: int) -> Applications:
        return Applications(
            self.tree,
            member_id=self.id,
            boot=boot,
            applied=applied,
            on_conf_change=self._apply_conf_change,
            on_sync=_ignore_sync,
        )

    def _apply_conf_change(self, change: ConfChange) -> bool:
        return apply_change(self.tree, change, CLUSTER_ID) is None

    # ---- what can be seen of it

    @property
    def is_leader(self) -> bool:
        """Whether it leads."""
        return self.core.state.role is Role.LEADER

    @property
    def now_ns(self) -> int:
        """Its wall clock."""
        return EPOCH_NS + self._host.scheduler.now + self._clock_skew

    @property
    def applied(self) -> int:
        """The last index that is applied."""
        return self.applications.applied

    # ---- what comes in

    def receive(self, message: Message) -> None:
        """Take a message of a peer."""
        self._messages.append(message)
        self._wake(is_rare=False)

    def report_snapshot(self, to: int, is_ok: bool) -> None:
        """Hear how the sending of a snapshot ended."""
        self._reports.append(SnapshotReport(to, is_ok))
        self._wake()

    def report_unreachable(self, member_id: int) -> None:
        """Hear that messages to a member may have been lost."""
        self._unreachable.append(member_id)
        self._wake()

    def propose(self, command: Command, on_done: Callable[[Outcome], None]) -> None:
        """Replicate a client's command."""
        deadline_s = (self._host.scheduler.now + CLIENT_PATIENCE) / SECOND
        promise = cast("Future[Event]", Promise(on_done))
        self._proposals.append(self.applications.register(command, promise, deadline_s))
        self._wake()

    def propose_for_nobody(self, command: Command) -> None:
        """Replicate a command that nobody waits for."""
        self._proposals.append(self.applications.wrap(command))
        self._wake()

    def propose_change(self, change: ConfChange) -> None:
        """Replicate a configuration change."""
        self._changes.append(change)
        self._wake()

    def read(self, on_ready: Callable[[int], None]) -> None:
        """Call `on_ready` with the applied index when a read here is current."""
        self._last_token += 1
        self._reads[self._last_token] = on_ready
        self._tokens.append(self._last_token)
        self._wake()

    def transfer(self, to: int) -> None:
        """Have `to` lead."""
        self._transfer_to = to
        self._wake()

    def tick(self) -> None:
        """Let its clock tick once."""
        self._ticks += 1
        self.applications.withdraw(self._host.scheduler.now / SECOND, lambda _: b"timed out")
        if self._ticks % SYNC_TICKS == 0 and self.is_leader and self.tree.has_expiring:
            self.propose_for_nobody(Command(CommandKind.SYNC, self.now_ns, limit=SYNC_LIMIT))
        self._has_ticked = True
        self._wake(is_rare=False)

    def start(self) -> None:
        """Begin: announce itself, and run a first batch."""
        urls = (f"http://{self.id:x}",)
        self.propose_for_nobody(members.publish(self.id, f"m{self.id:x}", urls, self.now_ns))

    def pause(self, until: int) -> None:
        """Do nothing before `until`."""
        self.paused_until = max(self.paused_until, until)

    # ---- its end

    def end(self) -> None:
        """Die: nothing of it happens any more."""
        self.is_dead = True
        for session in list(self.sessions.values()):
            session.disconnect()
        self.sessions.clear()
        self.applications.withdraw_all(b"server stopped")
        self._reads.clear()

    def write_in_part(self) -> None:
        """Do what was being written, on a disk that is armed to end the process in its midst."""
        if self.writing is not None:
            self._write(self.writing)
        if self.saving is not None:
            self._save(self.saving)

    def _fail(self, error: FatalError) -> None:
        self._host.failed(self, error)

    # ---- the loop, as in consensus/driver.py

    def _wake(self, *, is_rare: bool = True) -> None:
        self._has_input = True
        if is_rare:
            self._has_rare = True
        if self._is_scheduled or self._is_running or self.writing is not None:
            return
        now = self._host.scheduler.now
        turn = self._host.profile.turn
        if not turn and self.paused_until <= now:
            self._run()
            return
        self._is_scheduled = True
        self._host.scheduler.at(max(now + turn, self.paused_until), self._turn, None)

    def _turn(self, _: None) -> None:
        self._is_scheduled = False
        if not self.is_dead and self.writing is None:
            if self.paused_until > self._host.scheduler.now:
                self._wake()
            else:
                self._run()

    def _run(self) -> None:
        self._is_running = True
        try:
            self._begin()
            self._execute()
        except FatalError as error:
            self._fail(error)
        self._is_running = False

    def _begin(self) -> None:
        self._actions = self.pump.begin(self._take_batch())
        self._position = 0
        self._host.stepped(self)

    def _take_batch(self) -> Batch:
        messages, has_ticked = self._messages, self._has_ticked
        if not self._has_rare:  # most batches are messages and a tick at most
            self._messages = []
            self._has_ticked = self._has_input = False
            return Batch(messages, int(has_ticked))
        batch = Batch(
            messages,
            int(has_ticked),
            self._proposals,
            self._changes,
            self._tokens,
            self._transfer_to,
            self._unreachable,
            self._reports,
        )
        self._init_inbox()
        return batch

    def _execute(self) -> None:
        host = self._host
        while True:
            actions = self._actions
            while self._position < len(actions):
                action = actions[self._position]
                self._position += 1
                if isinstance(action, (Persist, Install)):
                    self._begin_writing(action)
                    if isinstance(action, Install):
                        return
                else:
                    self._do(action)
                    if self.is_dead:
                        return
            if self.writing is not None:
                return
            if not self.pump.is_persisting:
                break
            must_apply = not self._proposals
            self._actions = self.pump.persisted(must_apply=must_apply)
            self._position = 0
            host.stepped(self)
            if not must_apply:
                for action in self._actions:
                    self._do(action)
                self._begin()
        self._maybe_snapshot()
        if self._has_input or self.pump.has_work:
            self._wake_later()

    def _begin_writing(self, action: Persist | Install) -> None:
        self.writing = action
        delay = self.draw_disk_time()
        self._host.scheduler.after(delay, self._written, None)
        self._host.writing(self, delay)

    def _wake_later(self) -> None:
        """Run the next batch in an event of its own: the loop does not starve its timers."""
        if not self._is_scheduled:
            self._is_scheduled = True
            now = self._host.scheduler.now
            self._host.scheduler.at(max(now, self.paused_until), self._turn, None)

    def draw_disk_time(self) -> int:
        """Return how long a write and its fsync take now."""
        profile = self._host.profile
        spread = profile.sync_max - profile.sync_min
        return (profile.sync_min + int(self._random.random() * spread)) * self.disk_slowness

    def _do(self, action: Action) -> None:
        if isinstance(action, (SendNow, SendAfterPersist)):
            self._host.send(self, action.messages)
        elif isinstance(action, Apply):
            self._apply(action.entries)
        elif isinstance(action, ReleaseReads):
            for token in action.tokens:
                self._reads.pop(token)(self.applied)
        elif isinstance(action, SendSnapshot):
            self._host.send_snapshot(self, action.request)
        elif isinstance(action, SoftStateChanged):
            self._host.soft_state_changed(self, action)

    def _apply(self, entries: Sequence[Entry]) -> None:
        """Apply in slices that end where members compare their trees."""
        refused: list[int] = []
        position = 0
        while position < len(entries):
            index = entries[position].index
            stop = position + DIGEST_PERIOD - index % DIGEST_PERIOD
            part = entries[position:stop]
            refused += self.applications.apply(part)
            self._host.applied(self, part)
            position = stop
        self.pump.applied(entries[-1].index, refused)
        changes = [entry.index for entry in entries if entry.kind]
        if changes:
            self._host.conf_applied(self, changes[-1])

    def _written(self, _: None) -> None:
        action = self.writing
        if self.is_dead or action is None:
            return
        now = self._host.scheduler.now
        if self.paused_until > now:
            self._host.scheduler.at(self.paused_until, self._written, None)
            return
        self._is_running = True
        try:
            self._write(action)
            self.writing = None
            if isinstance(action, Persist):
                self.storage.stabilise(*action)
                self._host.persisted(self, action.entries)
            else:
                self._install(action)
            self._execute()
        except FatalError as error:
            self._fail(error)
        self._is_running = False

    def _write(self, action: Persist | Install) -> None:
        if isinstance(action, Persist):
            self.storage.write(*action)
        else:
            self.storage.install(action.meta, action.hard_state)

    # ---- snapshots

    def want_snapshot(self) -> None:
        """Take a snapshot soon, however few entries it is worth."""
        self._snapshot_after = self.storage.snapshot_meta().index
        self._wake()

    def _maybe_snapshot(self) -> None:
        is_due = self.applied > self._snapshot_after
        if not is_due or self._capture is not None or self.saving is not None:
            return
        if self._applied_meta() is None:
            return
        self._capture = Capture(self.tree)
        self._moving_rows = self._capture.moving_rows()
        self._rows = []
        self._host.scheduler.after(self.draw_disk_time(), self._take_rows, self._capture)

    def _applied_meta(self) -> SnapshotMeta | None:
        """Return the place of what is applied, None while a received snapshot is being put there.

        As the driver's `applied_meta`, for the member's `snapshotter`.
        """
        state = self.core.state
        if state.log.pending_snapshot is not None:
            return None
        return SnapshotMeta(self.applied, state.log.term(self.applied), state.conf)

    def _take_rows(self, capture: Capture) -> None:
        """Take some rows; what is applied before the next ones changes the tree under them."""
        if self.is_dead:
            return
        scheduler = self._host.scheduler
        if self.paused_until > scheduler.now:
            scheduler.at(self.paused_until, self._take_rows, capture)
            return
        count = 1 + int(self._random.random() * SLICE_ROWS_MAX)
        before = len(self._rows)
        self._rows += islice(self._moving_rows, count)
        if len(self._rows) == before + count:
            scheduler.after(self.draw_disk_time(), self._take_rows, capture)
            return
        self._capture = None
        self._end_capture(capture)
        capture.close()

    def _end_capture(self, capture: Capture) -> None:
        """Take the last rows, whose place is that of the snapshot, and begin to write the file."""
        meta = self._applied_meta()
        if meta is None or capture.is_void:
            self._host.snapshot_given_up()
            return
        self._rows = [capture.header(), *self._rows, *capture.last_rows()]
        self.saving = meta
        self._snapshot_after = meta.index + self._host.profile.snapshot_count
        self._host.scheduler.after(self.draw_disk_time() * 3, self._saved, None)

    def _saved(self, _: None) -> None:
        meta = self.saving
        if self.is_dead or meta is None:
            return
        try:
            self._save(meta)
            self.saving = None
        except FatalError as error:
            self._fail(error)

    def _save(self, meta: SnapshotMeta) -> None:
        """Write the snapshot, and let go of what it stands for."""
        self.storage.save_snapshot(meta, self._rows)
        if meta.index > self.storage.snapshot_meta().index:
            self.storage.snapshot_saved(meta)
            index = meta.index - self._host.profile.tail_count
            if index >= self.storage.first_index():
                self.core.compact(index)
            self.storage.purge()

    def _install(self, action: Install) -> None:
        self.storage.installed(action.meta, action.hard_state)
        reader = self.storage.open_snapshot()
        assert reader is not None
        with reader:
            tree = snapshot.restore(reader.rows())
        self.applications.replace(tree, action.meta.index)
        self._snapshot_after = action.meta.index + self._host.profile.snapshot_count
        self._host.installed(self)

    @property
    def is_busy(self) -> bool:
        """Whether a crash now would be in the midst of a write."""
        return self.writing is not None or self.saving is not None


def _ignore_sync(command: Command) -> None:
    """Nothing waits for a SYNC here: the leader's next tick proposes another."""
    del command
