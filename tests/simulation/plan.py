"""Plan: all that a seed decides beforehand: the profile of a run and its list of actions.

Actions are drawn before the run and know nothing of it: they name slots (places for members) and
small numbers, which `world` resolves when their time comes.  So any part of the list is a list
too, and a failing one can be shrunk.  Which kinds of faults a seed has at all is drawn as well
(swarm testing): a bug often needs the absence of the fault that would hide it.
"""

from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import NamedTuple

from tests.simulation.network import LinkFaults
from tests.simulation.scheduler import MS, US


class Act(IntEnum):
    """What is done.  `a`, `b`, `c` of an Action are numbers whose use stands with each."""

    SET = 1  # a: slot, b: key, c: with a TTL if 1
    CREATE = 2
    UPDATE = 3
    SWAP = 4  # c: compare the value (0), the index (1) or both (2), as the key was last seen
    DELETE = 5
    COMPARE_DELETE = 6
    POST = 7  # an in-order key
    READ = 8  # quorum
    NOISE = 9  # c: one of the rarer commands (directories, refreshes, hidden keys)
    WATCH = 10  # a: slot, b: key, c: kind; a session begins, or one that waits reconnects
    CRASH = 20  # a: slot, b: duration in ms, c: when 1, in the midst of a write
    STOP = 21  # as CRASH, but the process ends orderly: nothing unsynced is lost
    PARTITION = 22  # a: bit set of slots on one side, b: duration in ms
    ONE_WAY = 23  # a, c: from slot, to slot; b: duration in ms
    ISOLATE_LEADER = 24  # b: duration in ms; c: both ways, only out, only in, with learners
    SLOW_LINK = 25  # a, c: from, to; b: duration in ms
    CUT = 26  # a, c: the two ends: what is on its way is lost
    PAUSE = 27  # a: slot, b: duration in ms: it does nothing at all, its clock stands
    SLOW_DISK = 28  # a: slot, b: duration in ms
    FULL_DISK = 29  # a: slot, b: duration in ms
    FAIL_SYNC = 30  # a: slot; the next fsync fails
    STALE_LEADER = 31  # a: the one follower whose words reach it, late
    ADD_VOTER = 40  # a: slot asked; a new member in a free slot
    ADD_LEARNER = 41
    PROMOTE = 42  # a: slot asked, b: which learner
    REMOVE = 43  # a: slot asked, b: which member
    REMOVE_LEADER = 44  # a: slot asked
    UPDATE_MEMBER = 45  # a: slot asked, b: which member
    WIPE = 46  # a: slot; its disk is lost for good, the operator replaces the member
    TRANSFER = 47  # a: slot asked, b: to which member
    SNAPSHOT = 48  # a: slot


class Action(NamedTuple):
    """One action at a time in virtual nanoseconds."""

    at: int
    act: Act
    a: int
    b: int
    c: int

    def __str__(self) -> str:
        return f"{self.at / MS:.3f} ms {self.act.name} {self.a} {self.b} {self.c}"


#: Chances of the acts that every seed has.
CLIENT_WEIGHTS: dict[Act, int] = {
    Act.SET: 220,
    Act.CREATE: 80,
    Act.UPDATE: 60,
    Act.SWAP: 130,
    Act.DELETE: 70,
    Act.COMPARE_DELETE: 30,
    Act.POST: 40,
    Act.READ: 160,
    Act.NOISE: 70,
    Act.WATCH: 40,
}

#: Acts by groups; a seed has each group or not, see FAULT_CHANCE.
FAULT_GROUPS: dict[str, dict[Act, int]] = {
    "crash": {Act.CRASH: 12, Act.STOP: 3},
    "partition": {Act.PARTITION: 8, Act.ISOLATE_LEADER: 8, Act.STALE_LEADER: 4},
    "one_way": {Act.ONE_WAY: 10},
    "slow": {Act.SLOW_LINK: 6, Act.CUT: 10, Act.SLOW_DISK: 6},
    "pause": {Act.PAUSE: 8},
    "disk": {Act.FULL_DISK: 3, Act.FAIL_SYNC: 4},
    "membership": {
        Act.ADD_VOTER: 7,
        Act.ADD_LEARNER: 7,
        Act.PROMOTE: 9,
        Act.REMOVE: 7,
        Act.REMOVE_LEADER: 4,
        Act.UPDATE_MEMBER: 2,
        Act.WIPE: 5,
    },
    "transfer": {Act.TRANSFER: 10},
    "snapshot": {Act.SNAPSHOT: 15},
}
FAULT_CHANCE = 0.6

ACTIONS_MIN = 2_000
SLOT_COUNT = 9  # above the largest cluster, so that members can be added


