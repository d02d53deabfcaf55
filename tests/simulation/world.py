"""World: the machines of one run, what connects them, and all that looks at them.

It starts members and ends them, carries what they send, and shows the watch what they do.  What
is done to it is in `faults` and `operators`, in the order of a plan by `acts`.
"""

from collections.abc import Iterator, Sequence
from random import Random

from etcdpy.clustering.membership import change_to_add
from etcdpy.consensus.codec import decode_messages, encode_messages
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    Entry,
    Message,
    MessageKind,
    SnapshotRequest,
)
from etcdpy.consensus.pump import SoftStateChanged
from etcdpy.errors import FatalError
from etcdpy.store.snapshot_file import PackedRows
from etcdpy.tree.members import Member
from tests.simulation.agreement import Agreement
from tests.simulation.clients import Clients
from tests.simulation.disk import read_snapshot, receive_snapshot
from tests.simulation.invariants import Watch
from tests.simulation.machine import Machine
from tests.simulation.member import SimulatedMember
from tests.simulation.network import LinkFaults, Network
from tests.simulation.plan import SLOT_COUNT, Plan
from tests.simulation.scheduler import MS, US, Scheduler
from tests.simulation.trace import Trace
from tests.simulation.violation import Violation
from tests.store.simulated_files import SimulatedCrash, SimulatedFiles

NO_FATAL = "no member stops but for its disk"
SECTOR_BYTES = 512  # what a disk writes whole; smaller than most frames, so that they tear
CRASH_OPERATIONS_MAX = 16  # a write is two operations, the cut of a segment or a snapshot ten
NO_FAULTS = LinkFaults(delay_min=100 * US, delay_max=300 * US)


