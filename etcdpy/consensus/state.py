"""State: every field of the core, by lifetime, each with its invariant.

A file of its own so that the duties (election, replication, reads, membership, proposals) can
share it without knowing each other's callers.  It holds no rule of the protocol but two that
all of them need: how a message leaves, and what is forgotten when the term or the role changes.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from etcdpy.consensus.interfaces import RandomSource, Storage
from etcdpy.consensus.log import RaftLog
from etcdpy.consensus.messages import (
    KINDS_AFTER_PERSIST,
    ConfChange,
    ConfState,
    HardState,
    Message,
    ReadState,
    Role,
    SnapshotMeta,
    SnapshotRequest,
    SoftState,
)
from etcdpy.consensus.progress import Inflights, Progress, ProgressState
from etcdpy.errors import FatalError

# A read's name is drawn below this, then counted up: far from the 64-bit bound of the wire.
_CONTEXT_START_MAX = 2**62


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """The bounds and the clock of one member's core.  Ticks are the driver's, not seconds."""

    member_id: int
    election_ticks: int = 10  # a follower campaigns after [election_ticks, 2 * election_ticks)
    heartbeat_ticks: int = 1
    append_bytes_max: int = 1 << 20  # entries in one append; one entry may be larger
    inflight_count_max: int = 256  # appends on their way to one member
    inflight_bytes_max: int = 16 << 20  # 16 full appends: a slow link holds no more memory
    uncommitted_bytes_max: int = 64 << 20  # the leader appends no more before some are applied
    kept_bytes_max: int = 512 << 20  # memory of what is kept for a member that gets a snapshot
    held_count_max: int = 16_384  # proposals that wait for a leader: more than there are clients
    held_bytes_max: int = 256 << 20
    held_ticks_max: int = 70  # who proposed has been told that it failed: 7 s by default
    reads_count_max: int = 4_096  # reads that wait for a leader or a round, of all members
    apply_count_max: int = 1_024  # entries in one slice of applying
    apply_bytes_max: int = 4 << 20
    removed: Collection[int] = ()  # ids that left the cluster for good before this start

    def __post_init__(self) -> None:
        assert self.member_id > 0
        assert 0 < self.heartbeat_ticks < self.election_ticks
        assert self.append_bytes_max <= self.inflight_bytes_max
        assert min(self.inflight_count_max, self.reads_count_max, self.apply_count_max) > 0
        assert min(self.held_count_max, self.held_bytes_max, self.uncommitted_bytes_max) > 0
        assert min(self.held_ticks_max, self.kept_bytes_max) > 0


class Held(NamedTuple):
    """A proposal that waits until somebody can take it, or until `until_tick`."""

    data: bytes
    until_tick: int


class ReadRequest(NamedTuple):
    """A read that somebody wants served: `context` is the asker's name for it."""

    sender: int
    context: int


@dataclass(frozen=True, slots=True)
class ReadRound:
    """One round of heartbeats that proves, for all of `requests`, that the leader still leads."""

    context: int  # what the heartbeats carry, unique within the term
    index: int  # the commit index when the round began
    requests: list[ReadRequest]
    acknowledged: set[int]  # members that answered, this one included


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """A configuration change that was handed out to be applied."""

    index: int
    change: ConfChange


@dataclass(slots=True)
class Counters:
    """What happened, in plain integers, for whoever asks."""

    elections_started: int = 0
    proposals_dropped: int = 0
    forwards_refused: int = 0  # addressed to the leader of another term, or a second delivery
    changes_refused: int = 0
    reads_dropped: int = 0
    messages_misdirected: int = 0
    strangers_refused: int = 0  # who is in no configuration here, and said what can't be


