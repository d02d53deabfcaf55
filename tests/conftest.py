"""What holds for every suite: no process is left behind, and what was measured is shown.

A test that has something to show says `record_property("tally", text)`.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from etcdpy.system import is_compiled

TESTS = Path(__file__).parent
# What helps the tests shows what differed, as the tests themselves do.
HELPERS = (path.parent for path in TESTS.glob("*/__init__.py"))
pytest.register_assert_rewrite(*(f"tests.{helpers.name}" for helpers in HELPERS))

#: How long a process that was told to end may take to be gone.
END_DEADLINE_S = 5.0

#: Seconds that `make test` may take on 2 cores, without `make check` and the start of the workers.
TEST_BUDGET_S = 510
#: Seconds of it that are a suite's.  Shown, not enforced: a test that fails because a
#: machine was busy teaches people to ignore failures.
BUDGETS_S = {
    "acceptance": 1200,  # not in `make test`
    "benchmarks": 2,
    "cluster": 130,
    "clustering": 5,
    "conformance": 190,
    "consensus": 5,
    "gateway": 3,
    "harness": 25,
    "http": 20,
    "metrics": 2,
    "packaging": 5,
    "proxy": 25,
    "settings": 2,
    "simulation": 40,
    "startup": 5,
    "store": 10,
    "style": 10,
    "telemetry": 3,
    "tls": 3,
    "top": 10,
    "tree": 12,
}


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fail if a module's tests leave a child of ours running; end it, so that only they fail."""
    before = set(_children())
    yield
    left = [child for child in _children() if child not in before]
    _, alive = psutil.wait_procs(left, timeout=END_DEADLINE_S)
    names = [_describe(child) for child in alive]
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=END_DEADLINE_S)
    assert not names, f"left running: {names}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be tested of compiled modules; of plain ones it is."""
    if is_compiled():
        compiled = pytest.mark.skip(reason="the modules are compiled")
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(compiled)


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Put logging back as it was after a test that sets it up or runs the command in place."""
    root, ours = logging.getLogger(), logging.getLogger("etcdpy")
    before = (list(root.handlers), root.level, ours.level)
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers, root.level = before[0], before[1]
    ours.setLevel(before[2])


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to show, and each suite's share of the time that it all took."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "tally":
                terminalreporter.section(report.nodeid)
                terminalreporter.write_line(str(text))
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[_suite(report.nodeid)] += report.duration
    workers = getattr(terminalreporter.config.option, "numprocesses", None) or 1
    terminalreporter.section(f"seconds per suite with {workers} workers (budget on 2 cores)")
    for suite, work in sorted(seconds.items()):
        spent, budget = work / workers, BUDGETS_S.get(suite)
        terminalreporter.write_line(f"{suite:12} {spent:7.1f} ({budget or 'none'})")


def _suite(nodeid: str) -> str:
    parts = Path(nodeid.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 else "top"
