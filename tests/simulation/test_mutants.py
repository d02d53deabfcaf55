"""The simulator and the transcripts tried on defects: tests that nothing fails prove nothing.

Here those that a few seeds catch; `python -m tests.simulation.mutants` hunts all of them.
"""

import pytest

from tests.simulation.mutants.harness import MUTANTS, sabotaged
from tests.simulation.mutants.hunt import HUNT_ACTIONS, all_mutants, failing_transcripts
from tests.simulation.plan import draw_plan
from tests.simulation.run import run

#: Caught by the first seeds, in the table that the hunt prints.
QUICK = (
    "append acknowledged before the fsync",
    "change in effect before its commit is on disk",
    "change in effect when appended, by the leader alone",
    "committed entry truncated",
    "configuration forgotten at a restart",
    "configuration forgotten in a snapshot",
    "entry applied before it is committed",
    "entry applied twice",
    "entry of an old term committed by counting",
    "learner counted for the commit",
    "lost append is never sent again",
    "own match counted before the fsync",
    "proposal sent twice: a forward is kept and sent again",
    "proposal taken twice: a second delivery is not recognised",
    "snapshot keeps what was removed while its rows were taken",
    "snapshot lacks what changed while its rows were taken",
    "stale append response moves match back",
    "transfer that leaves two leaders",
    "vote granted before the fsync",
    "vote request sent before the fsync",
    "vote without persisting it",
)
QUICK_SEEDS = 12

#: Caught by transcripts alone, or by them long before a seed does.
BY_TRANSCRIPT = (
    "campaign with an unapplied change",
    "heartbeat commits what the member may not hold",
    "leader begins its term without an entry",
    "log check skipped in a vote",
    "read index given out before an own-term commit",
    "read without a quorum",
    "second change proposed before the first is applied",
    "snapshot installed over newer entries",
    "two votes in one term",
)


def test_there_are_enough_mutants() -> None:
    assert len(all_mutants()) >= 20


@pytest.mark.parametrize("name", QUICK)
def test_the_simulator_catches(name: str) -> None:
    with sabotaged(MUTANTS[name]):
        assert any(run(draw_plan(seed, HUNT_ACTIONS)).violation for seed in range(QUICK_SEEDS))


@pytest.mark.parametrize("name", BY_TRANSCRIPT)
def test_a_transcript_catches(name: str) -> None:
    with sabotaged(MUTANTS[name]):
        assert list(failing_transcripts()) != []


def test_without_a_mutant_transcripts_and_seeds_pass() -> None:
    assert list(failing_transcripts()) == []
    for seed in range(4):
        assert run(draw_plan(seed, HUNT_ACTIONS)).violation is None
