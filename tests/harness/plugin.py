"""Fixtures for tests of whole processes: `pytest_plugins = ("tests.harness.plugin",)`.

A test that takes `member` or `launch` runs once against etcdpy and once against the real etcd
(marked `live`, skipped where there is none): what holds for both is what etcd's clients rely on.
A failed test shows the logs of the members that it used.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.harness.process import Kind, Launcher, Member

KINDS = [
    pytest.param(Kind.ETCDPY, id="etcdpy"),
    pytest.param(Kind.ETCD, id="etcd", marks=pytest.mark.live),
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The server under test."""
    found: Kind = request.param
    if not found.is_present():
        pytest.skip("the real etcd is not on PATH")
    return found


@pytest.fixture(scope="module")
def member(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """A running member that the tests of a module share: each uses keys of its own."""
    with Member(kind, tmp_path_factory.mktemp("member")) as one:
        yield one.start()


@pytest.fixture
def launch(kind: Kind, tmp_path: Path) -> Iterator[Launcher]:
    """Make members for this test alone."""
    launcher = Launcher(kind, tmp_path)
    yield launcher
    launcher.close()


@pytest.fixture
def launch_etcdpy(tmp_path: Path) -> Iterator[Launcher]:
    """Make members of etcdpy, for what etcd does otherwise."""
    launcher = Launcher(Kind.ETCDPY, tmp_path)
    yield launcher
    launcher.close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A directory of keys that no other test uses."""
    name: str = request.node.originalname
    return f"/{name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for member in _members(item):
            report.sections.append((f"log of {member.kind} {member.name}", member.log_tail()))
    return report


def _members(item: pytest.Function) -> Iterator[Member]:
    for value in item.funcargs.values():
        if isinstance(value, Member):
            yield value
        elif isinstance(value, Launcher):
            yield from value.members