@dataclass(frozen=True, slots=True)
class Profile:
    """What is drawn once per run."""

    voter_count: int
    groups: tuple[str, ...]
    faults: LinkFaults
    tick: int  # virtual nanoseconds
    drift: float  # a member's tick lasts up to this much more or less, as a part of 1
    election_ticks: int
    heartbeat_ticks: int
    sync_min: int  # how long one fsync takes
    sync_max: int
    snapshot_count: int  # entries between two snapshots
    tail_count: int  # entries kept behind a snapshot
    transfer_delays: int  # how many times as long as a message a snapshot is on its way
    append_bytes_max: int
    inflight_count_max: int
    apply_count_max: int  # entries in one slice of applying
    segment_bytes: int
    ahead_bytes: int
    key_count: int
    history_count: int  # events that the tree keeps
    turn: int  # how long a member gathers before it handles a batch, 0 for not at all
    is_wired: bool  # messages travel as bytes, through encode and decode


class Plan(NamedTuple):
    """A whole run."""

    seed: int
    profile: Profile
    actions: tuple[Action, ...]


def draw_plan(seed: int, action_count: int = ACTIONS_MIN, voter_count: int = 0) -> Plan:
    """Return the plan that `seed` stands for; `voter_count` 0 leaves that to the seed too."""
    random = Random(f"{seed}/plan")
    profile = _draw_profile(random, voter_count)
    weights = dict(CLIENT_WEIGHTS)
    for group in profile.groups:
        weights.update(FAULT_GROUPS[group])
    acts = random.choices(list(weights), list(weights.values()), k=action_count)
    gap = random.choice((1, 2, 4, 8)) * MS
    now = 0
    actions: list[Action] = []
    for act in acts:
        now += int(random.random() ** 2 * 3 * gap)  # bursts and pauses, `gap` on average
        actions.append(_draw_action(random, act, now, profile))
    return Plan(seed, profile, tuple(actions))


def _draw_profile(random: Random, voter_count: int) -> Profile:
    voters = voter_count or random.choices((1, 2, 3, 4, 5, 7), (3, 3, 50, 4, 36, 4))[0]
    groups = tuple(name for name in FAULT_GROUPS if random.random() < FAULT_CHANCE)
    delay = random.choice((100 * US, 500 * US, 2 * MS))
    is_lossy = random.random() < 0.5
    sync = random.choice((50 * US, 500 * US, 3 * MS))
    heartbeat_ticks = random.choice((1, 2, 3))
    return Profile(
        voter_count=voters,
        groups=groups,
        faults=LinkFaults(
            delay_min=delay // 2,
            delay_max=delay * random.choice((1, 2, 8)),
            loss=random.choice((0.001, 0.01, 0.05)) if is_lossy else 0.0,
            duplication=random.choice((0.0, 0.01, 0.1)),
            reordering=random.choice((0.0, 0.02, 0.2)),
            overtaken_max=delay * random.choice((4, 40)),
        ),
        tick=20 * MS,
        drift=random.choice((0.0, 0.01, 0.1)),
        election_ticks=heartbeat_ticks * 3 + random.choice((2, 5)),
        heartbeat_ticks=heartbeat_ticks,
        sync_min=sync // 5,
        sync_max=sync * random.choice((1, 4)),
        snapshot_count=random.choice((20, 60, 250, 1_000)),
        tail_count=random.choice((0, 5, 50)),
        transfer_delays=3,
        append_bytes_max=random.choice((200, 1_000, 1 << 20)),
        inflight_count_max=random.choice((1, 4, 256)),
        apply_count_max=random.choice((1, 7, 1_024)),
        segment_bytes=random.choice((2_000, 20_000, 1 << 26)),
        history_count=random.choice((60, 200, 1_000)),
        turn=random.choice((0, 0, 50 * US)),
        key_count=random.choice((1, 3, 8)),
        is_wired=random.random() < 0.1,
        ahead_bytes=random.choice((0, 300, 9_000)),
    )


def _draw_action(random: Random, act: Act, now: int, profile: Profile) -> Action:
    a, b, c = random.randrange(1 << 16), random.randrange(1 << 16), random.randrange(1 << 16)
    if act in _LASTING:
        election_ms = profile.election_ticks * profile.tick // MS
        b = int(random.choice((0.2, 1, 3)) * election_ms * (0.2 + random.random()))
    return Action(now, act, a, b, c)


_LASTING = frozenset(
    {
        Act.CRASH,
        Act.STOP,
        Act.PARTITION,
        Act.ONE_WAY,
        Act.ISOLATE_LEADER,
        Act.SLOW_LINK,
        Act.PAUSE,
        Act.SLOW_DISK,
        Act.FULL_DISK,
    }
)
