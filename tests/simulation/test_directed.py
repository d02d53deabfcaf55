"""The directed plans hold, and do reach what they are for."""

from collections.abc import Callable

import pytest

from tests.simulation.directed import (
    DIRECTED,
    deposed_leader_with_learners,
    snapshot_under_load,
    torn_ends_of_segments,
)
from tests.simulation.mutants.harness import sabotaged
from tests.simulation.mutants.hunt import all_mutants
from tests.simulation.plan import Plan
from tests.simulation.run import run


@pytest.mark.parametrize("plan", DIRECTED, ids=lambda plan: plan.__name__)
def test_no_promise_is_broken(plan: Callable[[int], Plan]) -> None:
    for seed in range(4):
        violation = run(plan(seed)).violation
        assert violation is None, f"seed {seed}: {violation}"


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (deposed_leader_with_learners, "quorum of the read round counts whoever answers"),
        (snapshot_under_load, "log compacted behind a snapshot on its way"),
        (torn_ends_of_segments, "WAL tail not cut"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_defect_is_met_that_it_is_for(plan: Callable[[int], Plan], name: str) -> None:
    mutants = {mutant.name: mutant for mutant in all_mutants()}
    with sabotaged(mutants[name]):
        assert any(run(plan(seed)).violation for seed in range(8))
