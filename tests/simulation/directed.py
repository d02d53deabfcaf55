"""Directed plans: cases that chance seldom reaches, on the same harness as the drawn ones.

Each is a function from a seed, which still decides delays and timeouts, to a plan.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.network import LinkFaults
from tests.simulation.plan import Act, Action, Plan, draw_plan
from tests.simulation.scheduler import MS, US


def deposed_leader_with_learners(seed: int) -> Plan:
    """A leader is alone with learners, while the voters elect another one; all are read from.

    Two learners and the leader are as many as a quorum of the voters, and are none.
    """
    profile = replace(
        draw_plan(seed, 1, 3).profile,
        groups=(),
        faults=LinkFaults(100 * US, 300 * US),
        tick=20 * MS,
        drift=0.1,
        election_ticks=8,
        heartbeat_ticks=1,
        key_count=2,
        turn=0,
    )
    election_ms = 8 * 20
    actions = [Action(500 * MS, Act.ADD_LEARNER, 0, 0, 0)]
    actions.append(Action(1_000 * MS, Act.ADD_LEARNER, 0, 0, 0))
    at = 2_000
    for _ in range(6):
        actions.append(Action(at * MS, Act.ISOLATE_LEADER, 0, 3 * election_ms, 3))
        for step in range(4 * election_ms // 4):
            act = Act.READ if step % 2 else Act.SET
            actions.append(Action((at + 4 * step) * MS, act, step // 2, step, 0))
        at += 6 * election_ms
    return Plan(seed, profile, tuple(actions))


DIRECTED: tuple[Callable[[int], Plan], ...] = (deposed_leader_with_learners,)
