"""A loaded cluster keeps every promise under each kind of fault, and under many of them mixed.

ETCDPY_SEED replays the choices of a failed run, not its timing; of a round of the campaign, whose
label is `SEED.NUMBER`, that round alone.  ETCDPY_SOAK_S is how long the campaign goes on.
"""

import itertools
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.campaign import FAST, Clients, Plan, Strike, Tally, draw_plan, run_round
from tests.cluster.nemesis import Fault
from tests.cluster.sessions import Target
from tests.harness.ports import free_port
from tests.harness.process import Kind, wait_until

SOAK_S = float(os.environ.get("ETCDPY_SOAK_S", "1800"))
STRIKES = 6  # in one round
#: The longest that one round may take after the time is up.
ROUND_DEADLINE_S = 600
HOLD_S = 0.8

ENDS = [Fault.KILL_ALL, Fault.KILL_BUSY, Fault.FLAP]
ONE_WAY = [Fault.ONE_WAY, Fault.ONE_WAY_FROM_LEADER, Fault.ONE_WAY_TO_LEADER]
#: Faults that one cluster meets one after the other; a group more is three more starts of a member.
GROUPS: dict[str, tuple[int, list[Fault]]] = {
    "kills": (3, [Fault.KILL_ONE, Fault.KILL_LEADER, Fault.KILL_MAJORITY, *ENDS]),
    "pauses": (3, [Fault.PAUSE_ONE, Fault.PAUSE_LEADER, Fault.PAUSE_MAJORITY, Fault.CLOCKS]),
    "partitions": (3, [Fault.SPLIT, Fault.LEADER_IN_MINORITY, Fault.ISOLATE_EACH, *ONE_WAY]),
    "bad-links": (3, [Fault.SLOW, Fault.LOSSY, Fault.ROLLING_RESTART]),
    "members": (3, [Fault.REPLACE, Fault.CHURN]),
    "held-back": (3, [Fault.HOLD_BACK]),
    "from-one": (1, [Fault.RESIZE]),
    "five": (5, [Fault.KILL_MAJORITY, Fault.LEADER_IN_MINORITY]),
}
#: Every fault is in another group too.
LONG = {"five"}


def draw_seed() -> str:
    return os.environ.get("ETCDPY_SEED") or f"{secrets.randbits(32):08x}"


@contextmanager
def again(seed: str) -> Iterator[None]:
    """Say at a failure how to draw the same once more."""
    try:
        yield
    except BaseException as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        error.add_note(f"again: ETCDPY_SEED={seed} pytest -m '' '{test}'")
        raise


def short_plan(seed: str, size: int, faults: Sequence[Fault]) -> Plan:
    strikes = tuple(Strike((fault,), HOLD_S, peace_s=0.2) for fault in faults)
    options = (*FAST, "--strict-reconfig-check=false", "--snapshot-count", "500")
    return Plan(seed, size, options, snapshot_count=500, sessions=4, strikes=strikes)


def test_every_fault_has_its_turn() -> None:
    short = [faults for name, (_, faults) in GROUPS.items() if name not in LONG]
    assert {fault for faults in short for fault in faults} == set(Fault)


@pytest.mark.parametrize(
    "group",
    [pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in GROUPS],
)
def test_promises_are_kept(tmp_path: Path, group: str) -> None:
    seed = draw_seed()
    with again(seed):
        tally = run_round(Kind.ETCDPY, tmp_path, short_plan(seed, *GROUPS[group]))
        assert tally.outcomes["acknowledged"] > 10, tally
        assert tally.events > 10, tally


def test_the_clients_of_a_failed_round_end_with_it() -> None:
    nobody = [Target("m1", f"http://127.0.0.1:{free_port()}")]
    clients = Clients()
    clients.start(lambda: nobody, ["m1"], short_plan("0", 1, []))
    wait_until(lambda: clients.record.outcomes["unsent"] > 0, 10, "a request")
    with pytest.raises(ZeroDivisionError), clients:
        raise ZeroDivisionError
    assert clients.sessions
    assert clients.watches
    assert not any(thread.is_alive() for thread in (*clients.sessions, *clients.watches))


@pytest.mark.live
def test_the_reference_passes_the_same_test(tmp_path: Path) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    faults = [Fault.KILL_ALL, Fault.LEADER_IN_MINORITY, Fault.ONE_WAY_TO_LEADER, Fault.REPLACE]
    seed = draw_seed()
    with again(seed):
        run_round(Kind.ETCD, tmp_path, short_plan(seed, 3, faults))


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + ROUND_DEADLINE_S)
def test_promises_are_kept_in_a_long_campaign(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Rounds on one new cluster after the other until the time is up."""
    seed = draw_seed()
    record_property("tally", f"ETCDPY_SEED={seed}: {run_campaign(tmp_path, seed)}")


def run_campaign(directory: Path, seed: str) -> Tally:
    """Run the rounds `SEED.0`, `SEED.1`, ... or the one that `seed` names."""
    tally = Tally()
    end_s = time.monotonic() + SOAK_S
    for number in itertools.count():
        label = seed if "." in seed else f"{seed}.{number}"
        with again(label):
            shown = run_round(Kind.ETCDPY, directory / label, draw_plan(label, STRIKES))
        print(f"{label}: {shown}\n", flush=True)
        tally.add(shown)
        shutil.rmtree(directory / label)
        if label == seed or time.monotonic() > end_s:
            break
    return tally
