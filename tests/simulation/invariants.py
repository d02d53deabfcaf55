"""Invariants: what must be true at each step, whatever happens.

The watch sees every member's core and disk from outside; what is applied is `agreement`'s part.
Each check costs little, because it looks only at what has just changed; by induction over the
steps that is all.
Source: Raft (extended), Figure 3, and DESIGN sections 2 to 4.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from etcdpy.consensus.messages import (
    Entry,
    Message,
    MessageKind,
    Role,
)
from etcdpy.consensus.pump import Install
from tests.simulation.agreement import MACHINE_SAFETY, Agreement
from tests.simulation.disk import SimulatedStorage
from tests.simulation.member import SimulatedMember
from tests.simulation.violation import Violation

ELECTION_SAFETY = "election safety"
VOTES = "a leader has the votes of a quorum"
OWN_TERM = "only an entry of its own term is committed by counting"
MATCH = "what a leader counts is on the member's disk, and never less"
APPEND_ONLY = "leader append-only"
LOG_MATCHING = "log matching"
COMPLETENESS = "leader completeness"
DURABLE_QUORUM = "a commit is on the disks of a quorum"
PERSIST_FIRST = "nothing is promised before it is on disk"
ONE_VOTE = "one vote per term"
MONOTONIC = "nothing that is durable goes back"
CONF_DURABLE = "a change in effect is in effect after a restart"
CATCHING_UP = "the log goes on after a snapshot"

#: Snapshots that a member may get without one entry in between: cut off after one for long enough,
#: again and again, it has no claim on what followed.
SNAPSHOTS_IN_A_ROW_MAX = 8


class Watch:
    """Holds members to the invariants.  `members` gives all that are alive."""

    def __init__(
        self, members: Callable[[], Iterable[SimulatedMember]], agreement: Agreement
    ) -> None:
        self.truth = agreement.truth
        self._agreement = agreement
        self.lost_ids: set[int] = set()  # members whose disk is gone for good
        self.dead_logs: dict[int, dict[int, int]] = {}  # of members that are down: index -> term
        self._members = members
        self._entries: dict[tuple[int, int], tuple[int, bytes]] = {}  # (index, term): log matching
        self._leaders: dict[int, int] = {}  # term -> member id
        self._votes: dict[tuple[int, int], int] = {}  # (voter, term) -> candidate
        self._led: dict[int, tuple[int, int]] = {}  # leader -> its term, its last durable index
        self._durable: dict[int, tuple[int, int, int]] = {}  # member -> term, vote, commit
        self._in_a_row: dict[int, int] = {}  # member -> snapshots since its last entry

    # ---- what members promise

    def sending(self, member: SimulatedMember, messages: Sequence[Message]) -> None:
        """Check that what `messages` promise is on the member's disk."""
        for message in messages:
            kind = message.kind
            if kind is MessageKind.APPEND_RESPONSE:
                if not message.is_rejected and self._is_unfounded(member, message):
                    raise Violation(PERSIST_FIRST, f"{member.id} acknowledged {message}")
            elif kind is MessageKind.VOTE:
                self._check_vote(member, member.id, message)
            elif kind is MessageKind.VOTE_RESPONSE and not message.is_rejected:
                self._check_vote(member, message.to, message)

    @staticmethod
    def _is_unfounded(member: SimulatedMember, message: Message) -> bool:
        """Whether an acknowledgement is of more than is on disk.

        What was replaced in the same batch, by a later term's leader, is as good as replaced a
        moment after: nobody can tell, since the later term is on disk before the word leaves.
        """
        hard_state, _ = member.storage.initial_state()
        return message.term >= hard_state.term and message.index > member.storage.last_index()

    def _check_vote(self, member: SimulatedMember, candidate: int, message: Message) -> None:
        kind = message.kind
        hard_state, _ = member.storage.initial_state()
        # A durable later term keeps the promise as well: in an earlier one it votes no more.
        if hard_state.term <= message.term and hard_state[:2] != (message.term, candidate):
            raise Violation(PERSIST_FIRST, f"{member.id} sent {message} with {hard_state} on disk")
        # Its log may have been replaced in the same batch, by whom it then follows: a candidate
        # no more, it can't win with the log that it asked for votes with.
        is_asking = kind is MessageKind.VOTE and member.core.state.role is Role.CANDIDATE
        if is_asking and message.index > member.storage.last_index():
            raise Violation(PERSIST_FIRST, f"{member.id} sent {message}: its log is not on disk")
        voted = self._votes.setdefault((member.id, message.term), candidate)
        if voted != candidate:
            raise Violation(
                ONE_VOTE, f"{member.id} voted for {voted} and {candidate} in {message.term}"
            )

    # ---- what members hold

    def persisted(self, member: SimulatedMember, entries: Sequence[Entry]) -> None:
        """Check what has just become durable."""
        hard_state, _ = member.storage.initial_state()
        before = self._durable.get(member.id)
        if before is not None:
            term, vote, commit = before
            is_vote_kept = hard_state.term > term or vote in (0, hard_state.vote)
            if hard_state.term < term or hard_state.commit < commit or not is_vote_kept:
                raise Violation(MONOTONIC, f"{member.id} has {hard_state} after {before}")
        self._durable[member.id] = hard_state
        if not entries:
            return
        self._in_a_row[member.id] = 0
        first, last = entries[0], entries[-1]
        if last.index < member.seen_last:
            self._check_counted(member)
        member.seen_last = last.index
        if member.is_leader:
            state = member.core.state
            term, index = self._led.get(member.id, (0, 0))
            if term == state.term and first.index <= index:
                raise Violation(
                    APPEND_ONLY, f"leader {member.id} of {term} rewrote {first.index} of {index}"
                )
            self._led[member.id] = (state.term, last.index)
        self._match(member, entries)

    def _match(self, member: SimulatedMember, entries: Sequence[Entry]) -> None:
        """An entry's index and term name its data, and its predecessor: so whole logs match."""
        first = entries[0]
        try:
            before = member.storage.term(first.index - 1)
        except LookupError:
            before = -1  # compacted since
        known = self._entries
        committed = self.truth.committed
        for entry in entries:
            place = (entry.index, entry.term)
            content = (before, entry.data)
            other = known.get(place)
            if other is None or other[0] < 0:
                known[place] = content
            elif other != content and before >= 0:
                raise Violation(LOG_MATCHING, f"{member.id} has {entry}, others have {other}")
            # Who leads a later term than that of the commit has the committed entry.
            if entry.index <= committed and entry.term > self.truth.committed_in[entry.index]:
                raise Violation(
                    COMPLETENESS,
                    f"{member.id} has {entry}, another was committed there in "
                    f"{self.truth.committed_in[entry.index]}",
                )
            before = entry.term

    def began(self, member: SimulatedMember) -> None:
        """Check that a restarted member has all that it had made durable."""
        hard_state, _ = member.storage.initial_state()
        before = self._durable.get(member.id)
        if before is not None:
            term, vote, _ = before
            is_vote_kept = hard_state.term > term or vote in (0, hard_state.vote)
            if hard_state.term < term or not is_vote_kept:
                raise Violation(MONOTONIC, f"{member.id} came back with {hard_state}, had {before}")
        self._durable[member.id] = hard_state
        member.seen_commit = min(hard_state.commit, self.truth.committed)
        log = self.dead_logs.pop(member.id, None)
        if log:
            self._check_log(member, log)
        _, meta = member.storage.initial_state()
        self._agreement.conf_known(member, meta.index)

    def _check_log(self, member: SimulatedMember, log: dict[int, int]) -> None:
        storage = member.storage
        last = max(log)
        if storage.last_index() < last:
            raise Violation(
                MONOTONIC,
                f"{member.id} came back with entries to {storage.last_index()}, had {last}",
            )
        if last >= storage.first_index() - 1 and storage.term(last) != log[last]:
            raise Violation(MONOTONIC, f"{member.id} came back with another entry {last}")

    def ended(self, member: SimulatedMember) -> None:
        """Remember what a member had on disk when it ended, and was not about to replace."""
        storage = member.storage
        first, last = storage.first_index(), storage.last_index()
        if isinstance(member.writing, Install):
            last = first - 2
        elif member.writing is not None and member.writing.entries:
            last = min(last, member.writing.entries[0].index - 1)
        self.dead_logs[member.id] = {
            index: storage.term(index) for index in range(first - 1, last + 1)
        }
        self._led.pop(member.id, None)

    def installed(self, member: SimulatedMember) -> None:
        """Check a snapshot that took the place of log and tree."""
        _, meta = member.storage.initial_state()
        self._durable[member.id] = member.storage.initial_state()[0]
        self._check_counted(member)
        member.seen_last = member.storage.last_index()
        self._agreement.installed(member, meta.index, meta.term)
        count = self._in_a_row[member.id] = self._in_a_row.get(member.id, 0) + 1
        if count > SNAPSHOTS_IN_A_ROW_MAX:
            raise Violation(CATCHING_UP, f"{member.id} got {count} snapshots and no entry between")

    def conf_applied(self, member: SimulatedMember, index: int) -> None:
        """Check that a member knows on disk that the change at `index` is committed.

        The operator and the removed act on what is in effect: it must not be forgotten.
        """
        hard_state, meta = member.storage.initial_state()
        if max(hard_state.commit, meta.index) < index:
            raise Violation(CONF_DURABLE, f"{member.id} goes by {index} with {hard_state} on disk")

    # ---- who leads

    def leads(self, member: SimulatedMember) -> None:
        """Check a member that has just become leader."""
        state = member.core.state
        other = self._leaders.setdefault(state.term, member.id)
        if other != member.id:
            raise Violation(ELECTION_SAFETY, f"{other} and {member.id} lead term {state.term}")
        voters = state.voters
        votes = self._votes
        granted = [v for v in voters if v == member.id or votes.get((v, state.term)) == member.id]
        if 2 * len(granted) <= len(voters):
            raise Violation(VOTES, f"{member.id} leads {state.term}: {granted} of {voters}")
        committed = bisect_left(self.truth.committed_in, state.term) - 1  # in an earlier term
        log = state.log
        if committed > 0 and (
            log.last_index < committed or log.find_term(committed) != self.truth.terms[committed]
        ):
            raise Violation(
                COMPLETENESS,
                f"{member.id} leads term {state.term} without entry {committed} "
                f"of term {self.truth.terms[committed]}",
            )

    def stepped(self, member: SimulatedMember) -> None:
        """Look at a core that has just been stepped."""
        state = member.core.state
        log = state.log
        is_leader = state.role is Role.LEADER
        if log.commit > member.seen_commit:
            if is_leader and member.led_term == state.term != log.term(log.commit):
                raise Violation(OWN_TERM, f"{member.id} committed {log.commit} in {state.term}")
            self._committed(member, log.commit)
        if not is_leader:
            return
        if member.led_term != state.term:
            member.led_term = state.term
            member.seen_matches = {}
            self.leads(member)
        self._check_matches(member)

    def _check_matches(self, member: SimulatedMember) -> None:
        """Check what a leader counts towards its commits."""
        seen = member.seen_matches
        for member_id, progress in member.core.state.progress.items():
            match = progress.match
            before = seen.get(member_id, 0)
            if match == before:
                continue
            last = self._last_durable(member_id, member.led_term)
            if match < before or (last is not None and match > last):
                raise Violation(
                    MATCH, f"{member.id} counts {match} for {member_id} after {before}, has {last}"
                )
            seen[member_id] = match
        if len(seen) > len(member.core.state.progress):
            for member_id in seen.keys() - member.core.state.progress.keys():
                del seen[member_id]

    def _check_counted(self, member: SimulatedMember) -> None:
        """Check that a log that has become shorter still has what its leader counts on."""
        last = member.storage.last_index()
        for other in self._members():
            if other.is_leader and other.led_term == member.core.state.term:
                counted = other.seen_matches.get(member.id, 0)
                if counted > last:
                    raise Violation(
                        MATCH, f"{member.id} ends at {last}, {other.id} counts {counted}"
                    )

    def _last_durable(self, member_id: int, term: int) -> int | None:
        """Return the last index on a member's disk, None if it is down or past `term`."""
        for member in self._members():
            if member.id == member_id:
                hard_state, _ = member.storage.initial_state()
                return None if hard_state.term > term else member.storage.last_index()
        return None

    def _committed(self, member: SimulatedMember, commit: int) -> None:
        """Take note of what `member` knows to be committed."""
        log = member.core.state.log
        terms = self.truth.terms
        low = member.seen_commit + 1
        member.seen_commit = commit
        if log.pending_snapshot is not None:
            return
        for index in range(max(low, log.first_index), commit + 1):
            term = log.term(index)
            if index < len(terms):
                if terms[index] != term:
                    raise Violation(
                        MACHINE_SAFETY,
                        f"{member.id} committed {index} of term {term}, "
                        f"others of term {terms[index]}",
                    )
                continue
            if index != len(terms):
                raise Violation(MACHINE_SAFETY, f"{member.id} committed {index}, nobody before")
            entry = log.entries(index, index + 1, 1)[0]
            terms.append(term)
            self.truth.datas.append(entry.data)
            before = self.truth.committed_in[-1]
            self.truth.committed_in.append(max(before, member.core.state.term))
            if index == commit:
                self._check_quorum(member, index, term)

    def _check_quorum(self, member: SimulatedMember, index: int, term: int) -> None:
        """Check that a majority has a newly committed entry on disk."""
        conf = member.core.state.conf
        if not conf.voters:
            return  # the founders' entries, which are committed by being the first
        holders = set(self.lost_ids)
        for other in self._members():
            if _holds(other.storage, index, term):
                holders.add(other.id)
        for member_id, log in self.dead_logs.items():
            if log.get(index) == term or (log and min(log) > index):
                holders.add(member_id)
        count = sum(1 for voter in conf.voters if voter in holders)
        if 2 * count <= len(conf.voters):
            raise Violation(
                DURABLE_QUORUM,
                f"{member.id} committed {index} of term {term}, on the disks of "
                f"{sorted(holders)} of {conf.voters}",
            )


def _holds(storage: SimulatedStorage, index: int, term: int) -> bool:
    """Whether the entry is durable there, as an entry or in a snapshot."""
    if storage.first_index() - 1 > index:
        return True
    return storage.last_index() >= index and storage.term(index) == term
