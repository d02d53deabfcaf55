"""Agreement: all members apply the same entries to the same tree, each once and in order.

The first member to have something makes it the truth, and every other is held to it: what is
committed, what was applied, the events, the tree's digest and the configuration at each index.
Source: Raft (extended), Figure 3, State Machine Safety; DESIGN section 2.
"""

from collections.abc import Sequence
from itertools import islice

from etcdpy.consensus.messages import ConfState, Entry
from etcdpy.tree.event import Event
from tests.simulation.member import DIGEST_PERIOD, SimulatedMember
from tests.simulation.violation import Violation

MACHINE_SAFETY = "state-machine safety"
APPLIED_FIRST = "nothing is applied before it is on disk"
APPLIED_ONCE = "a proposal is applied once"
ONE_CHANGE = "one configuration change at a time"


class Truth:
    """What has been committed and applied, as the first member to do so had it."""

    def __init__(self) -> None:
        self.terms: list[int] = [0]  # by index, of what is committed
        self.datas: list[bytes | None] = [None]  # of what is committed
        self.committed_in: list[int] = [0]  # by index: the term in which it was; ascending
        self.applied = 0  # the highest index that any member has applied
        self.tree_indexes: dict[int, int] = {}  # applied index -> store index
        self.digests: dict[int, bytes] = {}  # applied index -> digest of the tree
        self.events: list[Event] = []  # events[0] has index 1
        self.confs: list[tuple[int, ConfState]] = []  # as of which applied index; ascending
        self.proposals: set[bytes] = set()  # heads of envelopes that were applied

    @property
    def committed(self) -> int:
        """The highest index that any member knows to be committed."""
        return len(self.terms) - 1

    @property
    def conf(self) -> ConfState:
        """The newest configuration that any member has applied."""
        return self.confs[-1][1] if self.confs else ConfState()


class Agreement:
    """Builds the truth from whoever is first, and holds the others to it."""

    def __init__(self) -> None:
        self.truth = Truth()

    def applied(self, member: SimulatedMember, entries: Sequence[Entry]) -> None:
        """Check what has just been applied, a slice that ends where trees are compared."""
        truth = self.truth
        for entry in entries:
            index = entry.index
            if index > truth.committed or truth.terms[index] != entry.term:
                raise Violation(MACHINE_SAFETY, f"{member.id} applied {entry}, not committed")
            if truth.datas[index] != entry.data:
                raise Violation(MACHINE_SAFETY, f"{member.id} applied another entry {index}")
            if index > truth.applied:
                truth.applied = index
                self._note_proposal(entry)
            if index > member.storage.last_index():
                raise Violation(APPLIED_FIRST, f"{member.id} applied {index} before it was durable")
        self._note_events(member)
        self._compare(member, entries[-1].index)

    def _note_proposal(self, entry: Entry) -> None:
        if entry.kind or not entry.data:
            return
        head = entry.data[:24]  # member, boot, counter
        if head[16:] == bytes(8):
            return  # nobody waits for it, and its counter names nothing
        if head in self.truth.proposals:
            raise Violation(APPLIED_ONCE, f"entry {entry.index} is a proposal applied before")
        self.truth.proposals.add(head)

    def _note_events(self, member: SimulatedMember) -> None:
        """Compare the events that the tree has since the last look, or learn them."""
        events = self.truth.events
        count = member.tree.index - member.seen_event
        if count <= 0:
            return
        recent = list(islice(reversed(member.tree.history._events), count))
        for event in reversed(recent):
            if event.index <= len(events):
                if events[event.index - 1] != event:
                    raise Violation(
                        MACHINE_SAFETY,
                        f"{member.id} has {event}, others {events[event.index - 1]}",
                    )
            elif event.index == len(events) + 1:
                events.append(event)
            else:
                raise Violation(MACHINE_SAFETY, f"{member.id} skipped to {event}")
        member.seen_event = member.tree.index

    def _compare(self, member: SimulatedMember, index: int) -> None:
        """Compare the tree with others at the same applied index."""
        truth = self.truth
        tree_index = truth.tree_indexes.setdefault(index, member.tree.index)
        if tree_index != member.tree.index:
            raise Violation(
                MACHINE_SAFETY,
                f"at {index} the tree of {member.id} is at {member.tree.index}, "
                f"others at {tree_index}",
            )
        if index % DIGEST_PERIOD == 0:
            self.compare_digest(member, index)

    def compare_digest(self, member: SimulatedMember, index: int) -> None:
        """Compare the whole tree with others at the same applied index."""
        digest = member.tree.digest()
        if self.truth.digests.setdefault(index, digest) != digest:
            raise Violation(MACHINE_SAFETY, f"at {index} the tree of {member.id} is another one")

    def installed(self, member: SimulatedMember, index: int, term: int) -> None:
        """Check a snapshot at that place that took the place of log and tree."""
        truth = self.truth
        if index > truth.committed or truth.terms[index] != term:
            raise Violation(MACHINE_SAFETY, f"{member.id} installed {index}, never committed")
        self.conf_known(member, index)
        self._note_events(member)
        self._compare(member, index)

    def conf_applied(self, member: SimulatedMember, index: int) -> None:
        """Note the configuration after the change at `index`, and compare it with others."""
        conf = member.core.state.conf
        confs = self.truth.confs
        for at, known in reversed(confs):
            if at == index and known != conf:
                raise Violation(
                    MACHINE_SAFETY, f"after {index} {member.id} has {conf}, others {known}"
                )
            if at <= index:
                break
        if confs and confs[-1][0] >= index:
            return
        if confs and len(set(confs[-1][1].voters) ^ set(conf.voters)) > 1:
            raise Violation(ONE_CHANGE, f"at {index} from {confs[-1][1]} to {conf}")
        confs.append((index, conf))

    def conf_known(self, member: SimulatedMember, index: int) -> None:
        """Compare a configuration that came from a snapshot at `index`."""
        conf = member.core.state.conf
        for at, known in reversed(self.truth.confs):
            if at <= index:
                if known != conf:
                    raise Violation(
                        MACHINE_SAFETY,
                        f"{member.id} has {conf} from its snapshot at {index}, others {known}",
                    )
                return
