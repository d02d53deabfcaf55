"""Status: where a member stands now, for whoever asks.

A file of its own because it is the only view of the core that others may keep: reading it costs
an attribute, it is always current, and it can change nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from etcdpy.consensus.core import Raft
from etcdpy.consensus.messages import ConfState, Role
from etcdpy.consensus.progress import Progress
from etcdpy.consensus.state import Counters


class Backlog(NamedTuple):
    """How much waits: for the next batch, and of the reads for an answer."""

    proposals: int
    messages: int
    new_reads: int
    open_reads: int


class Status:
    """Where the member stands now; cheap to read, always current."""

    __slots__ = ("_state",)

    def __init__(self, core: Raft) -> None:
        self._state = core.state

    @property
    def term(self) -> int:
        """The current term."""
        return self._state.term

    @property
    def commit(self) -> int:
        """The last index known to be committed."""
        return self._state.log.commit

    @property
    def applied(self) -> int:
        """The last index that the application has."""
        return self._state.log.applied

    @property
    def leader_id(self) -> int:
        """Who leads, 0 when that is not known."""
        return self._state.leader_id

    def place(self) -> tuple[int, int, int]:
        """Return commit, term and leader at once: every answer to a client shows them."""
        state = self._state
        return state.log.commit, state.term, state.leader_id

    @property
    def role(self) -> Role:
        """What this member does."""
        return self._state.role

    @property
    def conf(self) -> ConfState:
        """The configuration as applied."""
        return self._state.conf

    @property
    def counters(self) -> Counters:
        """What happened since the start, in plain integers."""
        return self._state.counters

    @property
    def vote(self) -> int:
        """Whom this member has voted for in the current term, 0 for nobody."""
        return self._state.vote

    @property
    def last_index(self) -> int:
        """The last index of the log."""
        return self._state.log.last_index

    @property
    def progress(self) -> Mapping[int, Progress]:
        """What is known of each voter and learner, by member id; of use on the leader only."""
        return self._state.progress

    @property
    def transfer_to(self) -> int:
        """Who is to lead instead of this member, 0 when no transfer goes on."""
        return self._state.transfer_to

    @property
    def held_count(self) -> int:
        """How many proposals wait for a leader."""
        return len(self._state.held) + len(self._state.held_changes)

    @property
    def held_bytes(self) -> int:
        """How large they are together."""
        return self._state.held_bytes
