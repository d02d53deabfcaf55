"""The cyclic garbage collector and trees of a million nodes: kept apart.

Nodes form no cycles, and walking a million of them takes a fifth of a second each time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Load without the collector, then put what was loaded out of its sight."""
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
