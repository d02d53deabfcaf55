"""Every recorded scenario, over real sockets, against etcdpy and against etcd itself.

`faces` is etcdpy's HTTP server over a bare tree in this process, `aiohttp` the same without its
fast path, `etcdpy` the whole program, `etcd` the real one: it must answer as recorded too, or the
harness is at fault.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import differences, transcript
from tests.conformance.record import start_fresh
from tests.conformance.replay import Player
from tests.conformance.transcript import Step
from tests.harness.process import Kind, Member
from tests.http.server import ServerThread

SCENARIOS = transcript.load()
#: Those that only fit on a member of their own; the others are in `test_cluster_golden` as well.
FRESH_ONLY = {"auth_guest_denied", "index_accounting", "response_framing"}
SOME = {*[*SCENARIOS][::5], *FRESH_ONLY}
#: What each server plays outside the soak, in which all play all.
SHORT = {
    "faces": set(SCENARIOS),
    "aiohttp": {name for name, steps in SCENARIOS.items() if not transcript.has_sleep(steps)},
    "etcdpy": SOME,
    "etcd": SOME,
}


def case(scenario: str, server: str) -> Any:
    marks = [pytest.mark.live] if server == "etcd" else []
    if scenario not in SHORT[server]:
        marks.append(pytest.mark.soak)
    return pytest.param(scenario, server, marks=marks)


CASES = [case(scenario, server) for scenario in SCENARIOS for server in SHORT]


@contextmanager
def running(server: str, directory: Path) -> Iterator[int]:
    """Run a fresh server and yield its port."""
    if server in ("faces", "aiohttp"):
        with ServerThread(is_fast=server == "faces") as thread:
            yield thread.port
            assert thread.errors == []
        return
    kind = Kind(server)
    if not kind.is_present():
        pytest.skip("the real etcd is not on PATH")
    with Member(kind, directory, name="default") as member:
        yield start_fresh(member).client_port


def compare(expected: list[Step], found: list[Step]) -> None:
    """Fail on the first step that differs, with both of its lines."""
    for want, got in zip(expected, found, strict=True):
        want_line, got_line = transcript.render(want), transcript.render(got)
        assert got_line == want_line, f"step {want['step']} of {want['scenario']}"


@pytest.mark.parametrize(("scenario", "server"), CASES)
def test_scenario(scenario: str, server: str, tmp_path: Path) -> None:
    steps = SCENARIOS[scenario]
    if server != "etcd":
        steps = differences.expected(steps)
    with running(server, tmp_path) as port:
        compare(steps, Player(port).play(steps))


def test_the_listed_differences_are_differences() -> None:
    changed = [name for name, s in SCENARIOS.items() if differences.expected(s) != s]
    assert changed == ["index_accounting"]


def test_the_recordings_are_whole() -> None:
    steps = [step for steps in SCENARIOS.values() for step in steps]
    assert len(SCENARIOS) == 66
    assert sum("request" in step for step in steps) == 942
    for name, lines in SCENARIOS.items():
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1)), name
        assert all("response" in line for line in lines if "request" in line), name
