"""The page on performance shows the run that lies beside it, and no other figures."""

import pytest

from benchmarks import report
from benchmarks.charts import draw
from benchmarks.kept import Run


def test_without_a_run_the_page_has_no_figures() -> None:
    if report.KEPT.exists():
        pytest.skip("there is a run")
    assert not any(match[0].count("\n") > 1 for match in report._BLOCK.finditer(page()))


def test_the_page_shows_the_run_that_is_kept() -> None:
    if not report.KEPT.exists():
        pytest.skip("no run is kept")
    run = Run.read(report.KEPT)
    assert report.fill(page(), run, report.read_plain()) == page()
    drawn = {path.name: path.read_text() for path in report.FOLDER.glob("*.svg")}
    assert drawn == {name: draw(chart) for name, chart in report.charts(run).items()}


def page() -> str:
    return report.PAGE.read_text()
