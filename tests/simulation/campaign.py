"""Campaign: many seeds, in one process or several.

Apart from `__main__`, which a worker cannot import.
"""

import gc
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

from tests.simulation.plan import draw_plan
from tests.simulation.run import run


class Job(NamedTuple):
    """One seed to run."""

    seed: int
    action_count: int
    voter_count: int


class Summary(NamedTuple):
    """What comes back from a worker."""

    job: Job
    steps: int
    seconds: float  # of processor time
    violation: str
    counts: dict[str, int]
    voter_count: int


def do(job: Job) -> Summary:
    """Run one seed.  Its garbage is collected at its end: a run makes little that is cyclic."""
    gc.disable()
    began = time.process_time()
    result = run(draw_plan(*job))
    seconds = time.process_time() - began
    gc.collect()
    gc.enable()
    violation = "" if result.violation is None else str(result.violation)
    voter_count = result.plan.profile.voter_count
    return Summary(job, result.steps, seconds, violation, result.counts, voter_count)


def results(jobs: Iterator[Job], processes: int) -> Iterator[Summary]:
    """Run all jobs and yield what came of each, in no order if there are several processes."""
    if processes < 2:
        yield from map(do, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        # Few at a time, so that a time limit is one: a pool would take all jobs at once.
        for batch in batches(jobs, 8 * processes):
            yield from pool.imap_unordered(do, batch)


def batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    """Yield all jobs, `size` at a time, each taken only when its batch is asked for."""
    while batch := list(islice(jobs, size)):
        yield batch
