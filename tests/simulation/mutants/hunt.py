"""Hunt: who catches a mutant, a transcript of the core or the simulator, and after how much."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path

from etcdpy.consensus.core import Raft, Ready
from tests.consensus.transcript import Case, Stage, parse
from tests.simulation.directed import DIRECTED
from tests.simulation.mutants import elections, replication, requests, store
from tests.simulation.mutants.harness import MUTANTS, Mutant, Patches, sabotaged
from tests.simulation.plan import draw_plan
from tests.simulation.run import run

TRANSCRIPTS = Path(__file__).parents[2] / "consensus" / "data"
SOURCES = (elections, replication, requests, store)  # importing them is what fills MUTANTS

#: Actions per seed of a hunt: more short runs find more than few long ones.
HUNT_ACTIONS = 600

#: Far above what any transcript takes.
BATCHES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Catch:
    """What caught a mutant.  `seeds` 0: no drawn plan did."""

    mutant: str
    seeds: int
    invariant: str
    directed: str  # the directed plan that caught it where no drawn one did
    transcripts: tuple[str, ...]

    @property
    def is_caught(self) -> bool:
        """Whether anything caught it."""
        return bool(self.seeds or self.directed or self.transcripts)


def hunt(defect: Mutant, seeds_max: int) -> Catch:
    """Let transcripts and up to `seeds_max` seeds try to catch the defect."""
    with sabotaged(defect):
        transcripts = tuple(failing_transcripts())
        for seed in range(seeds_max):
            violation = run(draw_plan(seed, HUNT_ACTIONS)).violation
            if violation is not None:
                return Catch(defect.name, seed + 1, violation.invariant, "", transcripts)
        for plan in DIRECTED:
            violation = run(plan(0)).violation
            if violation is not None:
                return Catch(defect.name, 0, violation.invariant, plan.__name__, transcripts)
    return Catch(defect.name, 0, "", "", transcripts)


def failing_transcripts() -> Iterator[str]:
    """Yield the names of the transcripts that do not replay."""
    for name, cases in _transcripts():
        if not _replays(cases):
            yield name


@cache
def _transcripts() -> tuple[tuple[str, list[Case]], ...]:
    return tuple((path.stem, parse(path.read_text())) for path in sorted(TRANSCRIPTS.glob("*.txt")))


def _replays(cases: list[Case]) -> bool:
    stage = Stage()
    patches = Patches()
    try:
        _limit_batches(patches)
        return cases == [replace(case, expected=stage.do(case.command)) for case in cases]
    except Exception:  # an edge: whatever a defect breaks is a catch
        return False
    finally:
        patches.undo()


def _limit_batches(patches: Patches) -> None:
    """Let a transcript fail whose members never settle."""
    batches = count(1)
    ready = Raft.ready

    def counted(self: Raft) -> Ready:
        if next(batches) > BATCHES_MAX:
            raise RuntimeError("the members never settle")
        return ready(self)

    patches.replace(Raft, "ready", counted)


def all_mutants() -> list[Mutant]:
    """Return all mutants, in the order of their files."""
    assert SOURCES
    return list(MUTANTS.values())
