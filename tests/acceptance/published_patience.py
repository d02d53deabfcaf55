"""A plugin for python-etcd's own tests: a member that was started is awaited, however slow.

They sleep for two seconds instead, which a busy machine may need for less than a start.  Run by
the Python that has those tests.
"""

import socket
import subprocess
import time

from etcd.tests.integration import helpers

DEADLINE_S = 30.0
POLL_S = 0.05

_add_one = helpers.EtcdProcessHelper.add_one


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def _add_one_and_wait(
    helper: helpers.EtcdProcessHelper, slot: int, proc_args: list[str] | None = None
) -> None:
    _add_one(helper, slot, proc_args)
    process: subprocess.Popen[bytes] = helper.processes[slot][1]
    end = time.monotonic() + DEADLINE_S
    port = helper.port_range_start + slot
    while process.poll() is None and not _is_listening(port) and time.monotonic() < end:
        time.sleep(POLL_S)


helpers.EtcdProcessHelper.add_one = _add_one_and_wait
