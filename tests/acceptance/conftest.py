"""What the acceptance tests share: either program under the same test, and both's times in a table.

A test that has measured something says `took("failover", seconds)`.
"""

from collections import defaultdict
from collections.abc import Callable

import pytest

from tests.harness.process import Kind

TIME = "time of "

Took = Callable[[str, float], None]


@pytest.fixture(params=list(Kind), ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The server under test: ours, then the real one."""
    found: Kind = request.param
    if not found.is_present():
        pytest.skip("the real etcd is not on PATH: apt-get install etcd-server")
    return found


@pytest.fixture
def took(kind: Kind, record_property: Callable[[str, object], None]) -> Took:
    """Remember how many seconds something took on this kind of server."""

    def remember(what: str, seconds: float) -> None:
        record_property(f"{TIME}{kind}", (what, seconds))

    return remember


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the times on etcdpy beside those on etcd."""
    times: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name.startswith(TIME) and isinstance(value, tuple):
                    times[value[0]][name.removeprefix(TIME)] = value[1]
    if not times:
        return
    terminalreporter.section("seconds, in this run")
    kinds = list(Kind)
    terminalreporter.write_line(f"{'':50}" + "".join(f"{kind:>10}" for kind in kinds))
    for what, by_kind in times.items():
        cells = (f"{by_kind[kind]:10.2f}" if kind in by_kind else f"{'-':>10}" for kind in kinds)
        terminalreporter.write_line(f"{what:50}" + "".join(cells))
