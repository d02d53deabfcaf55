"""Directed plans: cases that chance seldom reaches, on the same harness as the drawn ones.

Each is a function from a seed, which still decides delays and timeouts, to a plan.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

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


def torn_ends_of_segments(seed: int) -> Plan:
    """A disk fills up amid long frames, then short ones end the segment, then the member restarts.

    What is left of a torn frame does no harm while frames are written over it, for it holds no
    head where one is looked for.  But a segment that has another one after it must end with a
    good frame: what still lies behind that would keep the member from starting.
    """
    profile = replace(
        draw_plan(seed, 1, 1).profile,
        groups=(),
        tick=20 * MS,
        election_ticks=4,
        heartbeat_ticks=1,
        sync_min=1 * MS,
        sync_max=3 * MS,
        snapshot_count=1_000,
        segment_bytes=280,  # a few frames: the one of a new term often ends it
        key_count=2,
        turn=0,
    )
    election_ms = 4 * 20
    random = Random(f"{seed}/torn")
    actions: list[Action] = []
    at = 500
    for _ in range(24):
        for _ in range(random.randrange(4)):  # so that the tear is anywhere in a segment
            actions.append(Action(at * MS, Act.SET, 0, random.randrange(1 << 16), 0))
            at += 10
        free_bytes = random.randrange(100, 200)
        actions.append(Action(at * MS, Act.FULL_DISK, 0, election_ms // 2, free_bytes))
        for step in range(20):  # several to a frame, since a frame takes longer
            actions.append(Action(at * MS + step * 200 * US, Act.SET, 0, step, 0))
        at += 4 * election_ms
        actions.append(Action(at * MS, Act.SET, 0, 0, 0))
        at += election_ms
        actions.append(Action(at * MS, Act.STOP, 0, election_ms // 2, 0))
        at += 3 * election_ms
    return Plan(seed, profile, tuple(actions))


def snapshot_under_load(seed: int) -> Plan:
    """A member comes back while clients write more than the log keeps, in the time of a transfer.

    Without what is kept for it, the snapshot that it gets is followed by nothing but the next one.
    """
    profile = replace(
        draw_plan(seed, 1, 3).profile,
        groups=(),
        faults=LinkFaults(100 * US, 300 * US),
        tick=20 * MS,
        election_ticks=8,
        heartbeat_ticks=1,
        sync_min=50 * US,
        sync_max=200 * US,
        snapshot_count=20,
        tail_count=20,
        transfer_delays=400,  # 40 to 120 ms: a write each millisecond
        key_count=8,
        turn=0,
    )
    election_ms = 8 * 20
    down_ms = 3 * election_ms  # who remain elect a leader if it led, and write past the tail
    actions = [Action(500 * MS, Act.STOP, 0, down_ms, 0)]
    actions += [Action((500 + step) * MS, Act.SET, step, step, 0) for step in range(1_400)]
    return Plan(seed, profile, tuple(actions))


DIRECTED: tuple[Callable[[int], Plan], ...] = (
    deposed_leader_with_learners,
    snapshot_under_load,
    torn_ends_of_segments,
)
