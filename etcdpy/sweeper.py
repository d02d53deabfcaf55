"""Sweeper: frees and counts what large removals leave, in slices, while clients are served.

A file of its own because the tree has no clock: a million nodes that went with one directory are
gone for clients at once, but take half a second to free, which nobody shall wait for.
"""

import asyncio

from etcdpy.tree.tree import Tree

#: Nodes in one slice: about a millisecond.
SLICE_NODES = 4_000
#: How long the loop is left to others between two slices.
PAUSE_S = 0.004


class Sweeper:
    """Sweeps the debris of one tree; on one loop."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Begin, if there is something to sweep and nothing begun."""
        if self._timer is None and self._tree.usage.has_debris:
            self._timer = self._loop.call_later(PAUSE_S, self._sweep)

    def stop(self) -> None:
        """Leave the rest to the end of the process."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        self._timer = None
        self._tree.usage.sweep(SLICE_NODES)
        self.look()
