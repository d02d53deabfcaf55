"""How soon a thread that waits for the interpreter gets it from the loop.

A file of its own because it is about all threads at once and belongs to none of them.

A thread that comes back from the disk asks for the interpreter only when it has waited for the
switch interval without seeing it given up.  A loop that has something to do in each turn gives it
up once a turn, to look at its sockets, for less than it takes the thread to wake up: the thread
sees that it is held again, and begins to wait anew.  While turns are shorter than the interval a
write that is on the disk so waits for luck: with Python's own 5 ms, slices of 1 ms of a listing or
of a snapshot made single writes wait for 100 ms.
"""

import sys

#: A half of the slices in which long work is done on the loop.
INTERVAL_S = 0.000_5


def switch_soon() -> None:
    """Have threads get their turn within a slice of the loop's."""
    sys.setswitchinterval(INTERVAL_S)
