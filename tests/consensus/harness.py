"""What the tests of consensus share: a storage in memory, and a cluster of pumps on a wire.

Nothing here knows asyncio.  A member is a pump and a storage; `Cluster` runs their actions in
the order given, carries messages when told to, and lets a test lose, keep and reorder them.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from etcdpy.consensus.core import Raft
from etcdpy.consensus.interfaces import Flusher
from etcdpy.consensus.membership import bootstrap_entries, bootstrap_hard_state
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageKind,
    SnapshotMeta,
    SnapshotRequest,
    SoftState,
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
from etcdpy.consensus.state import RaftConfig, State

_NO_HARD_STATE = HardState()
_NO_SNAPSHOT = SnapshotMeta()
_NOTHING = Batch()
_CONFIG = RaftConfig(1)  # with each member's own id put in


class MemoryStorage:
    """A Storage in memory: what is durable survives `reopened`, the view does not."""

    def __init__(
        self,
        hard_state: HardState = _NO_HARD_STATE,
        meta: SnapshotMeta = _NO_SNAPSHOT,
        entries: Sequence[Entry] = (),
    ) -> None:
        self.hard_state = hard_state
        self.meta = meta
        self.compacted = SnapshotMeta(meta.index, meta.term)
        self.log: list[Entry] = list(entries)
        self.frames: list[tuple[HardState | None, tuple[Entry, ...]]] = []
        self._found = (hard_state, meta)

    def reopened(self) -> "MemoryStorage":
        """Return what a restart finds: only what was made durable."""
        kept = [entry for entry in self.log if entry.index > self.meta.index]
        storage = MemoryStorage(self.hard_state, self.meta, kept)
        storage.frames = self.frames
        return storage

    def initial_state(self) -> tuple[HardState, SnapshotMeta]:
        return self._found

    def first_index(self) -> int:
        return self.compacted.index + 1

    def last_index(self) -> int:
        return self.compacted.index + len(self.log)

    def term(self, index: int) -> int:
        if index == self.compacted.index:
            return self.compacted.term
        if not self.first_index() <= index <= self.last_index():
            raise LookupError(index)
        return self.log[index - self.first_index()].term

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        first = self.first_index()
        if low < first or high > self.last_index() + 1:
            raise LookupError((low, high))
        found: list[Entry] = []
        size_bytes = 0
        for entry in self.log[low - first : high - first]:
            size_bytes += len(entry.data)
            if found and size_bytes > bytes_max:
                break
            found.append(entry)
        return found

    def snapshot_meta(self) -> SnapshotMeta:
        return self.meta

    def write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self.frames.append((hard_state, tuple(entries)))

    def flusher(self) -> Flusher | None:
        return None

    def begin_write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> int | None:
        return None

    def end_write(self, error: OSError | None) -> None:
        raise AssertionError(error)

    def stabilise(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        if hard_state is not None:
            self.hard_state = hard_state
        if entries:
            del self.log[entries[0].index - self.first_index() :]
            self.log.extend(entries)

    def compact(self, index: int) -> None:
        term = self.term(index)
        del self.log[: index - self.compacted.index]
        self.compacted = SnapshotMeta(index, term)

    def snapshot(self, meta: SnapshotMeta) -> None:
        """Take `meta` for the newest durable snapshot, made by this member."""
        self.meta = meta

    def install(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        """Put a received snapshot in the log's place."""
        self.hard_state = hard_state
        self.meta = meta
        self.compacted = SnapshotMeta(meta.index, meta.term)
        self.log = []


def bootstrapped(voters: Iterable[int], learners: Iterable[int] = ()) -> MemoryStorage:
    """Return the storage of a member of a new cluster."""
    changes = [ConfChange(ConfChangeKind.ADD_VOTER, voter) for voter in voters]
    changes += [ConfChange(ConfChangeKind.ADD_LEARNER, learner) for learner in learners]
    entries = bootstrap_entries(changes)
    return MemoryStorage(bootstrap_hard_state(entries), SnapshotMeta(), entries)


def with_log(
    terms: Sequence[int],
    voters: Sequence[int] = (1, 2, 3),
    *,
    learners: Sequence[int] = (),
    term: int | None = None,
    vote: int = 0,
    commit: int = 0,
) -> MemoryStorage:
    """Return a storage whose log has these terms after a snapshot of `voters` at (1, 1).

    Index 1 is the snapshot, so `terms[0]` is the term at index 2.
    """
    entries = [
        Entry(entry_term, index, 0, b"%d" % index) for index, entry_term in enumerate(terms, 2)
    ]
    term = max(terms, default=1) if term is None else term
    meta = SnapshotMeta(1, 1, ConfState(tuple(voters), tuple(learners)))
    return MemoryStorage(HardState(term, vote, max(commit, 1)), meta, entries)


