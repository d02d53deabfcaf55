"""Background: what runs in a thread beside a test or a measurement, for as long as its block."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """A thread that begins with the block and has ended when the block is left."""

    def __init__(self) -> None:
        self._ending = threading.Event()  # set when `_run` is to return
        self._thread = threading.Thread(target=self._run, daemon=True)

    @abstractmethod
    def _run(self) -> None:
        """Work until `_ending` is set."""

    def _ended(self) -> None:  # noqa: B027  # most have nothing to do then
        """Do what is left to do once the thread has ended."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._ended()
