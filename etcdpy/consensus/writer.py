"""Writer: the one thread that owns the files.

A file of its own because it is the only thread of consensus, and knows nothing of Raft: jobs go in
from the loop, and each one's end comes back to the loop.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]
Done = Callable[[Exception | None], None]


class Writer:
    """Does one job at a time, in the order in which they came, and tells the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="etcdpy-writer")
        self._thread.start()

    def submit(self, job: Job, on_done: Done) -> None:
        """Do `job` in the thread; its end is told to `on_done` on the loop."""
        self._jobs.put((job, on_done))

    async def stop(self) -> None:
        """Wait for the job going on, and for the thread to end."""
        self._jobs.put(None)
        await self._ended.wait()
        self._thread.join()

    def _work(self) -> None:
        while True:
            task = self._jobs.get()
            if task is None:
                break
            job, on_done = task
            error: Exception | None = None
            try:
                job()
            except Exception as raised:  # an edge: the loop decides what it means
                error = raised
            self._loop.call_soon_threadsafe(on_done, error)
        self._loop.call_soon_threadsafe(self._ended.set)
