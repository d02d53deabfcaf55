"""The operator: adds, promotes, removes and replaces members, has leadership moved.

It behaves as a careful one does: it gives up a disk only while a quorum of the others remains,
whatever of its own earlier wishes may still come true; while a disk is lost it removes nobody but
its member; an id never comes back.  Nothing else in a run is careful.
"""

from etcdpy.clustering.membership import change_to_add
from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from tests.simulation.machine import Machine
from tests.simulation.member import SimulatedMember
from tests.simulation.plan import SLOT_COUNT, Act, Action
from tests.simulation.world import World, member_row


def add(world: World, action: Action) -> None:
    """ADD_VOTER, ADD_LEARNER: start a member on a free machine and have it added."""
    conf = world.agreement.truth.conf
    asked = world.member_at(action.a)
    if asked is None or len(conf.voters) + len(conf.learners) >= SLOT_COUNT - 1:
        return
    machine = _free_machine(world)
    if machine is None:
        return
    world.settle(machine)
    world.boot(machine)
    is_learner = action.act is Act.ADD_LEARNER
    _propose(world, asked, change_to_add(member_row(machine.member_id, is_learner=is_learner)))


def _free_machine(world: World) -> Machine | None:
    for machine in world.machines:
        if not machine.member_id:
            return machine
    gone = _removed_ids(world)
    for machine in world.machines:
        if machine.member_id in gone and world.is_removal_known(machine.member_id):
            world.end(machine, is_power_lost=False, is_in_write=False)
            world.vacate(machine)
            return machine
    return None


def _removed_ids(world: World) -> set[int]:
    """Return the ids of which some member has applied the removal."""
    removed: set[int] = set()
    for member in world.alive():
        removed |= member.core.state.removed
    return removed


def promote(world: World, action: Action) -> None:
    """PROMOTE."""
    asked = world.member_at(action.a)
    learners = world.agreement.truth.conf.learners
    if asked is not None and learners:
        _propose(world, asked, change_to_add(member_row(learners[action.b % len(learners)])))


def remove(world: World, action: Action) -> None:
    """REMOVE, REMOVE_LEADER; while a disk is lost, only its member is removed."""
    conf = world.agreement.truth.conf
    asked = world.member_at(action.a)
    if asked is None or len(conf.voters) < 2:
        return
    known = (*conf.voters, *conf.learners)
    lost = [member_id for member_id in known if member_id in world.watch.lost_ids]
    leader = world.leader()
    target = known[action.b % len(known)]
    if lost:
        target = lost[0]
    elif action.act is Act.REMOVE_LEADER and leader is not None:
        target = leader.id
    _propose(world, asked, ConfChange(ConfChangeKind.REMOVE, target))


def update_member(world: World, action: Action) -> None:
    """UPDATE_MEMBER."""
    conf = world.agreement.truth.conf
    asked = world.member_at(action.a)
    if asked is not None and conf.voters:
        target = conf.voters[action.b % len(conf.voters)]
        change = change_to_add(member_row(target))
        _propose(world, asked, change._replace(kind=ConfChangeKind.UPDATE))


def wipe(world: World, action: Action) -> None:
    """WIPE: lose a disk for good, if the others can do without, and replace the member."""
    machine = world.machine_at(action.a)
    conf = world.agreement.truth.conf
    if machine.member_id not in conf.voters or not _can_lose_one(world):
        return
    world.note(f"wipe {machine.member_id}")
    world.count("disks lost for good")
    world.watch.lost_ids.add(machine.member_id)
    lost = machine.member_id
    world.end(machine, is_power_lost=False, is_in_write=False)
    world.vacate(machine)
    asked = world.member_at(action.b)
    if asked is not None:
        _propose(world, asked, ConfChange(ConfChangeKind.REMOVE, lost))


def _can_lose_one(world: World) -> bool:
    """Whether a quorum remains, whichever of the proposed removals may still commit."""
    conf = world.agreement.truth.conf
    if any(voter in world.watch.lost_ids for voter in conf.voters):
        return False
    removals = sum(1 for change in world.proposed if change.kind == ConfChangeKind.REMOVE)
    remaining = len(conf.voters) - removals
    return remaining - 1 >= remaining // 2 + 1


def _propose(world: World, asked: SimulatedMember, change: ConfChange) -> None:
    world.proposed.append(change)
    world.note(f"change {change.kind} {change.member_id} by {asked.id}")
    asked.propose_change(change)


def transfer(world: World, action: Action) -> None:
    """TRANSFER."""
    member = world.member_at(action.a)
    voters = world.agreement.truth.conf.voters
    if member is not None and voters:
        member.transfer(voters[action.b % len(voters)])


def snapshot(world: World, action: Action) -> None:
    """SNAPSHOT."""
    member = world.member_at(action.a)
    if member is not None:
        member.want_snapshot()
