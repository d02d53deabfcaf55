"""The harness leaves nothing behind, whatever becomes of the test run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.process import (
    ROOT,
    Kind,
    Limits,
    Member,
    ServerError,
    tied,
    wait_until,
)

STARTER = """
import subprocess, sys
from tests.harness.process import tied
child = subprocess.Popen(tied(["sleep", "60"]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (a dead one that nobody has waited for does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_server_dies_with_a_killed_test_run() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        assert is_alive(child)
        run.kill()
    wait_until(lambda: not is_alive(child), 10, "the end of the child")


def test_limits_reach_the_command() -> None:
    words = tied(["sh", "-c", "ulimit -f; ulimit -n"], Limits(1024 * 512, 77))
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["1024", "77"]


def test_a_server_that_ends_at_once_is_said_with_its_log(tmp_path: Path) -> None:
    member = Member(Kind.ETCDPY, tmp_path, "--no-such-flag")
    with pytest.raises(ServerError, match=r"(?s)exited with 2.*no-such-flag"):
        member.start()


def test_a_condition_that_never_holds_ends_at_its_deadline() -> None:
    with pytest.raises(ServerError, match="the impossible: not within"):
        wait_until(lambda: False, 0.05, "the impossible")
