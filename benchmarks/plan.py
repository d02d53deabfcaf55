"""What a run consists of and how long it takes: the command line, and the time that was asked for.

Almost all of a run is either runs of wrk, each as many seconds as the others, or loads and waits
that take what they take.  The second kind is estimated here, from runs on two cores; the first kind
gets what is left of the time asked for.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tests.harness.process import Kind

PARTS = (
    "throughput",
    "values",
    "watchers",
    "million",
    "replication",
    "auth",
    "proxy",
    "units",
    "failover",
    "catchup",
)
CONNECTIONS = (1, 64, 256)
ROUNDS = 5
ROUNDS_MIN = 3
SECONDS_MAX = 10
MINUTES = 31.0
#: What a run of wrk takes beside its own time, in seconds.
OVERHEAD_S = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    parts: tuple[str, ...]
    kinds: tuple[Kind, ...]
    seconds: int
    rounds: int
    connections: tuple[int, ...]
    has_curves: bool
    watchers: int
    keys: int
    catchup_keys: int
    failovers: int
    directory: Path | None
    json: Path | None


def parse(arguments: list[str]) -> Plan:
    """Return the plan that a command line asks for."""
    found = _parser().parse_args(arguments)
    quick = found.quick
    kinds = tuple(kind for kind in (found.server or Kind) if _is_usable(kind))
    keys = found.keys or (20_000 if quick else 1_000_000)
    plan = Plan(
        parts=tuple(found.only or PARTS),
        kinds=kinds,
        seconds=found.seconds or 1,
        rounds=found.rounds or (1 if quick else ROUNDS),
        connections=tuple(found.connections or ((64,) if quick else CONNECTIONS)),
        has_curves=not quick and not found.connections,
        watchers=found.watchers or (500 if quick else 10_000),
        keys=keys,
        catchup_keys=found.keys or (20_000 if quick else 100_000),
        failovers=found.failovers or (2 if quick else 20),
        directory=found.directory,
        json=found.json,
    )
    if quick or found.seconds:
        return plan
    return fit(plan, found.minutes * 60, has_rounds=bool(found.rounds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--server", action="append", type=Kind, choices=list(Kind))
    parser.add_argument("--quick", action="store_true", help="all parts, small, a few minutes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long all may take")
    parser.add_argument("--seconds", type=int, help="of each run of wrk, whatever all take then")
    parser.add_argument("--rounds", type=int, help="how often each case is run on each server")
    parser.add_argument("--connections", type=int, action="append", help="may be repeated")
    parser.add_argument("--watchers", type=int)
    parser.add_argument("--keys", type=int)
    parser.add_argument("--failovers", type=int, help="how often each server's leader is killed")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    return parser


def _is_usable(kind: Kind) -> bool:
    if not kind.is_present():
        print(f"{kind} is not on PATH: measured without it, no ratios")
    return kind.is_present()


def fit(plan: Plan, time_s: float, *, has_rounds: bool) -> Plan:
    """Return `plan` with as many seconds for each run of wrk as `time_s` allows, at least one.

    Where even that is too much there are fewer rounds, unless their number was asked for.
    """
    left_s = time_s - waits_s(plan)
    rounds = plan.rounds
    while True:
        fitted = _with(plan, rounds, 1)
        runs = max(1, runs_of_wrk(fitted))
        seconds = int(left_s / runs - OVERHEAD_S)
        if seconds >= 1 or has_rounds or rounds <= ROUNDS_MIN:
            return _with(plan, rounds, min(SECONDS_MAX, max(1, seconds)))
        rounds -= 1


def _with(plan: Plan, rounds: int, seconds: int) -> Plan:
    values = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return Plan(**{**values, "rounds": rounds, "seconds": seconds})


def runs_of_wrk(plan: Plan) -> int:
    """Return how often wrk is run for a fixed time."""
    usual = len(plan.connections)
    curve = 3 if plan.has_curves else 0
    cases = {
        "throughput": 4 * usual + 2 * curve,
        "values": 8,
        "watchers": 6,
        "million": 8,
        "replication": 2 * usual + 1,
        "auth": 4,
        "proxy": 2 * usual,
        "units": 5,
    }
    each = len(plan.kinds) * plan.rounds
    return each * sum(cases.get(part, 0) for part in plan.parts)


def waits_s(plan: Plan) -> float:
    """Return about how long everything else takes, in seconds."""
    thousands = plan.keys / 1000
    waits = {
        "throughput": 3.0,
        "values": 3.0,
        "watchers": 5 + plan.watchers / 400,
        "million": 60 + 0.12 * thousands,
        "replication": 15.0,
        "auth": 5.0,
        "proxy": 10 + plan.watchers / 200,
        "units": 15 + plan.watchers / 500,
        "failover": 10 + 4.0 * plan.failovers,
        "catchup": 45 + 0.6 * plan.catchup_keys / 1000,
    }
    return len(plan.kinds) * sum(waits[part] for part in plan.parts)
