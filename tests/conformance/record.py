"""Record the scenarios again from a real etcd, or check that they still are what it answers.

    python -m tests.conformance.record --etcd PATH --check     # compare; exit code 1 if different
    python -m tests.conformance.record --etcd PATH             # write the answers into the file

A new scenario is written by hand as lines without `response` (see `transcript`) and then recorded;
`--only NAME` leaves the others as they are.  Each scenario has an etcd of its own.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance import transcript
from tests.conformance.replay import Player
from tests.conformance.transcript import Scenarios, Step
from tests.harness.process import Kind, Member, wait_until

FRESH_INDEX = 3


class EtcdAt(Member):
    """A real etcd whose program is at a given path."""

    def __init__(self, program: str, directory: Path) -> None:
        super().__init__(Kind.ETCD, directory, name="default")
        self._program = program

    def arguments(self) -> list[str]:
        """Return the whole command line."""
        return [self._program, *super().arguments()[1:]]


def start_fresh(member: Member) -> Member:
    """Start a new member and wait until its own first writes are done."""
    member.start()
    wait_until(
        lambda: member.request("GET", "/v2/keys/").index >= FRESH_INDEX, 10.0, "the first index"
    )
    return member


def record(etcd: str, steps: list[Step]) -> list[Step]:
    """Return the steps with the answers of a fresh etcd."""
    with (
        tempfile.TemporaryDirectory() as directory,
        EtcdAt(etcd, Path(directory)) as member,
    ):
        return Player(start_fresh(member).client_port).play(steps)


def _differences(old: Scenarios, new: Scenarios) -> list[str]:
    """Return the lines that differ, as a diff shows them."""
    lines = []
    for name, steps in new.items():
        for before, after in zip(old[name], steps, strict=True):
            if transcript.render(before) != transcript.render(after):
                lines += [f"- {transcript.render(before)}", f"+ {transcript.render(after)}"]
    return lines


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--etcd", required=True, help="path of the etcd 3.4.23 binary")
    parser.add_argument("--file", type=Path, default=transcript.KEYS)
    parser.add_argument("--only", nargs="*", help="these scenarios only")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    arguments = parser.parse_args()
    recorded = transcript.load(arguments.file)
    fresh: Scenarios = {}
    for name in arguments.only or recorded:
        fresh[name] = record(arguments.etcd, recorded[name])
        print(f"{name}: {len(fresh[name])} steps", file=sys.stderr)
    lines = _differences(recorded, fresh)
    if arguments.check:
        print("\n".join([*lines, "different" if lines else "identical"]))
        return 1 if lines else 0
    transcript.save({**recorded, **fresh}.values(), arguments.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
