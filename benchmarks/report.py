"""The page on performance, made from kept runs: `python -m benchmarks.report FILE [PLAIN]`.

FILE is a run of the compiled build, PLAIN one of plain Python; without it the last one stays.

The text of docs/performance.md is written by hand; what stands there between the comments
`figures: NAME` and `end` is written here, and the charts beside it, and the run itself.  A test
holds that all three fit together.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.charts import Chart, draw
from benchmarks.goals import GOALS, Figures
from benchmarks.kept import Run
from benchmarks.samples import Row, number
from tests.harness.process import ROOT

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
KEPT = FOLDER / "run.json"
KEPT_PLAIN = FOLDER / "plain.json"
SERVERS = ("etcdpy", "etcd")
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

#: Rows of each table by what their case begins with or contains; a row is in the first that fits.
TABLES = {
    "requests": re.compile(r"^(quorum )?(GET|PUT)( 1 key| 10k keys)?, \d+ conn$"),
    "values": re.compile(r"^(GET|PUT) \d+ B, "),
    "members": re.compile(r"^\d members, |^leader |caught up|catching up|follower|: normal"),
    "watchers": re.compile(r"watchers"),
    "auth": re.compile(r"auth o(n|ff)"),
    "large": re.compile(r"recursive|expire at once"),
    "million": re.compile(r"keys(:|, \d+ conn$)"),
}

#: Charts: file name, title, name of x, unit, cases with x as their only group.
CHARTS = (
    ("get-connections", "GET by connections", "connections", "req/s", r"GET, (\d+) conn"),
    ("put-connections", "PUT by connections", "connections", "req/s", r"PUT 10k keys, (\d+) conn"),
    ("get-values", "GET by size of the value", "bytes", "req/s", r"GET (\d+) B, 64 conn"),
    ("put-values", "PUT by size of the value", "bytes", "req/s", r"PUT (\d+) B, 64 conn"),
    ("get-keys", "GET by number of keys", "keys", "p50 ms", r"GET of ([\d,]+) keys, 64 conn"),
    ("put-keys", "PUT by number of keys", "keys", "p50 ms", r"PUT of ([\d,]+) keys, 64 conn"),
    (
        "put-members",
        "PUT by number of members, 64 connections to the leader",
        "members",
        "req/s",
        r"(?:(\d) members, )?PUT 10k keys, (?:leader, )?64 conn",
    ),
    (
        "get-watchers",
        "GET by idle watchers",
        "idle watchers",
        "p50 ms",
        r"GET beside ([\d,]+) idle watchers, 64 conn",
    ),
    (
        "put-watchers",
        "PUT by idle watchers",
        "idle watchers",
        "p50 ms",
        r"PUT beside ([\d,]+) idle watchers, 64 conn",
    ),
)


def charts(run: Run) -> dict[str, Chart]:
    """Return the charts for which the run has at least two points, by file name."""
    found = {}
    for name, title, x_name, unit, pattern in CHARTS:
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in run.rows:
            match = re.fullmatch(pattern, row.case)
            if match is None or row.unit != unit:
                continue
            x = float((match[1] or "1").replace(",", ""))
            for server, values in row.values.items():
                lines.setdefault(server, []).append((x, median(values)))
        if lines and min(map(len, lines.values())) >= 2:
            ordered = {server: sorted(line) for server, line in lines.items()}
            found[f"{name}.svg"] = Chart(title, x_name, unit, ordered)
    return found


def table_of(rows: Sequence[Row]) -> str:
    """Return rows as a table of Markdown: medians, range, ratio."""
    if not rows:
        return "Not in this run.\n"
    lines = [
        "| case | unit | etcdpy | etcd | etcdpy/etcd |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_cell(row.values.get(server, [])) for server in SERVERS]
        ours, theirs = (median(row.values.get(server, [0.0])) for server in SERVERS)
        ratio = f"{ours / theirs:.2f}" if ours and theirs else ""
        lines.append(f"| {row.case} | {row.unit} | {cells[0]} | {cells[1]} | {ratio} |")
    return "\n".join([*lines, ""])


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def _rows(run: Run, name: str) -> list[Row]:
    def home(row: Row) -> str:
        return next((table for table, fits in TABLES.items() if fits.search(row.case)), "")

    return [row for row in run.rows if home(row) == name]


def _machine(run: Run) -> str:
    machine = run.machine
    return (
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, Python {machine['python']}, {machine['etcd'] or 'no etcd'}, "
        f"etcdpy {machine['build']}; commit {machine['commit']}, {run.started}, {run.took_s} s.\n\n"
        f"    {run.command}\n\n"
        f"{run.plan['rounds']} rounds by turns, {run.plan['seconds']} s for each run of wrk.\n"
    )


def _goals(run: Run) -> str:
    figures = Figures(run.rows)
    lines = ["| # | what | goal | measured |", "|---|---|---|---|"]
    for goal in GOALS:
        lines.append(f"| {goal.number} | {goal.what} | {goal.bound} | {goal.show(figures)} |")
    return "\n".join([*lines, ""])


def _build(run: Run) -> str:
    """Return what the other build reaches: the run that it is of, and its requests."""
    return f"{_machine(run)}\n{table_of(_rows(run, 'requests') + _rows(run, 'members'))}"


def _charts(run: Run) -> str:
    names = [f"![{chart.title}](performance/{name})" for name, chart in charts(run).items()]
    return "\n".join([*names, ""]) if names else "Not in this run.\n"


BLOCKS: dict[str, Callable[[Run], str]] = {
    "machine": _machine,
    "goals": _goals,
    "charts": _charts,
}


def fill(page: str, run: Run, plain: Run | None = None) -> str:
    """Return the page with the figures of both runs.  Raises: KeyError for an unknown block."""

    def block(match: re.Match[str]) -> str:
        name = match[2]
        if name == "plain":
            text = _build(plain) if plain else "Not measured.\n"
            return f"{match[1]}\n{text}\n{match[3]}"
        text = BLOCKS[name](run) if name in BLOCKS else table_of(_rows(run, _known(name)))
        return f"{match[1]}\n{text}\n{match[3]}"

    return _BLOCK.sub(block, page)


def _known(name: str) -> str:
    if name not in TABLES:
        raise KeyError(f"no figures are called {name}")
    return name


def read_plain() -> Run | None:
    """Return the run of plain Python that is kept, None if there is none."""
    return Run.read(KEPT_PLAIN) if KEPT_PLAIN.exists() else None


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print("usage: python -m benchmarks.report FILE [PLAIN]", file=sys.stderr)
        return 2
    run = Run.read(Path(arguments[0]))
    if len(arguments) > 1:
        Run.read(Path(arguments[1])).keep(KEPT_PLAIN)
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for name, chart in charts(run).items():
        (FOLDER / name).write_text(draw(chart))
    run.keep(KEPT)
    PAGE.write_text(fill(PAGE.read_text(), run, read_plain()))
    print(f"{PAGE.relative_to(ROOT)} has the figures of {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
