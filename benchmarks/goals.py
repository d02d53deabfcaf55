"""What was aimed at, and where in a run the answer is."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.samples import Row

US, THEM = "etcdpy", "etcd"
MISSING = "–"


class Figures:
    """The medians of a run, by case, unit and server."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._medians = {
            (row.case, row.unit, server): median(values)
            for row in rows
            for server, values in row.values.items()
        }

    def find(self, case: str, unit: str, server: str = US) -> float | None:
        """Return a median; `case` is a pattern for a whole case, the last one that fits counts."""
        found = None
        for (name, of, whose), value in self._medians.items():
            if of == unit and whose == server and re.fullmatch(case, name):
                found = value
        return found

    def ahead(self, case: str, unit: str) -> str:
        """Return by how much we are ahead of etcd: above 1, whichever way the unit goes."""
        ours, theirs = self.find(case, unit), self.find(case, unit, THEM)
        if not ours or not theirs:
            return MISSING
        return f"{ours / theirs if unit == 'req/s' else theirs / ours:.2f}"

    def plain(self, case: str, unit: str) -> str:
        """Return our own figure."""
        ours = self.find(case, unit)
        return MISSING if ours is None else f"{ours:,.3g}"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table of goals."""

    number: str
    what: str
    bound: str
    show: Callable[[Figures], str]


def _ahead(*places: tuple[str, str, str]) -> Callable[[Figures], str]:
    """Return ratios with their names: name, case, unit."""
    return lambda figures: ", ".join(
        f"{name} {figures.ahead(case, unit)}".strip() for name, case, unit in places
    )


def _both(name: str, case: str) -> Callable[[Figures], str]:
    return _ahead(
        ("64:", f"{case}, 64 conn", "req/s"),
        ("256:", f"{case}, 256 conn", "req/s"),
        ("p99", f"{case}, 64 conn", "p99 ms"),
        ("and", f"{case}, 256 conn", "p99 ms"),
    )


def _growth(*patterns: str) -> Callable[[Figures], str]:
    """Return how much the middle latency of ours grows from the smallest size to the largest."""

    def show(figures: Figures) -> str:
        found = []
        for pattern in patterns:
            values = [
                median(row.values[US])
                for row in figures.rows
                if row.unit == "p50 ms" and US in row.values and re.fullmatch(pattern, row.case)
            ]
            if len(values) < 2 or not values[0]:
                found.append(MISSING)
            else:
                found.append(f"{(values[-1] / values[0] - 1) * 100:+.0f} %")
        return "GET {}, PUT {}".format(*found)

    return show


def _auth(figures: Figures) -> str:
    found = []
    for server in (US, THEM):
        for verb in ("GET", "PUT"):
            on = figures.find(rf"{verb}, auth on, \d+ conn", "req/s", server)
            off = figures.find(rf"{verb}, auth off, \d+ conn", "req/s", server)
            ratio = f"{on / off:.3g}" if on and off else MISSING
            found.append(f"{verb} {ratio}")
    return f"{found[0]}, {found[1]} (etcd's own: {found[2]}, {found[3]})"


def _catch_up(figures: Figures) -> str:
    case = r"[\d,]+ keys: catching up / normal"
    ours, theirs = (figures.find(case, "p99 ratio", server) for server in (US, THEM))
    return " beside etcd's ".join(
        MISSING if one is None else f"{one:.2f}" for one in (ours, theirs)
    )


N = r"[\d,]+ keys"
GOALS = (
    Goal("1", "GET, one member, 64 and 256 connections", "≥ 1.5, p99 ≥ 1", _both("", "GET")),
    Goal("2", "quorum GET, 64", "≥ 1.5", _ahead(("", "quorum GET, 64 conn", "req/s"))),
    Goal("3", "PUT, one member, 64 and 256", "≥ 1.5, p99 ≥ 1", _both("", "PUT 10k keys")),
    Goal(
        "4",
        "1 connection",
        "≥ 0.9",
        _ahead(("PUT", "PUT 10k keys, 1 conn", "req/s"), ("GET", "GET, 1 conn", "req/s")),
    ),
    Goal(
        "5",
        "PUT, three members, to the leader",
        "≥ 1.5",
        _both("", "3 members, PUT 10k keys, leader"),
    ),
    Goal("5", "to a follower", "≥ 1.2", _both("", "3 members, PUT 10k keys, follower")),
    Goal(
        "6",
        "a million keys: peak memory",
        "≤ 0.9 GB",
        lambda figures: figures.plain(f"{N}: memory at peak", "MiB") + " MiB",
    ),
    Goal(
        "6",
        "p99 of writes, worst pause, restart at that size",
        "≥ 10, ≥ 5, ≥ 1.2",
        _ahead(
            ("p99", f"{N}: load, all requests", "p99 ms"),
            ("pause", f"{N}: load, GET probe", "worst ms"),
            ("restart", f"{N}: restart", "s to ready"),
        ),
    ),
    Goal(
        "7",
        "waiting watchers: memory of each, time to tell all",
        "≥ 4, ≥ 1",
        _ahead(
            ("memory", r"[\d,]+ watchers", "kB each"), ("time", r"[\d,]+ watchers", "ms to last")
        ),
    ),
    Goal(
        "8",
        "growth of latency with keys",
        "≤ 20 %",
        _growth(rf"GET of {N}, 64 conn", rf"PUT of {N}, 64 conn"),
    ),
    Goal(
        "8",
        "growth of latency with idle watchers",
        "≤ 20 %",
        _growth(r"GET beside .*", r"PUT beside .*"),
    ),
    Goal("", "auth on, by auth off", "≥ 0.8", _auth),
    Goal(
        "",
        "next write after the leader was killed",
        "≥ 0.83",
        _ahead(("", "leader killed with -9, next write", "ms")),
    ),
    Goal("", "p99 of writes while a follower catches up, by normal", "≤ 3", _catch_up),
)