class Member:
    """One pump on one storage, with all that came of it noted."""

    def __init__(
        self,
        config: RaftConfig,
        storage: MemoryStorage,
        *,
        seed: int = 1,
        refused: Collection[int] = (),
    ) -> None:
        self.config = config
        self.storage = storage
        self.seed = seed
        self.refused = refused
        self.applied: list[Entry] = []
        self.released: list[int] = []
        self.soft_states: list[SoftState] = []
        self.sent: list[Message] = []
        self.snapshots: list[SnapshotRequest] = []
        self.trace: list[Action] = []
        self.restart()

    def restart(self) -> None:
        """Crash and start again from what is durable."""
        self.storage = self.storage.reopened()
        self.core = Raft(self.config, self.storage, random.Random(self.seed))
        self.pump = Pump(self.core)
        self.applied = [entry for entry in self.applied if entry.index <= self.storage.meta.index]

    @property
    def state(self) -> State:
        return self.core.state

    def run(self, batch: Batch = _NOTHING) -> list[Action]:
        """Run one batch, and after it all that it leads to; return the actions done."""
        done = self.once(batch)
        while self.pump.has_work:
            done += self.once(Batch())
        return done

    def once(self, batch: Batch = _NOTHING) -> list[Action]:
        """Run exactly one batch."""
        actions = self.pump.begin(batch)
        for action in actions:
            self.do(action)
        done = list(actions)
        if self.pump.is_persisting:
            actions = self.pump.persisted()
            for action in actions:
                self.do(action)
            done += actions
        self.trace += done
        return done

    def do(self, action: Action) -> None:
        """Do one action as the driver does."""
        if isinstance(action, Apply):
            self.applied += action.entries
            self.pump.applied(action.entries[-1].index, self.refused)
        elif isinstance(action, (SendNow, SendAfterPersist)):
            self.sent += action.messages
        elif isinstance(action, Persist):
            self.storage.write(*action)
            self.storage.stabilise(*action)
        elif isinstance(action, Install):
            self.storage.install(*action)
            self.applied = []
        elif isinstance(action, ReleaseReads):
            self.released += action.tokens
        elif isinstance(action, SendSnapshot):
            self.snapshots.append(action.request)
        else:
            assert isinstance(action, SoftStateChanged)
            self.soft_states.append(action.soft_state)

    def take_sent(self) -> list[Message]:
        sent, self.sent = self.sent, []
        return sent

    def step(self, *messages: Message) -> list[Message]:
        """Step `messages` and return what is sent."""
        self.run(Batch(messages=messages))
        return self.take_sent()

    def tick(self, count: int = 1) -> list[Message]:
        for _ in range(count):
            self.run(Batch(tick_count=1))
        return self.take_sent()

    def propose(self, *datas: bytes) -> list[Message]:
        self.run(Batch(proposals=datas))
        return self.take_sent()


class Cluster:
    """Members on a wire that carries a message only when told to."""

    def __init__(self, storages: dict[int, MemoryStorage], config: RaftConfig = _CONFIG) -> None:
        self.members = {
            member_id: Member(replace(config, member_id=member_id), storage, seed=member_id)
            for member_id, storage in storages.items()
        }
        self.wire: list[Message] = []
        self.cut: set[tuple[int, int]] = set()  # (sender, to) that lose everything

    @classmethod
    def of(cls, count: int, config: RaftConfig = _CONFIG) -> "Cluster":
        ids = range(1, count + 1)
        cluster = cls({member_id: bootstrapped(ids) for member_id in ids}, config)
        for member in cluster.members.values():
            member.run()
        return cluster

    def __getitem__(self, member_id: int) -> Member:
        return self.members[member_id]

    def isolate(self, member_id: int) -> None:
        for other in self.members:
            self.cut |= {(member_id, other), (other, member_id)}

    def heal(self) -> None:
        self.cut.clear()

    def collect(self) -> None:
        """Take what members have sent onto the wire, or lose it."""
        for member in self.members.values():
            for message in member.take_sent():
                if (message.sender, message.to) not in self.cut:
                    self.wire.append(message)
            for request in member.snapshots:
                member.run(Batch(snapshot_reports=[SnapshotReport(request.to, True)]))
                if (request.message.sender, request.to) not in self.cut:
                    self.wire.append(request.message)
            member.snapshots = []

    def deliver(self) -> bool:
        """Deliver all that is on the wire, a batch to each member; return whether there was any."""
        self.collect()
        wire, self.wire = self.wire, []
        for member_id in sorted({message.to for message in wire}):
            messages = [message for message in wire if message.to == member_id]
            if member_id in self.members:
                self.members[member_id].run(Batch(messages=messages))
        return bool(wire)

    def settle(self) -> None:
        """Deliver until nothing is on the wire."""
        for _ in range(1000):
            if not self.deliver():
                return
        raise AssertionError("the wire does not become silent")

    def elect(self, member_id: int) -> None:
        member = self.members[member_id]
        member.core.campaign()
        member.run()
        self.settle()
        assert member.state.is_leader

    def tick(self, member_id: int, count: int = 1) -> None:
        for _ in range(count):
            self.members[member_id].run(Batch(tick_count=1))


KIND = MessageKind
