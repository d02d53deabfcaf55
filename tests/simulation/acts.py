"""Acts: who carries out which action of a plan.  A new kind of action is a new row."""

from collections.abc import Callable, Sequence

from tests.simulation import faults, operators
from tests.simulation.plan import Act, Action
from tests.simulation.world import World

HANDLERS: dict[Act, Callable[[World, Action], None]] = {
    Act.CRASH: faults.crash,
    Act.STOP: faults.crash,
    Act.PARTITION: faults.partition,
    Act.ONE_WAY: faults.partition,
    Act.ISOLATE_LEADER: faults.partition,
    Act.STALE_LEADER: faults.make_stale,
    Act.SLOW_LINK: faults.slow_link,
    Act.CUT: faults.cut,
    Act.PAUSE: faults.pause,
    Act.SLOW_DISK: faults.slow_disk,
    Act.FULL_DISK: faults.full_disk,
    Act.FAIL_SYNC: faults.fail_sync,
    Act.ADD_VOTER: operators.add,
    Act.ADD_LEARNER: operators.add,
    Act.PROMOTE: operators.promote,
    Act.REMOVE: operators.remove,
    Act.REMOVE_LEADER: operators.remove,
    Act.UPDATE_MEMBER: operators.update_member,
    Act.WIPE: operators.wipe,
    Act.TRANSFER: operators.transfer,
    Act.SNAPSHOT: operators.snapshot,
}


def carry_out(world: World, actions: Sequence[Action]) -> None:
    """Do all actions in their time."""
    for action in actions:
        world.scheduler.run_until(action.at)
        world.scheduler.steps += 1
        world.note(f"{action.act.name} {action.a} {action.b} {action.c}")
        handler = HANDLERS.get(action.act)
        if handler is not None:
            handler(world, action)
            continue
        member = world.member_at(action.a)
        if member is not None:
            world.clients.act(member, action)
