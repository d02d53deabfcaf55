"""Mutants that are caught within a few seeds; the others need `python -m tests.simulation.mutants`.

A test of the simulator itself: one that nothing can fail proves nothing.
"""

import pytest

from tests.simulation.mutants.harness import MUTANTS, sabotaged
from tests.simulation.mutants.hunt import HUNT_ACTIONS, all_mutants, failing_transcripts
from tests.simulation.plan import draw_plan
from tests.simulation.run import run

#: Mutant -> a seed that catches it.  From the table that the hunt prints.
QUICK: dict[str, int] = {}


def test_there_are_enough_mutants() -> None:
    assert len(all_mutants()) >= 20


@pytest.mark.parametrize("name", QUICK)
def test_the_simulator_catches(name: str) -> None:
    with sabotaged(MUTANTS[name]):
        assert run(draw_plan(QUICK[name], HUNT_ACTIONS)).violation is not None


def test_without_a_mutant_the_same_seeds_and_transcripts_pass() -> None:
    for seed in sorted(set(QUICK.values())):
        assert run(draw_plan(seed, HUNT_ACTIONS)).violation is None
    assert list(failing_transcripts()) == []
