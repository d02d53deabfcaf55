"""The page on performance, its charts and the run that it shows."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.charts import Chart, draw, nice, short
from benchmarks.goals import GOALS, Figures
from benchmarks.kept import Run
from benchmarks.samples import Row

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {
    "cpus": 2,
    "cpu": "a processor",
    "memory_gib": 8,
    "kernel": "6.1",
    "python": "3.11",
    "build": "compiled",
    "commit": "abc",
    "etcd": "etcd Version: 3.4.23",
}


def row(case: str, unit: str, ours: float, theirs: float) -> Row:
    return Row(case, unit, {"etcdpy": [ours], "etcd": [theirs]})


@pytest.fixture
def run() -> Run:
    rows = [
        row("GET, 1 conn", "req/s", 900, 1000),
        row("GET, 64 conn", "req/s", 30_000, 20_000),
        row("GET, 64 conn", "p99 ms", 2.0, 3.0),
        row("GET, 256 conn", "req/s", 32_000, 20_000),
        row("GET 16 B, 64 conn", "req/s", 5, 4),
        row("3 members, PUT 10k keys, leader, 64 conn", "req/s", 3, 2),
        row("GET of 1,000 keys, 64 conn", "p50 ms", 1.0, 1.0),
        row("GET of 1,000,000 keys, 64 conn", "p50 ms", 1.1, 2.0),
        row("1,000,000 keys: load", "req/s", 9, 8),
        row("1,000,000 keys: recursive GET", "s", 2, 3),
        row("GET, auth on, 16 conn", "req/s", 80, 1),
        row("GET, auth off, 16 conn", "req/s", 100, 100),
        row("GET beside 0 idle watchers, 64 conn", "p50 ms", 1.0, 1.0),
        row("10,000 watchers", "kB each", 5, 45),
    ]
    return Run("2026-01-01T00:00:00Z", 60, "python -m benchmarks", MACHINE, PLAN, rows)


PLAN = {"seconds": 1, "rounds": 5, "keys": 1_000_000}


def test_each_row_is_in_one_table(run: Run) -> None:
    found = [row for name in report.TABLES for row in report._rows(run, name)]
    assert sorted(row.case for row in found) == sorted(row.case for row in run.rows)
    assert [row.case for row in report._rows(run, "members")] == [
        "3 members, PUT 10k keys, leader, 64 conn"
    ]
    assert [row.unit for row in report._rows(run, "large")] == ["s"]


def test_the_page_is_filled_and_filled_again(run: Run) -> None:
    page = report.PAGE.read_text()
    filled = report.fill(page, run)
    assert report.fill(filled, run) == filled
    assert "| GET, 64 conn | req/s | 30,000 | 20,000 | 1.50 |" in filled
    assert "2 CPUs (a processor)" in filled
    assert "etcd Version: 3.4.23, etcdpy compiled; commit abc" in filled
    with pytest.raises(KeyError, match="unheard"):
        report.fill("<!-- figures: unheard -->\n<!-- end -->", run)


def test_what_plain_python_reaches_stands_in_a_block_of_its_own(run: Run) -> None:
    page = "<!-- figures: plain -->\n<!-- end -->"
    assert "Not measured." in report.fill(page, run)
    plain = Run(run.started, 60, run.command, {**MACHINE, "build": "plain Python"}, PLAN, run.rows)
    filled = report.fill(page, run, plain)
    assert "etcdpy plain Python; commit abc" in filled
    assert "| GET, 64 conn | req/s | 30,000 | 20,000 | 1.50 |" in filled
    assert "recursive" not in filled


def test_goals_say_how_far_we_are_ahead(run: Run) -> None:
    figures = Figures(run.rows)
    shown = {f"{goal.number} {goal.what}": goal.show(figures) for goal in GOALS}
    assert (
        shown["1 GET, one member, 64 and 256 connections"] == "64: 1.50, 256: 1.60, p99 1.50, and –"
    )
    assert shown["7 waiting watchers: memory of each, time to tell all"] == "memory 9.00, time –"
    assert shown["8 growth of latency with keys"] == "GET +10 %, PUT –"
    assert shown[" auth on, by auth off"] == "GET 0.8, PUT – (etcd's own: GET 0.01, PUT –)"


def test_a_chart_needs_two_points(run: Run) -> None:
    found = report.charts(run)
    assert set(found) == {"get-connections.svg", "get-keys.svg"}
    assert found["get-keys.svg"].lines["etcdpy"] == [(1_000.0, 1.0), (1_000_000.0, 1.1)]


def test_a_chart_is_drawn_inside_its_frame() -> None:
    lines = {"etcdpy": [(0.0, 0.0), (10.0, 400.0), (1000.0, 999.0)], "<etcd>": [(10.0, 5.0)]}
    tree = ET.fromstring(draw(Chart("A & B", "x", "y", lines)))
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    dots = tree.findall(f"{SVG}circle")
    assert len(dots) == 4
    assert all(0 < float(dot.attrib["cx"]) < width for dot in dots)
    assert all(0 < float(dot.attrib["cy"]) < height for dot in dots)
    assert [float(dot.attrib["cx"]) for dot in dots[:3]] == sorted(
        float(dot.attrib["cx"]) for dot in dots[:3]
    )
    assert {"A & B", "etcdpy", "<etcd>", "1k"} <= {text.text for text in tree.iter(f"{SVG}text")}


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.9, 1), (1, 1), (1.2, 2), (2.2, 2.5), (26, 50), (999, 1000)]
)
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert nice(value) == pytest.approx(top)


def test_numbers_on_axes_are_short() -> None:
    assert [short(value) for value in (0, 2.5, 250, 1500, 2e6)] == ["0", "2.5", "250", "1.5k", "2M"]


def test_a_run_is_read_as_it_was_kept(run: Run, tmp_path: Path) -> None:
    path = run.keep(tmp_path / "run.json")
    assert Run.read(path) == run
    assert path.read_text().count("\n") > len(run.rows)  # one line each: differences can be read
