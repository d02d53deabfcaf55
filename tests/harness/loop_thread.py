"""A server in an event loop in a thread of its own, for tests that ask it over sockets."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

DEADLINE_S = 10.0

T = TypeVar("T")


class LoopThread(ABC):
    """Serves for as long as its block; `errors` is what the loop could tell nobody else."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @abstractmethod
    async def _start(self) -> None:
        """Begin to serve."""

    @abstractmethod
    async def _stop(self) -> None:
        """Serve no more; leave nothing in the loop."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns in the server's loop."""

        async def run() -> T:
            return function()

        return self.run(run())

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()
