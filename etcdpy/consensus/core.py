"""Raft: the state machine of one member.  Calls go in, a Ready comes out; nothing else happens.

A file of its own because it is the whole protocol's table of contents: which message is for
whom in which role, what a message of another term means, and what is handed out.  The duties
are in files of their own.  No clock, no randomness but the seeded source given, no I/O, no
asynchrony: the same calls give the same results.

One round, as the pump does it: any number of `step`, `tick`, `propose`, ...; `ready` once; what
it hands out to disk; `persisted`; `take_committed`; apply it; `applied_to`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from etcdpy.consensus import election, membership, proposals, reads, replication, retention
from etcdpy.consensus.codec import encode_conf_change
from etcdpy.consensus.interfaces import RandomSource, Storage
from etcdpy.consensus.messages import (
    ConfChange,
    Entry,
    HardState,
    Message,
    MessageKind,
    ReadState,
    Role,
    SnapshotMeta,
    SnapshotRequest,
    SoftState,
)
from etcdpy.consensus.state import RaftConfig, State


class Ready(NamedTuple):
    """What one round hands out, and what the caller owes for it.

    A NamedTuple, since one is made for each batch: a frozen dataclass takes three times as long.

    The order is the pump's: `messages` at once; then `hard_state`, `snapshot` and `entries` to
    disk, in one go, if `must_persist`; only then `messages_after_persist`, sorted by type.
    """

    soft_state: SoftState | None  # None: as before
    hard_state: HardState | None  # None: as on disk; to be written with what is written
    entries: Sequence[Entry]  # to be appended, in place of what stands there
    snapshot: SnapshotMeta | None  # to be installed, in place of the whole log
    messages: Sequence[Message]
    messages_after_persist: Sequence[Message]
    snapshot_requests: Sequence[SnapshotRequest]
    # False when at most the commit index moved, and over no change of the configuration: it is
    # known again after a restart.
    must_persist: bool


Handler = Callable[[State, Message], None]


def _ignore(state: State, message: Message) -> None:
    """Do nothing: the message was for a role that this member no longer has."""


_BY_ANYBODY: Mapping[MessageKind, Handler] = {
    MessageKind.APPEND: replication.on_append,
    MessageKind.HEARTBEAT: replication.on_heartbeat,
    MessageKind.SNAPSHOT: replication.on_snapshot,
    MessageKind.PRE_VOTE: election.on_vote_request,
    MessageKind.VOTE: election.on_vote_request,
    MessageKind.READ_INDEX_RESPONSE: reads.on_read_index_response,
    MessageKind.REMOVED: membership.on_removed,
}
_BY_FOLLOWER: Mapping[MessageKind, Handler] = {
    **_BY_ANYBODY,
    MessageKind.PROPOSE: proposals.refuse_forward,
    MessageKind.APPEND_RESPONSE: _ignore,
    MessageKind.HEARTBEAT_RESPONSE: _ignore,
    MessageKind.PRE_VOTE_RESPONSE: election.learn_commit,
    MessageKind.VOTE_RESPONSE: election.learn_commit,
    MessageKind.TIMEOUT_NOW: election.on_timeout_now,
    MessageKind.TRANSFER: _ignore,
    MessageKind.READ_INDEX: _ignore,
}
# role -> message -> handler.  Every role has a row for every message.
HANDLERS: Mapping[Role, Mapping[MessageKind, Handler]] = {
    Role.FOLLOWER: _BY_FOLLOWER,
    Role.PRE_CANDIDATE: {
        **_BY_FOLLOWER,
        MessageKind.PRE_VOTE_RESPONSE: election.on_vote_response,
        MessageKind.TIMEOUT_NOW: _ignore,
    },
    Role.CANDIDATE: {
        **_BY_FOLLOWER,
        MessageKind.VOTE_RESPONSE: election.on_vote_response,
        MessageKind.TIMEOUT_NOW: _ignore,
    },
    Role.LEADER: {
        **_BY_ANYBODY,
        MessageKind.PROPOSE: proposals.on_propose,
        MessageKind.APPEND_RESPONSE: replication.on_append_response,
        MessageKind.HEARTBEAT_RESPONSE: replication.on_heartbeat_response,
        MessageKind.PRE_VOTE_RESPONSE: _ignore,
        MessageKind.VOTE_RESPONSE: _ignore,
        MessageKind.TIMEOUT_NOW: _ignore,
        MessageKind.TRANSFER: election.on_transfer,
        MessageKind.READ_INDEX: reads.on_read_index,
    },
}
_VOTE_REQUESTS = frozenset({MessageKind.PRE_VOTE, MessageKind.VOTE})
_FROM_LEADER = frozenset({MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.SNAPSHOT})


def _answer_old_term(state: State, message: Message) -> None:
    """Tell a member of an earlier term of the present one, where it would not learn of it."""
    if message.kind in (MessageKind.APPEND, MessageKind.HEARTBEAT):
        # A leader that was cut off while we campaigned: without an answer it would go on, and
        # with pre-votes and check quorum neither side could get the other's agreement.
        kind = MessageKind.APPEND_RESPONSE
        state.post(Message(kind, message.sender, state.id, state.term))
    elif message.kind is MessageKind.PRE_VOTE:
        election.refuse_vote(state, MessageKind.PRE_VOTE_RESPONSE, message.sender)


class Raft:
    """One member's core.  See the module's docstring for the order of calls."""

    def __init__(self, config: RaftConfig, storage: Storage, random_source: RandomSource) -> None:
        """Start as a follower with what `storage` recovered.

        Raises: FatalError if what was recovered does not fit together.
        """
        self.state = State(config, storage, random_source)

    # ---- what comes in

    def step(self, message: Message) -> None:
        """Take one message of another member.

        Raises: FatalError where it shows that a promise of Raft has been broken.
        """
        state = self.state
        if message.to != state.id or message.sender == state.id:
            state.counters.messages_misdirected += 1
            return
        if message.kind is MessageKind.REMOVED:
            membership.on_removed(state, message)
            return
        if message.sender in state.removed:
            state.post(Message(MessageKind.REMOVED, message.sender, state.id, state.term))
            return
        if message.term != state.term and not self._reconcile_term(message):
            return
        HANDLERS[state.role][message.kind](state, message)

    def _reconcile_term(self, message: Message) -> bool:
        """Deal with a message of another term; return whether it is to be handled.

        Source: Raft (extended), section 5.1; thesis, sections 4.2.3 and 9.6.
        """
        state = self.state
        if message.term < state.term:
            _answer_old_term(state, message)
            return False
        kind = message.kind
        if kind in _VOTE_REQUESTS:
            has_leader = (
                state.leader_id != 0 and state.election_elapsed < state.config.election_ticks
            )
            if has_leader and message.hint != election.HINT_TRANSFER:
                return False
            if kind is MessageKind.PRE_VOTE:
                return True  # about a term that has not begun
        if kind is MessageKind.PRE_VOTE_RESPONSE and not message.is_rejected:
            return True  # granted for the term that we asked about
        state.become_follower(message.term, message.sender if kind in _FROM_LEADER else 0)
        return True

    def tick(self) -> None:
        """Let one tick of the clock pass."""
        proposals.tick(self.state)
        reads.tick(self.state)
        election.tick(self.state)

    def propose(self, datas: Sequence[bytes]) -> None:
        """Have each of `datas` appended, here or by the leader; hold it while there is none.

        What is over the bounds of RaftConfig is dropped and counted.
        """
        proposals.propose(self.state, datas)

    def propose_change(self, change: ConfChange) -> None:
        """Have a configuration change appended, after those proposed before."""
        proposals.propose_change(self.state, encode_conf_change(change))

    def read_index(self, token: int) -> None:
        """Ask for an index at which a read is current; a ReadState with `token` will tell it."""
        reads.request_own(self.state, token)

    def transfer_leadership(self, to: int) -> None:
        """Have voter `to` lead instead of whoever does."""
        election.transfer_leadership(self.state, to)

    def campaign(self) -> None:
        """Campaign without waiting for the election timeout."""
        election.campaign(self.state)

    def report_unreachable(self, member_id: int) -> None:
        """Tell that messages to a member may have been lost."""
        replication.report_unreachable(self.state, member_id)

    def report_snapshot(self, member_id: int, *, is_ok: bool) -> None:
        """Tell how the sending of a snapshot to a member ended; owed for each request."""
        replication.report_snapshot(self.state, member_id, is_ok=is_ok)

    def compact(self, index: int) -> int:
        """Forget entries up to and including `index`, or fewer where a member is to get the rest.

        Return up to where they are forgotten now: see `retention`.

        Raises: FatalError if they are not in a durable snapshot.
        """
        log = self.state.log
        log.compact(retention.compactable_to(self.state, index))
        return log.first_index - 1

    # ---- what goes out

    @property
    def has_ready(self) -> bool:
        """Whether `ready` or `take_committed` would hand out anything."""
        state = self.state
        return (
            bool(state.messages or state.messages_after_persist or state.snapshot_requests)
            or state.is_append_due
            or self._must_persist()
            or state.log.has_committed
            or bool(state.read_states)
            or self._is_soft_state_news
            or reads.is_flush_due(state)
            or proposals.is_flush_due(state)
            or election.is_alone(state)
        )

    def ready(self) -> Ready:
        """Hand out what this round has to store and to send.

        No second call before `persisted` was called for the first if that had `must_persist`.
        """
        state = self.state
        if election.is_alone(state):
            election.campaign(state)
        proposals.flush(state)
        if reads.flush(state):
            replication.send_heartbeats(state)
        replication.flush(state)
        must_persist = self._must_persist()
        hard_state = state.hard_state
        log = state.log
        ready = Ready(
            soft_state=self._soft_state_news(),
            hard_state=hard_state if hard_state != state.persisted_hard_state else None,
            entries=log.unstable[:],
            snapshot=log.pending_snapshot,
            messages=state.messages,
            messages_after_persist=state.messages_after_persist,
            snapshot_requests=state.snapshot_requests,
            must_persist=must_persist,
        )
        state.messages = []
        state.messages_after_persist = []
        state.snapshot_requests = []
        return ready

    def _must_persist(self) -> bool:
        state = self.state
        on_disk = state.persisted_hard_state
        return (
            bool(state.log.unstable)
            or state.term != on_disk.term
            or state.vote != on_disk.vote
            or state.commit_due > on_disk.commit
            or state.log.pending_snapshot is not None
        )

    @property
    def _is_soft_state_news(self) -> bool:
        state = self.state
        leader_id, role, is_removed = state.told_soft_state
        return (
            state.role is not role
            or state.leader_id != leader_id
            or state.is_removed is not is_removed
        )

    def _soft_state_news(self) -> SoftState | None:
        if not self._is_soft_state_news:
            return None
        state = self.state
        state.told_soft_state = SoftState(state.leader_id, state.role, state.is_removed)
        return state.told_soft_state

    # ---- what has been done with it

    def hard_state_persisted(self, hard_state: HardState) -> None:
        """Note that `hard_state` is on disk; a candidate's vote for itself counts from here."""
        state = self.state
        state.persisted_hard_state = hard_state
        if (hard_state.term, hard_state.vote) == (state.term, state.id):
            election.own_vote_persisted(state)

    def snapshot_installed(self, meta: SnapshotMeta) -> None:
        """Note that the snapshot at `meta` is on disk and is what has been applied."""
        self.state.log.snapshot_installed(meta)

    def persisted(self, index: int, term: int) -> None:
        """Note that the log up to the entry (`index`, `term`) is on disk."""
        state = self.state
        state.log.persisted(index, term)
        if state.is_leader:
            replication.own_persisted(state)

    def take_committed(self) -> list[Entry]:
        """Hand out, once and in order, the next slice of committed and durable entries.

        It ends before a change whose commit is not on disk; the next Ready has that persisted.
        """
        state = self.state
        config = state.config
        entries = state.log.take_committed(config.apply_count_max, config.apply_bytes_max)
        entries = membership.hold_back(state, entries)
        if entries:
            proposals.note_applying(state, entries)
        return entries

    def applied_to(self, index: int, refused: Collection[int] = ()) -> None:
        """Note that all up to `index` is applied; changes at `refused` have no effect."""
        state = self.state
        state.log.applied_to(index)
        changes = state.applying_changes
        while changes and changes[0].index <= index:
            applied = changes.popleft()
            if applied.index not in refused:
                membership.apply_change(state, applied.change)

    def take_read_states(self) -> list[ReadState]:
        """Hand out, once, the reads whose index is known."""
        read_states = self.state.read_states
        self.state.read_states = []
        return read_states
