"""Quorum reads that wait until this member has all that was acknowledged before them.

A file of its own because a read can wait for a leader that never comes: its time is bounded here,
as that of proposals is in `apply`, by a look at all of them now and then, without a timer for each.
Source: spec/cluster.md section 8.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from etcdpy.errors import RAFT_INTERNAL, EtcdError


class _Read(NamedTuple):
    """One that waits, or was answered; deadlines are loop times."""

    deadline_s: float
    future: "asyncio.Future[int]"


class Reads(Protocol):
    """Who finds the index that a read must see: the driver."""

    def read_index(self) -> "asyncio.Future[int]":
        """Return a future of that index.  Raises: EtcdError 121 when too much waits already."""


class Linearizer:
    """The quorum reads of one member, on its loop."""

    def __init__(
        self,
        driver: Reads,
        timeout_s: float,
        explain: Callable[[float], bytes],
        on_failed: Callable[[], None],
    ) -> None:
        """`explain` returns the cause for a read that began at a loop time; `on_failed` counts."""
        self._driver = driver
        self._timeout_s = timeout_s
        self._explain = explain
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._reads: deque[_Read] = deque()  # deadlines ascend

    def read(self) -> "asyncio.Future[int]":
        """Return a future that is done when a read of the local tree is linearizable.

        It has EtcdError 300 when that can't be known in time.
        Raises: EtcdError 121 when too much waits already.
        """
        future = self._driver.read_index()
        self._reads.append(_Read(self._loop.time() + self._timeout_s, future))
        return future

    def withdraw(self, now_s: float) -> None:
        """Fail the reads whose time is up."""
        reads = self._reads
        while reads and (reads[0].future.done() or reads[0].deadline_s <= now_s):
            deadline_s, future = reads.popleft()
            if not future.done():
                self._on_failed()
                cause = self._explain(deadline_s - self._timeout_s)
                future.set_exception(EtcdError(RAFT_INTERNAL, cause))
