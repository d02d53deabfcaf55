"""The simulator on a fixed choice of seeds; `make simulate` runs many more.

How long it takes is decided by counts, never by a clock: the same seeds are run on every machine.
"""

import os
import subprocess
import sys

import pytest

from tests.simulation.campaign import Job, batches
from tests.simulation.plan import draw_plan
from tests.simulation.run import run

#: Seeds by blocks, so that a failure names a block and several processes share the work.
BLOCK_SEEDS = 6
BLOCKS = [*range(5), *(pytest.param(block, marks=pytest.mark.soak) for block in range(5, 16))]


@pytest.mark.parametrize("block", BLOCKS)
def test_no_promise_is_broken(block: int) -> None:
    for seed in range(block * BLOCK_SEEDS, (block + 1) * BLOCK_SEEDS):
        violation = run(draw_plan(seed)).violation
        assert violation is None, f"python -m tests.simulation --seed {seed}: {violation}"


@pytest.mark.parametrize("voter_count", [1, 2, 4, 7])
def test_no_promise_is_broken_in_clusters_of_unusual_size(voter_count: int) -> None:
    for seed in range(4):
        violation = run(draw_plan(seed, voter_count=voter_count)).violation
        repeat = f"python -m tests.simulation --seed {seed} --members {voter_count}"
        assert violation is None, f"{repeat}: {violation}"


def test_the_same_seed_gives_the_same_bytes() -> None:
    for seed in (3, 14):
        texts = {run(draw_plan(seed, 600), is_kept=True).trace.text() for _ in range(2)}
        assert len(texts) == 1
        assert len(texts.pop()) > 10_000


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """Sets and dicts of strings are ordered anew in each process: nothing may depend on it."""
    code = (
        "from tests.simulation.plan import draw_plan; from tests.simulation.run import run;"
        "print(*[run(draw_plan(seed, 600)).trace.digest() for seed in (3, 14)])"
    )
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_two_seeds_are_two_runs() -> None:
    assert run(draw_plan(1, 300)).trace.digest() != run(draw_plan(2, 300)).trace.digest()


def test_a_part_of_a_plan_is_a_plan() -> None:
    """What shrinking rests on: any part of the actions can be carried out."""
    plan = draw_plan(5, 600)
    for start in range(0, 600, 150):
        assert run(plan, plan.actions[start : start + 150]).violation is None
    assert run(plan, ()).violation is None


def test_runs_see_the_rare() -> None:
    """Each kind of event that the simulator is there for does happen within a few seeds."""
    seen: set[str] = set()
    for seed in range(6):
        seen |= run(draw_plan(seed)).counts.keys()
    assert seen >= {
        "crashes in a write",
        "disks lost for good",
        "elections won",
        "members stopped by their disk",
        "members told that they were removed",
        "snapshots installed",
        "snapshots sent",
    }


def test_a_campaign_leaves_out_no_seed() -> None:
    jobs = [Job(seed, 2000, 0) for seed in range(40)]
    taken = [job for batch in batches(iter(jobs), 16) for job in batch]
    assert taken == jobs
