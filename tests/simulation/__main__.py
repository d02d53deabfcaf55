"""`python -m tests.simulation`: run many seeds, repeat one, shrink what fails.

python -m tests.simulation --seeds 10000 --processes 2     seeds 0 to 9999
python -m tests.simulation --time 600                      as many as fit ten minutes
python -m tests.simulation --seed 42 --trace               one seed, with all that happened
python -m tests.simulation --seed 42 --shrink              the fewest actions that still fail
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from traceback import format_exception

from tests.simulation.campaign import Job, Summary, results
from tests.simulation.plan import ACTIONS_MIN, Action, draw_plan
from tests.simulation.run import Result, run
from tests.simulation.shrink import shrink

SHRINK_RUNS_MAX = 400
REPORT_PERIOD_S = 10.0


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 1 if a seed failed."""
    options = _parser().parse_args(arguments)
    if options.seed is not None:
        return _one(options)
    return _many(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--trace", action="store_true", help="print all that happens in it")
    parser.add_argument("--shrink", action="store_true", help="find a part of it that fails")
    parser.add_argument("--seeds", type=int, default=0, help="how many seeds (200, or by --time)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--time", type=float, default=0.0, help="start no more after so many s")
    parser.add_argument("--actions", type=int, default=ACTIONS_MIN, help="actions per seed")
    parser.add_argument("--members", type=int, default=0, help="founders; drawn by default")
    parser.add_argument("--processes", type=int, default=1, help="how many processes")
    return parser


def _many(options: argparse.Namespace) -> int:
    seeds = options.seeds or (0 if options.time else 200)
    began = time.perf_counter()
    summaries: list[Summary] = []
    failures: list[Summary] = []
    reported = began
    for summary in results(_jobs(options, seeds, began), options.processes):
        summaries.append(summary)
        if summary.violation:
            failures.append(summary)
            print(f"seed {summary.job.seed} FAILED: {summary.violation}", flush=True)
            print(f"  repeat: {_command(summary.job)}", flush=True)
        now = time.perf_counter()
        if now - reported > REPORT_PERIOD_S:
            reported = now
            print(_progress(summaries, failures, now - began), flush=True)
    print(_report(summaries, failures, time.perf_counter() - began))
    return 1 if failures else 0


def _jobs(options: argparse.Namespace, seeds: int, began: float) -> Iterator[Job]:
    numbers = range(options.first, options.first + seeds) if seeds else count(options.first)
    for seed in numbers:
        if options.time and time.perf_counter() - began > options.time:
            return
        yield Job(seed, options.actions, options.members)


def _command(job: Job) -> str:
    command = f"python -m tests.simulation --seed {job.seed}"
    if job.action_count != ACTIONS_MIN:
        command += f" --actions {job.action_count}"
    if job.voter_count:
        command += f" --members {job.voter_count}"
    return command


def _progress(summaries: Sequence[Summary], failures: Sequence[Summary], seconds: float) -> str:
    steps = sum(summary.steps for summary in summaries)
    return f"{len(summaries)} seeds, {steps} steps, {seconds:.0f} s, {len(failures)} failures"


def _report(summaries: Sequence[Summary], failures: Sequence[Summary], seconds: float) -> str:
    steps = sum(summary.steps for summary in summaries)
    busy = sum(summary.seconds for summary in summaries)
    sizes = Counter(summary.voter_count for summary in summaries)
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update(summary.counts)
    lines = [
        f"{len(summaries)} seeds, {len(failures)} failures, {steps} steps in {seconds:.1f} s",
        f"{steps / max(busy, 1e-9):,.0f} steps per second of one core "
        "(a step: a message, tick, write, batch, timer or action handled)",
        "founders: " + ", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes)),
    ]
    lines += [f"{what}: {number}" for what, number in sorted(counts.items())]
    if failures:
        lines.append("failed seeds: " + " ".join(str(f.job.seed) for f in failures))
    return "\n".join(lines)


def _one(options: argparse.Namespace) -> int:
    plan = draw_plan(options.seed, options.actions, options.members)
    print(plan.profile)
    began = time.perf_counter()
    result = run(plan, is_kept=options.trace)
    seconds = time.perf_counter() - began
    if options.trace:
        print(result.trace.text(), end="")
    print(f"{result.steps} steps in {seconds:.2f} s, trace {result.trace.digest()}")
    if result.violation is None:
        print("no violation")
        return 0
    print("".join(format_exception(result.violation)))
    if options.shrink:
        _print_shrunk(result)
    return 1


def _print_shrunk(result: Result) -> None:
    assert result.violation is not None
    invariant = result.violation.invariant

    def is_failing(actions: list[Action]) -> bool:
        violation = run(result.plan, actions).violation
        return violation is not None and violation.invariant == invariant

    actions = shrink(result.plan.actions, is_failing, SHRINK_RUNS_MAX)
    print(f"{len(actions)} of {len(result.plan.actions)} actions fail as well:")
    for action in actions:
        print(f"  {action}")
    print(run(result.plan, actions).violation)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
