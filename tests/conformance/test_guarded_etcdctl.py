"""`ETCDCTL_API=2 etcdctl` in front of a member with client TLS, verified clients and auth on.

What the tests of `test_etcdctl` hold of a member that anybody may ask holds of this one: they run
here again, with certificate and password, those about one that is gone in the soak.
"""

import pytest

from tests.conformance import test_etcdctl as _etcdctl
from tests.conformance.guarded import files, kind, launch, launch_etcdpy, member
from tests.conformance.test_etcdctl import (
    ETCDCTL,
    TestDirectories,
    TestKeys,
    TestOutput,
    TestWatch,
    ctl,
    transcript_alone,
)
from tests.harness.process import Kind, Launcher

__all__ = [
    "TestDirectories",
    "TestKeys",
    "TestOutput",
    "TestWatch",
    "ctl",
    "files",
    "kind",
    "launch",
    "launch_etcdpy",
    "member",
]

pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not on PATH")


@pytest.mark.soak
class TestClusterGuarded(_etcdctl.TestCluster):
    """See `test_etcdctl`."""


@pytest.mark.live
@pytest.mark.soak
@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH")
def test_a_session_prints_the_same_on_both_guarded(launch_etcdpy: Launcher) -> None:
    ours = launch_etcdpy().start()
    reference = launch_etcdpy(kind=Kind.ETCD).start()
    expected, got = transcript_alone(reference), transcript_alone(ours)
    for wanted, printed in zip(expected, got, strict=True):
        assert printed == wanted
