"""Fixtures that take the place of the harness's: the same tests, in front of guarded members.

A module that imports them runs its tests on etcdpy with client TLS, verified clients and auth on;
in the soak on the real etcd too, which shows that what the tests expect is what etcd does then.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.guarded import GuardedMember
from tests.harness.process import Kind, Launcher, Member
from tests.harness.secure import Files

__all__ = ["KINDS", "files", "kind", "launch", "launch_etcdpy", "member"]

KINDS = [
    pytest.param(Kind.ETCDPY, id="etcdpy"),
    pytest.param(Kind.ETCD, id="etcd", marks=[pytest.mark.live, pytest.mark.soak]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The certificates of all members and of their client."""
    return Files.make(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The server under test."""
    found: Kind = request.param
    if not found.is_present():
        pytest.skip("the real etcd is not on PATH")
    return found


@pytest.fixture(scope="module")
def member(kind: Kind, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """A guarded member that the tests of a module share: each uses keys of its own."""
    with GuardedMember(kind, tmp_path_factory.mktemp("guarded"), files=files) as one:
        yield one.start()


@pytest.fixture
def launch(kind: Kind, files: Files, tmp_path: Path) -> Iterator[Launcher]:
    """Make guarded members for this test alone."""
    launcher = Launcher(kind, tmp_path, partial(GuardedMember, files=files))
    yield launcher
    launcher.close()


@pytest.fixture
def launch_etcdpy(files: Files, tmp_path: Path) -> Iterator[Launcher]:
    """Make guarded members of etcdpy, or of another kind when asked."""
    launcher = Launcher(Kind.ETCDPY, tmp_path, partial(GuardedMember, files=files))
    yield launcher
    launcher.close()
