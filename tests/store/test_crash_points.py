"""Whatever happens to the process or the power, at any operation: nothing acknowledged is lost.

Source: DESIGN section 4; each test runs `helpers.script` once per place where it can go wrong.
"""

import errno
import os
from contextlib import suppress

import pytest

from etcdpy.errors import ConfigError, FatalError
from tests.store.helpers import Member, script, simulated
from tests.store.simulated_files import SimulatedCrash, SimulatedFiles

SURVIVALS = (0.0, 1.0, None, None, None)


def operation_total() -> int:
    files = simulated()
    script(Member(files))
    return files.operation_count


def bytes_total() -> int:
    files = simulated()
    files.free_bytes = 10**9
    script(Member(files))
    return 10**9 - files.free_bytes


def crash_in(member: Member, operation: int) -> None:
    member.files.crash_at = operation
    with pytest.raises(SimulatedCrash):
        script(member)


def restarted(member: Member, files: SimulatedFiles) -> Member:
    """Return the same member, with what was acknowledged to it, on another disk."""
    after = Member(files, member.limits)
    after.state, after.next_state = member.state, member.next_state
    return after


def check(member: Member, files: SimulatedFiles) -> None:
    """A restart finds what was acknowledged, goes on, and so does the one after it."""
    after = restarted(member, files)
    after.start()
    after.extend(2)
    after.stop()
    after.start()
    after.stop()


@pytest.mark.parametrize("operation", range(operation_total()))
def test_power_loss_at_every_operation(operation: int) -> None:
    member = Member(simulated(operation))
    crash_in(member, operation)
    for survival in SURVIVALS:
        check(member, member.files.crash(survival))


@pytest.mark.parametrize("operation", range(operation_total()))
def test_kill_at_every_operation_then_power_loss(operation: int) -> None:
    member = Member(simulated(operation))
    crash_in(member, operation)
    member.files.kill()
    after = restarted(member, member.files)
    after.start()
    # What the restart found in the system's memory counts from now on.
    for survival in SURVIVALS:
        check(after, after.files.crash(survival))
    after.extend(1)
    after.purge()
    for survival in SURVIVALS:
        check(after, after.files.crash(survival))


@pytest.mark.parametrize("operation", range(0, operation_total(), 3))
def test_power_loss_during_recovery_too(operation: int) -> None:
    member = Member(simulated(operation))
    crash_in(member, operation)
    disk = member.files.crash()
    for second in range(0, 60, 1 + operation % 3):
        again = restarted(member, disk.crash(1.0))
        again.files.crash_at = second
        try:
            again.start()
        except SimulatedCrash:
            check(again, again.files.crash())
        else:
            break


@pytest.mark.parametrize("operation", range(operation_total()))
def test_power_loss_in_the_recovery_after_a_kill(operation: int) -> None:
    """What the restart has found in the system's memory only is lost with what followed from it."""
    for second in range(operation % 4, 60, 4):
        member = Member(simulated(operation))
        crash_in(member, operation)
        member.files.kill()
        again = restarted(member, member.files)
        again.files.crash_at = again.files.operation_count + second
        try:
            again.start()
        except SimulatedCrash:
            check(again, again.files.crash(0.0))
        else:
            break


@pytest.mark.parametrize("operation", range(operation_total()))
def test_refused_operation_ends_the_member_and_loses_nothing(operation: int) -> None:
    files = simulated(operation)
    member = Member(files)

    def refuse(name: str, path: str) -> None:
        if files.operation_count == operation + 1 and name != "close":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    files.on_operation = refuse
    # Some refusals are survived: a snapshot that cannot be read, where the log reaches back.
    with suppress(FatalError, ConfigError):
        script(member)
    files.on_operation = None
    files.kill()
    for survival in SURVIVALS:
        check(member, files.crash(survival))
    # The process went, the system stayed: what a refused fsync dropped must not be relied on.
    after = restarted(member, files)
    after.start()
    after.extend(1)
    for survival in SURVIVALS:
        check(after, files.crash(survival))


@pytest.mark.parametrize("free_bytes", range(0, bytes_total(), 37))
def test_full_disk_ends_the_member_and_loses_nothing(free_bytes: int) -> None:
    files = simulated(free_bytes)
    files.free_bytes = free_bytes
    member = Member(files)
    with pytest.raises(FatalError, match="no space left on device") as caught:
        script(member)
    assert "/data" in str(caught.value)
    files.free_bytes = None
    files.kill()
    check(member, files.crash())
    check(member, files)
