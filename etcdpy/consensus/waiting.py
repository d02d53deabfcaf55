"""Waiting: who waits for a read to become current, and in which question to the core.

A file of its own because it is all futures and no protocol: reads that come while a question may
not be asked share the next one, and each is let go once, with an index or with the reason.
"""

import asyncio
from collections.abc import Sequence

from etcdpy.errors import EtcdError

# More than the clients that one member can serve at once; a client that is refused is told so.
READS_COUNT_MAX = 65_536
# Questions about reads that are open at a time; reads that come meanwhile share the next one.
OPEN_READS_MAX = 256


class WaitingReads:
    """The reads of one member that are not served yet.

    Invariant: `count` is how many are in `_asked` and in `_new`.
    """

    __slots__ = ("_asked", "_last_token", "_new", "count")

    def __init__(self) -> None:
        self.count = 0
        self._asked: dict[int, list[asyncio.Future[int]]] = {}  # token -> who waits
        self._new: list[asyncio.Future[int]] = []  # in no question yet
        self._last_token = 0

    @property
    def new_count(self) -> int:
        """How many are in no question yet."""
        return len(self._new)

    @property
    def is_full(self) -> bool:
        """Whether no more may come; those that were given up are forgotten first."""
        if self.count >= READS_COUNT_MAX:
            self._forget_given_up()
        return self.count >= READS_COUNT_MAX

    @property
    def may_ask(self) -> bool:
        """Whether `ask` would."""
        return bool(self._new) and len(self._asked) < OPEN_READS_MAX

    def add(self, future: "asyncio.Future[int]") -> None:
        """Let one more wait."""
        self._new.append(future)
        self.count += 1

    def ask(self) -> tuple[int, ...]:
        """Return the token of a question for all that are in none, nothing if there is none."""
        if not self.may_ask:
            return ()
        self._last_token += 1
        self._asked[self._last_token] = self._new
        self._new = []
        return (self._last_token,)

    def release(self, tokens: Sequence[int], index: int) -> None:
        """Let go who waits for these questions: their reads are current at `index`."""
        for token in tokens:
            futures = self._asked.pop(token)
            self.count -= len(futures)
            for future in futures:
                if not future.done():
                    future.set_result(index)

    def fail(self, error: EtcdError) -> None:
        """Let all go with `error`."""
        waiting = [future for futures in (*self._asked.values(), self._new) for future in futures]
        self._asked = {}
        self._new = []
        self.count = 0
        for future in waiting:
            if not future.done():
                future.set_exception(EtcdError(error.code, error.cause))

    def _forget_given_up(self) -> None:
        for futures in (self._new, *self._asked.values()):
            futures[:] = [future for future in futures if not future.done()]
        self.count = len(self._new) + sum(map(len, self._asked.values()))
