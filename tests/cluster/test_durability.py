"""kill -9 and SIGTERM under load: what was acknowledged is there, once, with its index.

ETCDPY_SEED replays the choices of a failed run (not its timing); ETCDPY_SOAK_ROUNDS is the number
of rounds of the soak.
"""

import os
import random
import secrets
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from tests.cluster.check import Tree, find_faults, read_tree
from tests.cluster.load import COUNTERS, Action, Write, start_writers
from tests.harness.client import Connection, query
from tests.harness.process import Kind, Launcher, Member

pytest_plugins = ("tests.harness.plugin",)

WRITERS = 8
LOAD_S = (0.1, 0.8)
JOIN_DEADLINE_S = 20.0
HISTORY = 1000
# Small enough for several snapshots in one round, and none at all.
SNAPSHOT_COUNTS = (20, 100, 700, 100_000)
ROUNDS_PER_DATA_DIR = 20
SOAK_ROUNDS = int(os.environ.get("ETCDPY_SOAK_ROUNDS", "200"))


@dataclass(frozen=True, slots=True)
class Round:
    """What one round is to do, drawn from the seed."""

    label: str
    load_s: float
    ending: signal.Signals
    snapshot_count: int
    crash_while_starting_s: float | None


def draw_round(label: str, source: random.Random) -> Round:
    ending = signal.SIGTERM if source.random() < 0.2 else signal.SIGKILL
    starting = source.uniform(0.05, 0.6) if source.random() < 0.25 else None
    load_s, snapshot_count = source.uniform(*LOAD_S), source.choice(SNAPSHOT_COUNTS)
    return Round(label, load_s, ending, snapshot_count, starting)


def start(member: Member, snapshot_count: int) -> None:
    member.options = ("--snapshot-count", str(snapshot_count))
    member.start()


def make_counters(member: Member) -> None:
    for i in range(COUNTERS):
        assert member.request("PUT", f"/v2/keys/n/{i}", {"value": "0"}).status == 201


def write_until_ended(member: Member, plan: Round) -> list[Write]:
    """Load the member, end it in the middle, and return what the writers know."""
    ending = threading.Event()
    writers = start_writers(member.client_url, WRITERS, plan.label, ending)
    time.sleep(plan.load_s)
    ending.set()
    assert member.stop(plan.ending) == -plan.ending
    for writer in writers:
        writer.join(JOIN_DEADLINE_S)
        assert not writer.is_alive(), f"{writer.name} still waits for an answer"
    faults = [fault for writer in writers for fault in writer.faults]
    assert not faults, faults[:10]
    writes = [write for writer in writers for write in writer.writes]
    assert len(writes) > WRITERS, "hardly any load: the round shows nothing"
    return writes


def come_back(member: Member, plan: Round) -> range:
    """Start the member again, perhaps with a crash on the way; return how often it may count."""
    if plan.crash_while_starting_s is None:
        start(member, plan.snapshot_count)
        return range(1, 2)
    member.launch()
    time.sleep(plan.crash_while_starting_s)
    member.kill()
    start(member, plan.snapshot_count)
    return range(1, 3)


def check_history(member: Member, writes: list[Write], index: int, source: random.Random) -> None:
    """Read some acknowledged writes back as the events that a watcher would have been told."""
    recent = [w for w in writes if w.index is not None and w.index > index - HISTORY + 50]
    with Connection(member.client_url) as connection:
        for write in source.sample(recent, min(10, len(recent))):
            path = query(f"/v2/keys{write.key}", wait="true", waitIndex=write.index or 0)
            event = connection.request("GET", path).json()
            wanted = "create" if write.action is Action.APPEND else str(write.action)
            assert (event["action"], event["node"]["modifiedIndex"]) == (wanted, write.index)


def run_rounds(member: Member, seed: str, rounds: int) -> None:
    """Run `rounds` rounds on one data directory; what one round left is where the next begins."""
    source = random.Random(seed)
    start(member, source.choice(SNAPSHOT_COUNTS))
    make_counters(member)
    before = read_tree(member.client_url)
    for number in range(rounds):
        plan = draw_round(f"{seed}.{number}", source)
        writes = write_until_ended(member, plan)
        restarts = come_back(member, plan)
        after = read_tree(member.client_url)
        faults = find_faults(before, writes, after, restarts)
        assert not faults, (plan, len(writes), faults[:10])
        check_history(member, writes, after.index, source)
        before = after
    assert member.stop() < 0
    member.start()
    after = read_tree(member.client_url)
    assert after == Tree(before.index + 1, before.files)


def run_seeded(member: Member, rounds: int) -> None:
    seed = os.environ.get("ETCDPY_SEED") or f"{secrets.randbits(32):08x}"
    try:
        run_rounds(member, seed, rounds)
    except BaseException as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        error.add_note(f"again: ETCDPY_SEED={seed} pytest '{test}'")
        raise


@pytest.mark.parametrize("campaign", range(2))
def test_nothing_acknowledged_is_lost(launch_etcdpy: Launcher, campaign: int) -> None:
    run_seeded(launch_etcdpy(), rounds=5)


@pytest.mark.live
def test_the_reference_passes_the_same_test(launch_etcdpy: Launcher) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    run_seeded(launch_etcdpy(kind=Kind.ETCD), rounds=2)


LONE_WRITES = [
    ("PUT", "/v2/keys/a", {"value": "1"}),
    ("POST", "/v2/keys/q", {"value": "2"}),
    ("PUT", "/v2/keys/a?prevValue=1", {"value": "3"}),
    ("PUT", "/v2/keys/d?dir=true", {}),
    ("DELETE", "/v2/keys/a", None),
]


def test_a_lone_write_is_on_disk_when_it_is_answered(launch: Launcher) -> None:
    """Nothing comes after the write that could carry it to the disk before the kill."""
    member = launch().start()
    for restarts, (method, target, form) in enumerate(LONE_WRITES):
        answer = member.request(method, target, form)
        member.kill()
        assert (answer.status in (200, 201), answer.index) == (True, 4 + 2 * restarts)
        member.start()
        assert member.request("GET", "/v2/keys/").index == answer.index + 1
        path = query("/v2/keys/", recursive="true", wait="true", waitIndex=answer.index)
        event = member.request("GET", path)
        assert event.json() == answer.json()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(-(-SOAK_ROUNDS // ROUNDS_PER_DATA_DIR)))
def test_nothing_acknowledged_is_lost_in_many_rounds(launch_etcdpy: Launcher, part: int) -> None:
    run_seeded(launch_etcdpy(), min(ROUNDS_PER_DATA_DIR, SOAK_ROUNDS - part * ROUNDS_PER_DATA_DIR))
