"""One run: a plan carried out, healed, and judged at its end."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from etcdpy.tree import capture as tree_capture
from etcdpy.tree import history as tree_history
from etcdpy.tree import snapshot as tree_snapshot
from etcdpy.tree.command import Command, CommandKind
from tests.simulation.acts import carry_out
from tests.simulation.agreement import MACHINE_SAFETY
from tests.simulation.host import Outcome
from tests.simulation.linearizability import Undecided, check_indexes, check_key
from tests.simulation.member import SimulatedMember
from tests.simulation.plan import Action, Plan
from tests.simulation.trace import Trace
from tests.simulation.violation import Violation
from tests.simulation.world import World

LIVENESS = "healed, a write commits and all members catch up"
NO_LOST_WRITE = "no acknowledged write is lost"
NO_EXCEPTION = "no assertion or exception"
STABILITY = "healed, nobody deposes the leader"
UNDECIDED = "linearizability is decided"

#: Election timeouts that a healed cluster may take to elect, commit and catch up.  A generous
#: bound, hence a sharp one against what never ends: typical is below ten.
PATIENCE_ELECTIONS = 150
#: Election timeouts for which a leader must then lead on.
STABLE_ELECTIONS = 4
PROBE = b"/1/probe"
CHANGES_LEFT_MAX = 3  # see tree_of


@dataclass
class Result:
    """How one run ended.  `violation` is None where nothing was found."""

    plan: Plan
    steps: int
    trace: Trace
    violation: Violation | None = None
    counts: dict[str, int] = field(default_factory=dict)


def run(plan: Plan, actions: Sequence[Action] | None = None, *, is_kept: bool = False) -> Result:
    """Carry out `plan`, or only `actions` of it; `is_kept` keeps the lines of the trace."""
    trace = Trace(is_kept=is_kept)
    with tree_of(plan.profile.history_count):
        world = None
        violation = None
        try:
            world = World(plan, trace)
            carry_out(world, plan.actions if actions is None else actions)
            _finish(world)
            _judge(world)
        except Violation as found:
            violation = found
        except Undecided as undecided:
            violation = Violation(UNDECIDED, str(undecided))
        except Exception as error:  # an edge: whatever the code under test raises is a finding
            violation = Violation(NO_EXCEPTION, f"{type(error).__name__}: {error}")
            violation.__cause__ = error
    if violation is not None:
        trace.add(f"violation {violation}")
    if world is None:
        return Result(plan, 0, trace, violation)
    return Result(plan, world.scheduler.steps, trace, violation, world.counts)


def _finish(world: World) -> None:
    """Heal, and wait until every member has all that is committed, and each can write."""
    world.heal()
    acknowledged: set[int] = set()
    _converge(world, acknowledged)
    while not _is_leader_kept(world):
        _converge(world, acknowledged)
    _converge(world, acknowledged)  # commands of the leader's own go on: end between two


def _converge(world: World, acknowledged: set[int]) -> None:
    period = world.profile.election_ticks * world.profile.tick
    for _ in range(PATIENCE_ELECTIONS):
        for member in world.alive():
            if member.id not in acknowledged and _is_member(world, member):
                _probe(world, member, acknowledged)
        world.scheduler.run_until(world.scheduler.now + period)
        if _is_converged(world, acknowledged):
            return
    state = [(m.id, m.applied, m.core.state.role.name) for m in world.alive()]
    raise Violation(
        LIVENESS,
        f"after {PATIENCE_ELECTIONS} election timeouts: {state}, {world.agreement.truth.conf}, "
        f"probes answered by {sorted(acknowledged)}",
    )


def _is_leader_kept(world: World) -> bool:
    """Let some time pass in which no member, removed or not, has a reason to campaign.

    False if the leader left by itself: its removal, asked for long ago, came true only now.
    """
    leader = world.leader()
    term = leader.core.state.term if leader is not None else 0
    period = world.profile.election_ticks * world.profile.tick
    world.scheduler.run_until(world.scheduler.now + STABLE_ELECTIONS * period)
    if leader is not None and leader.id not in world.agreement.truth.conf.voters:
        return False
    later = world.leader()
    if leader is None or later is not leader or later.core.state.term != term:
        raise Violation(STABILITY, f"{leader and leader.id} led {term}, then {later and later.id}")
    return True


def _is_member(world: World, member: SimulatedMember) -> bool:
    conf = world.agreement.truth.conf
    return member.id in conf.voters or member.id in conf.learners


def _probe(world: World, member: SimulatedMember, acknowledged: set[int]) -> None:
    """Write through `member`, and remember it when that was answered."""

    def answered(outcome: Outcome) -> None:
        if outcome is not None:
            acknowledged.add(member.id)
            world.note(f"probe {member.id}")

    key = PROBE + b"/%d" % member.id
    member.propose(Command(CommandKind.SET, member.now_ns, key, b"probe"), answered)


def _is_converged(world: World, acknowledged: set[int]) -> bool:
    """Whether all members have applied the same, answered, and nothing is under way."""
    conf = world.agreement.truth.conf
    expected = {*conf.voters, *conf.learners}
    present = {member.id: member for member in world.alive()}
    if not expected <= present.keys() | world.watch.lost_ids:
        return False
    committed = world.agreement.truth.committed
    reached = [present[member_id] for member_id in sorted(expected & present.keys())]
    if any(member.applied != committed for member in reached):
        return False
    leader = world.leader()
    if leader is None or leader.id not in conf.voters:
        return False
    if any(member.id not in acknowledged for member in reached):
        return False
    return all(member.core.state.is_removed for member in world.alive() if _is_gone(world, member))


def _is_gone(world: World, member: SimulatedMember) -> bool:
    """Whether the cluster has removed a member that still runs."""
    return any(member.id in other.core.state.removed for other in world.alive())


def _judge(world: World) -> None:
    """Check all that can only be known at the end."""
    truth = world.agreement.truth
    for member in world.alive():
        if _is_member(world, member):
            world.agreement.compare_digest(member, member.applied)
            if member.tree.index != len(truth.events):
                raise Violation(MACHINE_SAFETY, f"{member.id} ends at {member.tree.index}")
    _check_writes(world)
    history = world.clients.history
    check_indexes(history.operations())
    for key, operations in history.by_key.items():
        check_key(key, operations)
    _check_watchers(world)


def _check_writes(world: World) -> None:
    """Every acknowledged write stands in the one history, as it was answered."""
    events = world.agreement.truth.events
    for index, (key, value) in world.clients.writes.items():
        if index > len(events):
            raise Violation(NO_LOST_WRITE, f"write {index} of {key!r} was lost")
        event = events[index - 1]
        if (event.node.key, event.node.value) != (key, value):
            raise Violation(NO_LOST_WRITE, f"write {index} of {key!r} is now {event}")


def _check_watchers(world: World) -> None:
    """Bring every session up to date, then compare what it saw with all that happened."""
    truth = world.agreement.truth
    members = [member for member in world.alive() if _is_member(world, member)]
    for machine in world.machines:
        member = machine.member
        if member is not None and not _is_member(world, member):
            member.end()  # its clients find another one
    for session in world.clients.sessions:
        while session.watcher is None:
            before = session.expected
            session.connect(members[session.number % len(members)].tree)
            if session.watcher is None and session.expected == before:
                raise Violation(LIVENESS, f"{session} ends and ends again")
        session.check(truth.events, len(truth.events))


@contextmanager
def tree_of(history_count: int) -> Iterator[None]:
    """Have trees keep fewer events than etcd's thousand, and snapshots leave fewer changes to the
    last slice of their rows: a run is too short to pass the real bounds.
    """
    smaller = (
        (vars(tree_history), "EVENTS_MAX", history_count),
        (vars(tree_snapshot), "EVENTS_MAX", history_count),
        (vars(tree_capture), "CHANGES_LEFT_MAX", CHANGES_LEFT_MAX),
    )
    before = [(module, name, module[name]) for module, name, _ in smaller]
    log = logging.getLogger("etcdpy.etcdserver.membership")
    level = log.level
    log.setLevel(logging.CRITICAL)
    for module, name, value in smaller:
        module[name] = value
    try:
        yield
    finally:
        for module, name, value in before:
            module[name] = value
        log.setLevel(level)
