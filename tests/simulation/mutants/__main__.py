"""`python -m tests.simulation.mutants`: the table of who catches which mutant."""

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.mutants.hunt import Catch, all_mutants, hunt


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 1 if a mutant lives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=200, help="how many to try on each")
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    options = parser.parse_args(arguments)
    print("| mutant | seeds | invariant | transcripts |\n|---|---|---|---|")
    catches: list[Catch] = []
    for defect in all_mutants():
        if options.only in defect.name:
            catch = hunt(defect, options.seeds)
            catches.append(catch)
            print(_row(catch), flush=True)
    alive = [catch.mutant for catch in catches if not catch.is_caught]
    print(f"\n{len(catches)} mutants, {len(alive)} alive{': ' if alive else ''}{'; '.join(alive)}")
    return 1 if alive else 0


def _row(catch: Catch) -> str:
    seeds = str(catch.seeds) if catch.seeds else catch.directed or "not caught"
    transcripts = ", ".join(catch.transcripts[:2])
    if len(catch.transcripts) > 2:
        transcripts += f" and {len(catch.transcripts) - 2} more"
    return f"| {catch.mutant} | {seeds} | {catch.invariant} | {transcripts} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
