"""The directed plans hold, and do reach what they are for."""

from collections.abc import Callable

import pytest

from tests.simulation.directed import DIRECTED, deposed_leader_with_learners
from tests.simulation.mutants import requests
from tests.simulation.mutants.harness import MUTANTS, sabotaged
from tests.simulation.plan import Plan
from tests.simulation.run import run


@pytest.mark.parametrize("plan", DIRECTED, ids=lambda plan: plan.__name__)
def test_no_promise_is_broken(plan: Callable[[int], Plan]) -> None:
    for seed in range(4):
        violation = run(plan(seed)).violation
        assert violation is None, f"seed {seed}: {violation}"


def test_learners_are_no_quorum_of_a_read() -> None:
    assert requests
    with sabotaged(MUTANTS["quorum of the read round counts whoever answers"]):
        violations = [run(deposed_leader_with_learners(seed)).violation for seed in range(8)]
    assert any(violations)