class State:
    """All that one member's core knows.  Only the modules of the core change it."""

    def __init__(self, config: RaftConfig, storage: Storage, random_source: RandomSource) -> None:
        """Start as a follower with what `storage` recovered.

        Raises: FatalError if what was recovered does not fit together.
        """
        hard_state, meta = storage.initial_state()
        self.config = config
        self.random = random_source
        self.counters = Counters()
        self._init_member(meta)
        self.log = RaftLog(storage, hard_state, meta)
        if hard_state.term < self.log.last_term:
            raise FatalError(
                f"hard state of term {hard_state.term} with a log of term {self.log.last_term}"
            )
        self._init_term(hard_state)
        self._init_leadership()
        self._init_queues()
        self.reset_progress()

    def _init_member(self, meta: SnapshotMeta) -> None:
        """Set what outlives terms."""
        self.id = self.config.member_id
        self.voters: tuple[int, ...] = meta.conf.voters  # ascending; as applied
        self.learners: tuple[int, ...] = meta.conf.learners  # ascending, none also a voter
        self.removed: set[int] = set(self.config.removed)  # ids are never used again
        self.is_removed = self.id in self.removed
        # Handed out with committed entries, not yet reported as applied; ascending by index.
        self.applying_changes: deque[AppliedChange] = deque()
        # Of the committed entries up to `changes_scanned_to`, the last change's index, 0 if none.
        self.last_change_index = 0
        self.changes_scanned_to = 0
        # A change waits for a durable commit index of at least this, 0 before the first.
        self.commit_due = 0

    def _init_term(self, hard_state: HardState) -> None:
        """Set what belongs to the current term and role."""
        self.term = hard_state.term
        self.vote = hard_state.vote  # 0 for none in this term
        self.persisted_hard_state = hard_state  # what is on disk; its commit may lag
        self.leader_id = 0  # 0 when none is known
        self.role = Role.FOLLOWER
        self.told_soft_state = SoftState()  # what the last Ready told
        self.votes: dict[int, bool] = {}  # member id -> granted, of the campaign going on
        self.election_elapsed = 0  # ticks since the leader was heard of, or since the last check
        self.election_timeout = 0  # in [election_ticks, 2 * election_ticks), drawn anew each time
        self.draw_election_timeout()

    def _init_leadership(self) -> None:
        """Set what only a leader uses; all of it is forgotten with the role."""
        self.progress: dict[int, Progress] = {}  # of every voter and learner, this one included
        self.heartbeat_elapsed = 0  # ticks
        self.transfer_to = 0  # who shall lead instead; 0 when no transfer goes on
        self.transfer_elapsed = 0  # ticks since it was asked for
        self.pending_change_index = 0  # no change is proposed before this is applied
        self.term_start_index = 0  # this leader's first entry; nothing before proves a commit
        self.uncommitted_bytes = 0  # data of own-term entries not yet handed out to be applied
        self.appended_bytes = 0  # memory of all that was appended in this term, compacted or not
        self.is_append_due = False  # the log or the commit index grew since the last broadcast
        # sender -> contexts of its forwarded proposals taken in this term, oldest first.
        self.forwards_taken: dict[int, OrderedDict[int, None]] = {}
        self.read_round: ReadRound | None = None
        self.read_round_count = 0  # rounds begun in this term

    def _init_queues(self) -> None:
        """Set what waits, and what the next Ready will hand out."""
        self.ticks = 0  # since the start
        # Proposals that nobody can take yet, and encoded changes; both ascend by `until_tick`.
        self.held: deque[Held] = deque()
        self.held_changes: deque[Held] = deque()
        self.held_bytes = 0  # of both
        self.reads_waiting: list[ReadRequest] = []  # for a leader, a round or its first commit
        # context -> token of this member's own unanswered reads.  Contexts begin at a random
        # number: an answer to a read of an earlier start must not answer one of this.
        self.own_reads: dict[int, int] = {}
        self.next_context = self.random.randrange(_CONTEXT_START_MAX) + 1
        self.read_retry_elapsed = 0  # ticks since own reads were last sent
        self.messages: list[Message] = []
        self.messages_after_persist: list[Message] = []
        self.snapshot_requests: list[SnapshotRequest] = []
        self.read_states: list[ReadState] = []

    @property
    def conf(self) -> ConfState:
        """The configuration as applied."""
        return ConfState(self.voters, self.learners)

    @property
    def hard_state(self) -> HardState:
        """What has to be on disk before anything that depends on it leaves."""
        return HardState(self.term, self.vote, self.log.commit)

    @property
    def is_leader(self) -> bool:
        """Whether this member leads."""
        return self.role is Role.LEADER

    @property
    def is_voter(self) -> bool:
        """Whether this member has a vote."""
        return self.id in self.voters

    def is_member(self, member_id: int) -> bool:
        """Whether somebody is in the configuration as applied, which may lag behind."""
        return member_id in self.voters or member_id in self.learners

    @property
    def is_sole_voter(self) -> bool:
        """Whether this member alone is a quorum."""
        return self.voters == (self.id,)

    def draw_context(self) -> int:
        """Return a name for a read or a forward that no other start of any member uses."""
        self.next_context += 1
        return self.next_context

    def draw_election_timeout(self) -> None:
        """Choose when to campaign next, so that members seldom do at once."""
        ticks = self.config.election_ticks
        self.election_timeout = ticks + self.random.randrange(ticks)

    def new_progress(self, next_index: int) -> Progress:
        """Return what is known of a member of which nothing is known."""
        config = self.config
        return Progress(next_index, Inflights(config.inflight_count_max, config.inflight_bytes_max))

    def reset_progress(self) -> None:
        """Forget what was known of the members' logs."""
        next_index = self.log.last_index + 1
        self.progress = {
            member_id: self.new_progress(next_index) for member_id in (*self.voters, *self.learners)
        }
        if self.id in self.progress:
            own = self.progress[self.id]
            own.match = self.log.durable
            own.state = ProgressState.REPLICATE

    def post(self, message: Message) -> None:
        """Send `message`: put it into the list that its type belongs to."""
        assert message.to != self.id
        if message.kind in KINDS_AFTER_PERSIST:
            self.messages_after_persist.append(message)
        else:
            self.messages.append(message)

    def reset(self, term: int) -> None:
        """Forget what belongs to the role, and the vote if the term is a new one."""
        assert term >= self.term
        if term != self.term:
            self.term = term
            self.vote = 0
        self.leader_id = 0
        self.votes.clear()
        self.election_elapsed = 0
        self.draw_election_timeout()
        self._init_leadership()
        self.reset_progress()
        # Others ask the new leader again by themselves; this member's own reads stay.
        self.reads_waiting = [ReadRequest(self.id, context) for context in self.own_reads]

    def become_follower(self, term: int, leader_id: int) -> None:
        """Follow `leader_id`, 0 if it is not known, in `term`."""
        self.reset(term)
        self.role = Role.FOLLOWER
        self.leader_id = leader_id
