"""Faults: what is done to machines, disks and the network.  Each ends by itself after a while."""

import errno

from tests.simulation.machine import Doom
from tests.simulation.member import SimulatedMember
from tests.simulation.network import Link
from tests.simulation.plan import Act, Action
from tests.simulation.scheduler import MS
from tests.simulation.world import World

SLOWNESS = 20  # of a slow disk
STALE_ELECTIONS = 2.5  # how old the words are that a stale leader hears, in election timeouts
SLOWNESSES = (20, 100, 400)  # of slow links


def crash(world: World, action: Action) -> None:
    """CRASH, STOP: now, or in the midst of the next write."""
    machine = world.machine_at(action.a)
    is_crash = action.act is Act.CRASH
    doom = Doom(is_crash and action.c % 8 > 1, action.b * MS)
    member = machine.member
    if is_crash and action.c % 2 and member is not None and not member.is_busy:
        machine.doom = doom
        return
    machine.doom = None
    world.end(machine, is_power_lost=doom.is_power_lost, is_in_write=is_crash)
    world.boot_later(machine, doom.duration)


def partition(world: World, action: Action) -> None:
    """PARTITION, ONE_WAY, ISOLATE_LEADER."""

    def unblock(ends: tuple[int, int]) -> None:
        world.network.unblock(*ends)

    for sender, receiver in _severed(world, action):
        world.network.block(sender, receiver)
        world.scheduler.after(action.b * MS, unblock, (sender, receiver))


def _severed(world: World, action: Action) -> list[tuple[int, int]]:
    ids = [machine.member_id for machine in world.machines if machine.member_id]
    if action.act is Act.ONE_WAY:
        sender, receiver = ids[action.a % len(ids)], ids[action.c % len(ids)]
        return [(sender, receiver)] if sender != receiver else []
    if action.act is Act.PARTITION:
        pairs = [(one, other) for one in ids for other in ids if one != other]
        return [(s, r) for s, r in pairs if (action.a >> s % 16 ^ action.a >> r % 16) & 1]
    leader = world.leader()
    if leader is None:
        return []
    out = [(leader.id, other) for other in ids if other != leader.id]
    into = [(receiver, sender) for sender, receiver in out]
    # The last: learners stay on its side, who are no quorum however many they are.
    voters = set(leader.core.state.voters) - {leader.id}
    mine = [other for other in ids if other not in voters]
    away = [(one, other) for one in mine for other in sorted(voters)]
    away += [(other, one) for one, other in away]
    return (out + into, out, into, away)[action.c % 4]


def make_stale(world: World, action: Action) -> None:
    """STALE_LEADER: a leader that is heard by nobody, and still hears one other, of long ago.

    So it may believe in itself for longer than is true: the case that reads must survive.  First
    the one is delayed; when the leader gets its old words, it loses all the others.
    """
    leader = world.leader()
    others = [machine.member_id for machine in world.machines if machine.member_id]
    if leader is None or len(others) < 3 or leader.id not in others:
        return
    leader_id = leader.id
    others.remove(leader_id)
    heard = others[action.a % len(others)]
    link = world.network.link(heard, leader_id)
    link.extra_delay = int(STALE_ELECTIONS * world.profile.election_ticks * world.profile.tick)
    ends = [(leader_id, other) for other in others]
    ends += [(other, leader_id) for other in others if other != heard]

    def sever(_: None) -> None:
        if world.is_healed:
            return
        for sender, receiver in ends:
            world.network.block(sender, receiver)

    def restore(_: None) -> None:
        link.extra_delay = 0
        for sender, receiver in ends:
            world.network.unblock(sender, receiver)

    world.scheduler.after(link.extra_delay, sever, None)
    world.scheduler.after(2 * link.extra_delay, restore, None)


def slow_link(world: World, action: Action) -> None:
    """SLOW_LINK."""
    ends = world.machine_at(action.a).member_id, world.machine_at(action.c).member_id
    _slow_down(world, world.network.link(*ends), action.b)


def _slow_down(world: World, link: Link, duration_ms: int) -> None:
    link.slowness = world.random.choice(SLOWNESSES)

    def restore(_: None) -> None:
        link.slowness = 1

    world.scheduler.after(duration_ms * MS, restore, None)


def cut(world: World, action: Action) -> None:
    """CUT."""
    one, other = world.machine_at(action.a).member_id, world.machine_at(action.c).member_id
    world.network.cut(one, other)
    world.network.cut(other, one)


def pause(world: World, action: Action) -> None:
    """PAUSE."""
    member = world.member_at(action.a)
    if member is not None:
        member.pause(world.scheduler.now + action.b * MS)


def slow_disk(world: World, action: Action) -> None:
    """SLOW_DISK."""
    member = world.member_at(action.a)
    if member is None:
        return
    member.disk_slowness = SLOWNESS

    def restore(slow: SimulatedMember) -> None:
        slow.disk_slowness = 1

    world.scheduler.after(action.b * MS, restore, member)


def full_disk(world: World, action: Action) -> None:
    """FULL_DISK."""
    machine = world.machine_at(action.a)
    machine.files.free_bytes = action.c % 200

    def free(_: None) -> None:
        machine.files.free_bytes = None

    world.scheduler.after(action.b * MS, free, None)


def fail_sync(world: World, action: Action) -> None:
    """FAIL_SYNC."""
    machine = world.machine_at(action.a)
    if machine.member is None:
        return

    def refuse(operation: str, path: str) -> None:
        if operation in ("fdatasync", "fsync_dir"):
            machine.files.on_operation = None
            machine.has_refused = True
            raise OSError(errno.EIO, "Input/output error", path)

    machine.files.on_operation = refuse
