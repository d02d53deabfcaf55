"""How soon others get what the loop holds: threads the interpreter, the system the processor.

A file of its own because it is about all of the process at once and belongs to none of its parts.

A thread that comes back from the disk asks for the interpreter only when it has waited for the
switch interval without seeing it given up.  A loop that has something to do in each turn gives it
up once a turn, to look at its sockets, for less than it takes the thread to wake up: the thread
sees that it is held again, and begins to wait anew.  While turns are shorter than the interval a
write that is on the disk so waits for luck: with Python's own 5 ms, slices of 1 ms of a listing or
of a snapshot made single writes wait for 100 ms.

What the system does for a write (see `store.flusher`) it does on the processor that asked for it.
It has to wait there until the loop's turn is over, some milliseconds by default: with turns of 0.1
ms a busy loop writes a twentieth more.
Source: sched_setattr(2); the length of a turn since Linux 6.12.
"""

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress

#: A half of the slices in which long work is done on the loop.
INTERVAL_S = 0.000_5
#: How long the process may go on while others wait for its processor; the shortest that there is.
TURN_NS = 100_000

_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")


def switch_soon() -> None:
    """Have threads, and the system, get their turn within a slice of the loop's."""
    sys.setswitchinterval(INTERVAL_S)
    with suppress(OSError, AttributeError):  # some systems have the one and not the other
        if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
            _take_short_turns()


def _take_short_turns() -> None:
    """Ask for it; where that can't be, turns are as long as ever."""
    number = _SET_ATTRIBUTES.get(platform.machine())
    if number is None or sys.maxsize < 1 << 32:  # a process of 32 bits has other numbers
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, TURN_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)
