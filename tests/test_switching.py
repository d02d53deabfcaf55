"""Others get the interpreter, and the processor, within one of the loop's slices."""

import os
import platform
import subprocess
import sys

import pytest

from etcdpy import snapshotter
from etcdpy.http import listing, notifier
from etcdpy.switching import INTERVAL_S, TURN_NS, switch_soon

GET_ATTRIBUTES = {"x86_64": 315, "aarch64": 275}
#: From when on the length of a turn is heeded, and told.
LINUX = (6, 12)
NICE = 3
# Prints the interval, and what the system knows of the process.
SHOW = """
import ctypes, os, struct, sys
from etcdpy.switching import switch_soon
os.nice({nice})
switch_soon()
print(sys.getswitchinterval())
attributes = ctypes.create_string_buffer(48)
ctypes.CDLL(None).syscall({number}, 0, attributes, 48, 0)
_, policy, _, nice, _, turn_ns, _, _ = struct.unpack("=IIQiIQQQ", attributes)
print(policy, nice, turn_ns)
"""


@pytest.mark.parametrize("slice_s", [snapshotter.SLICE_S, listing.SLICE_S, notifier.SLICE_S])
def test_a_waiting_thread_is_heard_within_a_slice(slice_s: float) -> None:
    assert 0 < INTERVAL_S < slice_s
    assert slice_s * 1e9 > TURN_NS


@pytest.mark.parametrize("error", [OSError(38, "not there"), AttributeError()])
def test_a_system_without_such_calls_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_: int) -> int:
        raise error

    monkeypatch.setattr(os, "sched_getscheduler", refuse)
    before_s = sys.getswitchinterval()
    try:
        switch_soon()
        assert sys.getswitchinterval() == INTERVAL_S
    finally:
        sys.setswitchinterval(before_s)


def test_the_process_asks_for_short_turns_and_stays_as_nice_as_it_was() -> None:
    number = GET_ATTRIBUTES.get(platform.machine())
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if sys.platform != "linux" or number is None or release < LINUX:
        pytest.skip("this system does not tell how long turns are")
    script = SHOW.format(number=number, nice=NICE)
    shown = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    interval, attributes = shown.splitlines()
    assert float(interval) == INTERVAL_S
    assert attributes == f"{os.SCHED_OTHER} {os.nice(0) + NICE} {TURN_NS}"