class World:
    """One run.  `carry_out` does the plan's actions, `heal` ends all faults."""

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan = plan
        self.profile = plan.profile
        self.trace = trace
        self.scheduler = Scheduler()
        self.clients = Clients(self, plan.profile.key_count)
        self.agreement = Agreement()
        self.watch = Watch(self.alive, self.agreement)
        self.is_healed = False
        self.proposed: list[ConfChange] = []  # by the operator, not seen applied yet
        self.counts: dict[str, int] = {}
        seed = str(plan.seed)
        self.random = Random(f"{seed}/world")
        self.network = Network(self.scheduler, seed, plan.profile.faults, self._deliver, self._lost)
        self.machines = [self._new_machine(slot) for slot in range(SLOT_COUNT)]
        self.by_id: dict[int, Machine] = {}
        self._last_id = 0
        self._found()

    def _new_machine(self, slot: int) -> Machine:
        random = Random(f"{self.plan.seed}/machine/{slot}")
        machine = Machine(slot, random, self._new_files(random))
        drift = self.profile.drift
        machine.tick = int(self.profile.tick * (1 + drift * (2 * random.random() - 1)))
        machine.clock_skew = random.randrange(500 * MS)
        return machine

    @staticmethod
    def _new_files(random: Random) -> SimulatedFiles:
        return SimulatedFiles(random, page_bytes=SECTOR_BYTES)

    def _found(self) -> None:
        """Start the founding members."""
        machines = self.machines[: self.profile.voter_count]
        for machine in machines:
            self.settle(machine)
        changes = [change_to_add(member_row(machine.member_id)) for machine in machines]
        for machine in machines:
            machine.founders = changes
            self.boot(machine)

    def settle(self, machine: Machine) -> None:
        """Give a machine a new id and an empty disk."""
        self._last_id += 1
        machine.member_id = self._last_id
        machine.files = self._new_files(machine.random)
        machine.founders = ()
        machine.has_refused = False
        self.by_id[machine.member_id] = machine

    # ---- who is there

    def alive(self) -> Iterator[SimulatedMember]:
        """Yield the members that run."""
        for machine in self.machines:
            if machine.member is not None:
                yield machine.member

    def member_at(self, number: int) -> SimulatedMember | None:
        """Return the running member that `number` chooses."""
        alive = list(self.alive())
        return alive[number % len(alive)] if alive else None

    def machine_at(self, number: int) -> Machine:
        """Return the settled machine that `number` chooses."""
        settled = [machine for machine in self.machines if machine.member_id]
        return settled[number % len(settled)] if settled else self.machines[0]

    def leader(self) -> SimulatedMember | None:
        """Return the running leader of the highest term."""
        leaders = [member for member in self.alive() if member.is_leader]
        return max(leaders, key=lambda member: member.core.state.term, default=None)

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.add(f"{self.scheduler.now} {line}")

    def count(self, what: str) -> None:
        """Count something for the report."""
        self.counts[what] = self.counts.get(what, 0) + 1

    # ---- starting and ending members

    def boot(self, machine: Machine) -> None:
        """Start the member of a machine that is down, if its disk lets it."""
        assert machine.member is None
        machine.boot += 1
        machine.files.kill()
        try:
            member = SimulatedMember(
                self,
                machine.files,
                member_id=machine.member_id,
                boot=machine.random.getrandbits(63),
                founders=machine.founders,
                random=Random(f"{self.plan.seed}/boot/{machine.member_id}/{machine.boot}"),
                clock_skew=machine.clock_skew,
            )
        except FatalError as error:
            self._failed(machine, error)
            return
        self.note(f"boot {member.id} at {member.applied}")
        machine.member = member
        self.watch.began(member)
        first = int(machine.random.random() * machine.tick)
        self.scheduler.after(first, self._tick, (machine, member))
        member.start()
        if member.core.state.is_removed:
            self._linger(machine)

    def end(self, machine: Machine, *, is_power_lost: bool, is_in_write: bool) -> None:
        """End the member of a machine: its process killed, or the whole machine's power lost."""
        member = machine.member
        if member is not None:
            self.note(f"end {member.id} {is_power_lost}")
            self.watch.ended(member)
            machine.member = None
            if is_in_write:
                self._crash_in_write(machine, member)
            member.end()
        machine.files.kill()
        if is_power_lost:
            machine.files = machine.files.crash()

    def _crash_in_write(self, machine: Machine, member: SimulatedMember) -> None:
        self._arm(machine)
        try:
            member.write_in_part()
        except SimulatedCrash:
            self.count("crashes in a write")
        except FatalError as error:
            if not machine.is_disk_faulty:
                raise Violation(NO_FATAL, f"{member.id}: {error}") from error

    @staticmethod
    def _arm(machine: Machine) -> None:
        """Let one of the next operations on the disk be the process's last."""
        files = machine.files
        files.crash_at = files.operation_count + machine.random.randrange(CRASH_OPERATIONS_MAX)

    def failed(self, member: SimulatedMember, error: FatalError) -> None:
        """See Host."""
        self._failed(self.by_id[member.id], error)

    def _failed(self, machine: Machine, error: FatalError) -> None:
        if not machine.is_disk_faulty:
            raise Violation(NO_FATAL, f"{machine.member_id}: {error}") from error
        self.count("members stopped by their disk")
        is_power_lost = machine.random.random() < 0.5
        self.end(machine, is_power_lost=is_power_lost, is_in_write=False)
        machine.has_refused = False
        self.boot_later(machine, self.profile.election_ticks * self.profile.tick)

    def boot_later(self, machine: Machine, delay: int) -> None:
        """Start the member of a machine in `delay`, if it is down then."""
        machine.down_until = self.scheduler.now + delay
        self.scheduler.after(delay, self._boot_due, (machine, machine.member_id))

    def _boot_due(self, what: tuple[Machine, int]) -> None:
        machine, member_id = what
        is_due = self.scheduler.now >= machine.down_until
        if machine.member is None and machine.member_id == member_id and is_due:
            self.boot(machine)

    def _tick(self, what: tuple[Machine, SimulatedMember]) -> None:
        machine, member = what
        if member.is_dead:
            return
        now = self.scheduler.now
        if member.paused_until > now:
            self.scheduler.at(member.paused_until, self._tick, what)
            return
        self.scheduler.after(machine.tick, self._tick, what)
        member.tick()
        machine.ticks += 1
        if machine.ticks % self.profile.election_ticks == 0:
            self._dial(machine, member)

    def _dial(self, machine: Machine, member: SimulatedMember) -> None:
        """Stand for the transport: who dials a member that knows of its removal is told so.

        Without it a learner that missed the leader's word would wait for ever.
        """
        other = self.member_at(machine.random.randrange(SLOT_COUNT))
        if other is None or member.id not in other.core.state.removed:
            return
        if member.core.state.is_removed or self.network.is_blocked(other.id, member.id):
            return
        term = other.core.state.term
        self.network.send(Message(MessageKind.REMOVED, member.id, other.id, term))

    # ---- Host: what members do

    def send(self, member: SimulatedMember, messages: Sequence[Message]) -> None:
        """See Host."""
        self.watch.sending(member, messages)
        if self.profile.is_wired:
            messages = decode_messages(encode_messages(messages))
        for message in messages:
            if message.to in self.by_id:
                self.network.send(message)

    def _deliver(self, message: Message) -> None:
        machine = self.by_id.get(message.to)
        member = machine.member if machine is not None else None
        if member is None:
            return
        kind, to, sender, term, index, log_term, commit, entries, is_rejected, *_ = message
        self.trace.add(
            f"{self.scheduler.now} {int(kind)} {sender} {to} {term} {index} {log_term} {commit} "
            f"{len(entries)} {is_rejected}"
        )
        member.receive(message)

    def _lost(self, message: Message) -> None:
        """Tell a sender, an event later as a transport would, that a member can't be reached."""
        self.scheduler.after(0, self._unreachable, message)

    def _unreachable(self, message: Message) -> None:
        machine = self.by_id.get(message.sender)
        if machine is not None and machine.member is not None:
            machine.member.report_unreachable(message.to)

    def send_snapshot(self, member: SimulatedMember, request: SnapshotRequest) -> None:
        """See Host."""
        self.count("snapshots sent")
        meta = request.message.snapshot
        assert meta is not None
        blocks = read_snapshot(member.storage, meta)
        if blocks is None:
            raise Violation(NO_FATAL, f"{member.id} has no snapshot {meta} to send")
        delay = self.network.draw_delay(member.id, request.to) * self.profile.transfer_delays
        self.scheduler.after(delay, self._snapshot_arrives, (member, request, blocks))

    def _snapshot_arrives(
        self, what: tuple[SimulatedMember, SnapshotRequest, Sequence[PackedRows]]
    ) -> None:
        sender, request, blocks = what
        to = request.to
        machine = self.by_id.get(to)
        receiver = machine.member if machine is not None else None
        is_cut = self.network.is_blocked(sender.id, to) or self.random.random() < 0.1
        is_ok = receiver is not None and receiver.id == to and not is_cut
        if is_ok and receiver is not None and request.message.snapshot is not None:
            if machine is not None and machine.doom is not None:
                self._arm(machine)
            try:
                receive_snapshot(receiver.storage, request.message.snapshot, blocks)
            except SimulatedCrash:
                self._crash_receiving(receiver)
                is_ok = False
            except FatalError as error:
                self.failed(receiver, error)
                is_ok = False
            else:
                receiver_files = self.by_id[to].files
                receiver_files.crash_at = None
                self.note(f"snapshot {request.message.snapshot.index} to {to}")
                receiver.receive(request.message)
        if not sender.is_dead:
            sender.report_snapshot(to, is_ok)

    def _crash_receiving(self, member: SimulatedMember) -> None:
        machine = self.by_id[member.id]
        doom = machine.doom
        assert doom is not None
        self.count("crashes in a write")
        machine.doom = None
        self.end(machine, is_power_lost=doom.is_power_lost, is_in_write=False)
        self.boot_later(machine, doom.duration)

    def stepped(self, member: SimulatedMember) -> None:
        """See Host."""
        self.watch.stepped(member)

    def soft_state_changed(self, member: SimulatedMember, action: SoftStateChanged) -> None:
        """See Host."""
        soft_state = action.soft_state
        self.note(f"soft {member.id} {soft_state.role} {soft_state.leader_id}")
        if member.is_leader:
            self.count("elections won")
        if soft_state.is_removed:
            self.count("members told that they were removed")
            self._linger(self.by_id[member.id])

    def writing(self, member: SimulatedMember, delay: int) -> None:
        """See Host."""
        machine = self.by_id[member.id]
        if machine.doom is not None:
            delay = int(delay * machine.random.random())
            self.scheduler.after(delay, self._meet_doom, (machine, member))

    def _meet_doom(self, what: tuple[Machine, SimulatedMember]) -> None:
        machine, member = what
        doom = machine.doom
        if doom is not None and machine.member is member and member.is_busy:
            machine.doom = None
            self.end(machine, is_power_lost=doom.is_power_lost, is_in_write=True)
            self.boot_later(machine, doom.duration)

    def persisted(self, member: SimulatedMember, entries: Sequence[Entry]) -> None:
        """See Host."""
        self.watch.persisted(member, entries)

    def applied(self, member: SimulatedMember, entries: Sequence[Entry]) -> None:
        """See Host."""
        self.agreement.applied(member, entries)

    def conf_applied(self, member: SimulatedMember, index: int) -> None:
        """See Host."""
        self.note(f"conf {member.id} {index} {member.core.state.voters}")
        self.watch.conf_applied(member, index)
        self.agreement.conf_applied(member, index)
        conf = self.agreement.truth.conf
        known = (*conf.voters, *conf.learners)
        self.proposed = [
            change
            for change in self.proposed
            if change.kind == ConfChangeKind.REMOVE and change.member_id in known
        ]

    def installed(self, member: SimulatedMember) -> None:
        """See Host."""
        self.note(f"installed {member.id} {member.applied}")
        self.count("snapshots installed")
        self.watch.installed(member)

    def snapshot_given_up(self) -> None:
        """See Host."""
        self.count("snapshots given up")

    # ---- members that were removed

    def _linger(self, machine: Machine) -> None:
        """Shut a removed member down, but not before those who remain know of its removal.

        Of two members the one that remains needs the other to learn that it is alone.
        """
        delay = self.profile.election_ticks * self.profile.tick
        self.scheduler.after(delay, self._shut_down, (machine, machine.member_id))

    def _shut_down(self, what: tuple[Machine, int]) -> None:
        machine, member_id = what
        if machine.member_id != member_id or machine.member is None:
            return  # it lingers again when it is back
        if self.is_removal_known(member_id):
            self.note(f"shut down {member_id}")
            self.end(machine, is_power_lost=False, is_in_write=False)
            self.vacate(machine)
        else:
            self._linger(machine)

    def is_removal_known(self, member_id: int) -> bool:
        """Whether every voter that remains has applied the removal."""
        for voter in self.agreement.truth.conf.voters:
            machine = self.by_id.get(voter)
            if machine is None:
                continue  # its disk is lost
            if machine.member is None or member_id not in machine.member.core.state.removed:
                return False
        return True

    def vacate(self, machine: Machine) -> None:
        """Leave a machine free for another member."""
        self.watch.dead_logs.pop(machine.member_id, None)
        self.by_id.pop(machine.member_id, None)
        machine.member_id = 0

    # ---- the end

    def heal(self) -> None:
        """End all faults, start all that is down."""
        self.note("heal")
        self.is_healed = True
        self.network.heal(NO_FAULTS)
        for machine in self.machines:
            machine.doom = None
            machine.files.free_bytes = None
            machine.files.on_operation = None
            if machine.member_id and machine.member is None:
                self.boot(machine)
            elif machine.member is not None:
                machine.member.disk_slowness = 1


def member_row(member_id: int, *, is_learner: bool = False) -> Member:
    return Member(member_id, (f"http://{member_id:x}",), is_learner=is_learner)
