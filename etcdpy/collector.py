"""The cyclic garbage collector and trees of a million nodes: kept apart.

Nodes form no cycles, and walking a million of them takes a fifth of a second each time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Allocations between two collections of the youngest.  What survived two of those is looked at
#: once more, and then hardly ever: nodes are among it while a tree grows, and a look at 10,000 of
#: them stops the loop for 2 ms.  Requests leave next to no cycles; with Python's own numbers a busy
#: member spends an eighth of its time on looking for them.
THRESHOLDS = (5_000, 1, 100_000)


def collect_seldom() -> None:
    """Have the collector run as often as a server needs it."""
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Load without the collector, then put what was loaded out of its sight.

    What is garbage already is collected before: then there is little to walk, so that a loop that
    goes on meanwhile stands still for milliseconds, and not for as long as a tree takes.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
