"""A machine of its own for what a test starts: whatever runs on it ends with its first process.

That is a namespace of processes, which ends with the test, so that no daemon is left; and one of
users, which lets root run what refuses root and lets everybody else run it without being root.
"""

import shutil
from collections.abc import Sequence

import pytest

from tests.harness.process import tied


def on_a_machine(command: Sequence[str], user: int) -> list[str]:
    """Return `command` on a machine where it seems to be run by `user`."""
    return tied([*_unshared(user), *command])


def on_a_machine_alone(command: Sequence[str]) -> list[str]:
    """Return `command` on a machine without a network but its own loopback: all ports are free."""
    if not shutil.which("ip"):
        pytest.skip("needs ip: apt-get install iproute2")
    shell = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return tied([*_unshared(0), "--net", *shell, *command])


def _unshared(user: int) -> list[str]:
    if not shutil.which("unshare"):
        pytest.skip("needs unshare: apt-get install util-linux")
    users = ["--user", f"--map-user={user}", f"--map-group={user}"]
    return ["unshare", *users, "--pid", "--fork", "--kill-child", "--mount-proc"]
