"""python-etcd 0.4.5 in front of a member with client TLS, verified clients and auth on.

What the tests of `test_python_etcd` hold of a member that anybody may ask holds of this one: they
run here again, with certificate and password, those that wait and restart in the soak.
"""

import pytest

from tests.conformance import test_python_etcd as _python_etcd
from tests.conformance.guarded import files, kind, launch, launch_etcdpy, member
from tests.conformance.test_python_etcd import (
    TestCluster,
    TestDirectories,
    TestKeys,
    client,
    pool,
    test_a_malformed_parameter_is_a_value_error,
)

__all__ = [
    "TestCluster",
    "TestDirectories",
    "TestKeys",
    "client",
    "files",
    "kind",
    "launch",
    "launch_etcdpy",
    "member",
    "pool",
    "test_a_malformed_parameter_is_a_value_error",
]


pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'warn' method is deprecated:DeprecationWarning:etcd"
)


@pytest.fixture
def reads_of_three() -> dict[str, int]:
    """See `test_python_etcd`: each request finds the switch of auth and its user."""
    return {"getsSuccess": 1 + 3 + 3}


@pytest.mark.soak
class TestTtlGuarded(_python_etcd.TestTtl):
    """See `test_python_etcd`."""


@pytest.mark.soak
class TestWatchGuarded(_python_etcd.TestWatch):
    """See `test_python_etcd`."""


@pytest.mark.soak
class TestLockGuarded(_python_etcd.TestLock):
    """See `test_python_etcd`."""


@pytest.mark.soak
class TestConnectionsGuarded(_python_etcd.TestConnections):
    """See `test_python_etcd`."""
