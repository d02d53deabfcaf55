"""Writer: the one thread that owns the files, and when the loop does its work.

A file of its own because it is the only thread of consensus, and knows nothing of Raft: jobs go in
from the loop, and each one's end comes back to the loop.

A hand-over to the thread and back costs 30 µs of processor time, and on an idle machine 100 µs and
more until both have woken up: as long as a quick disk takes.  So a write to the log is done

- on the loop, fsync and all, while one client writes and waits, the disk has been quick of late and
  the loop has time to spare: what would be done meanwhile has to wait.  A disk that becomes slow
  stops the loop for one write;
- else on the loop as far as the system's memory, which the system then makes durable while the
  loop goes on (see `Flusher`);
- else in the thread: where the system can't do that, where it is slow to take the bytes (the disk
  is so far behind that it has to wait), and where there is more to do than to write.
"""

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from etcdpy.consensus.interfaces import Flusher

Job = Callable[[], None]
Done = Callable[[Exception | None], None]

# A write on the loop may be expected to take no longer.  Of a slower disk's time the hand-over is
# a small part.
INLINE_S_MAX = 0.000_5
# The system may be expected to take a write's bytes, encoding included, within this time.
_TAKING_S_MAX = 0.002
# What the longest of the writes before counts for from one to the next: after one of 10 ms it takes
# 29 short ones to come back to the loop.
_FADING = 0.9
# With a flusher the loop writes only while entries come one by one: those that come together are of
# clients of which some are served while others wait for the disk.
_COMPANY = 2
# So much of its time the loop must have been idle to write by itself.  One client that writes and
# waits leaves it a fifth and more, clients that keep it busy next to nothing.
_IDLE_SHARE_MIN = 0.1
_WINDOW_S = 0.02


class Pace:
    """Whether the next write is for the loop, from how long writes took and how busy the loop is.

    Times come in as arguments, in seconds.
    """

    __slots__ = ("_began_s", "_busy_s", "_has_time", "_inline_s_max", "_longest_s")

    def __init__(self, inline_s_max: float = INLINE_S_MAX) -> None:
        """Let the thread write until it has shown that writes take less than `inline_s_max`."""
        self._inline_s_max = inline_s_max
        self._longest_s = 2 * inline_s_max  # of the last writes, fading
        self._has_time = True
        self._began_s = 0.0  # of the window, on the clock
        self._busy_s = 0.0  # then

    @property
    def is_quick(self) -> bool:
        """Whether writes have been quick enough of late."""
        return self._longest_s < self._inline_s_max

    def wrote(self, took_s: float) -> None:
        """Note how long a write took."""
        self._longest_s = max(took_s, self._longest_s * _FADING)

    def has_time(self, now_s: float, busy_s: float) -> bool:
        """Return whether the loop has time to spare; `busy_s` is how long it has been busy ever."""
        window_s = now_s - self._began_s
        if window_s >= _WINDOW_S:
            self._has_time = busy_s - self._busy_s <= window_s * (1 - _IDLE_SHARE_MIN)
            self._began_s, self._busy_s = now_s, busy_s
        return self._has_time


class Writer:
    """Does one job at a time, in the order in which they came, and tells the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pace: Pace,
        spare_s: Callable[[], float],
        flusher: Flusher | None = None,
    ) -> None:
        """`spare_s` returns for how long the loop was ever awake without need."""
        self._loop = loop
        self._flusher = flusher
        self._flush: tuple[Done, float] | None = None  # going on: whom to tell, when it began
        self._behind: list[tuple[Job, Done] | None] = []  # what the thread gets at its end
        self._taking = Pace(_TAKING_S_MAX)
        if flusher is not None:
            loop.add_reader(flusher.fileno(), self._flushed)
        self._spare_s = spare_s
        self._pace = pace
        self._waited_s = 0.0  # by the loop, for the disk
        self._most = 0.0  # entries in one of the last writes, fading
        self._handed_over = 0  # jobs whose end was not told yet
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._ended = asyncio.Event()
        self._worker = threading.Thread(target=self._work, name="etcdpy-writer")
        self._worker.start()

    def submit(self, job: Job, on_done: Done) -> None:
        """Do `job` in the thread; its end is told to `on_done` on the loop."""
        self._handed_over += 1
        self._taking.wrote(0.0)  # it fades
        self._hand_over((job, on_done))

    def _hand_over(self, task: tuple[Job, Done] | None) -> None:
        """Give the thread a job, or its end, behind the flush going on."""
        if self._flush is not None:
            self._behind.append(task)
        else:
            self._jobs.put(task)

    def may_flush(self) -> bool:
        """Return whether the next write to the log is one for `flush`; called on the loop."""
        return self._flusher is not None and not self._handed_over and self._taking.is_quick

    def flush(self, begin: Callable[[], int | None], on_done: Done) -> bool:
        """Do `begin`, a write to the log, on the loop, and have the handle that it returns made
        durable; the end of that is told to `on_done` on the loop.

        Return False if `begin` returns None: then nothing was done.  Raises: what `begin` raises.
        """
        assert self._flusher is not None
        assert self._handed_over == 0
        began_s = time.perf_counter()
        handle = begin()
        now_s = time.perf_counter()
        self._taking.wrote(now_s - began_s)
        if handle is None:
            return False
        try:
            self._flusher.begin(handle)
        except OSError as refusal:  # the thread can do it
            self.submit(partial(self._flusher.wait, handle), on_done)
            if refusal.errno != errno.EAGAIN:  # it will not be otherwise
                self._give_up_flusher()
        else:
            self._handed_over += 1
            self._flush = on_done, now_s
        return True

    def may_write_here(self, count: int) -> bool:
        """Return whether to write `count` entries to the log on the loop; called on the loop."""
        self._most = max(float(count), self._most * _FADING)
        if self._handed_over or not self._pace.is_quick:
            return False
        if self._flusher is not None and self._most >= _COMPANY:
            return False
        busy_s = time.thread_time() + self._waited_s - self._spare_s()
        return self._pace.has_time(time.perf_counter(), busy_s)

    def write_here(self, job: Job) -> None:
        """Do `job`, a write to the log, on the loop.  Raises: what `job` raises."""
        assert self._handed_over == 0
        began_s, cpu_s = time.perf_counter(), time.thread_time()
        job()
        took_s = time.perf_counter() - began_s
        self._waited_s += took_s - (time.thread_time() - cpu_s)
        self._pace.wrote(took_s)

    async def stop(self) -> None:
        """Wait for the job going on, and for the thread to end."""
        self._hand_over(None)
        await self._ended.wait()
        self._worker.join()
        self._give_up_flusher()

    def _give_up_flusher(self) -> None:
        if self._flusher is not None:
            self._loop.remove_reader(self._flusher.fileno())
            self._flusher.close()
            self._flusher = None

    def _work(self) -> None:
        while True:
            task = self._jobs.get()
            if task is None:
                break
            job, on_done = task
            error: Exception | None = None
            began_s = time.perf_counter()
            try:
                job()
            except Exception as raised:  # an edge: the loop decides what it means
                error = raised
            took_s = time.perf_counter() - began_s
            self._loop.call_soon_threadsafe(self._done, on_done, error, took_s)
        self._loop.call_soon_threadsafe(self._ended.set)

    def _flushed(self) -> None:
        assert self._flusher is not None
        assert self._flush is not None
        (on_done, began_s), self._flush = self._flush, None
        error: OSError | None = None
        try:
            self._flusher.end()
        except OSError as raised:
            error = raised
        behind, self._behind = self._behind, []
        for task in behind:
            if task is None or error is None:
                self._jobs.put(task)
        took_s = time.perf_counter() - began_s
        self._done(on_done, error, took_s)
        for task in behind:
            if task is not None and error is not None:  # the files are not to be touched any more
                self._done(task[1], error, took_s)

    def _done(self, on_done: Done, error: Exception | None, took_s: float) -> None:
        self._handed_over -= 1
        self._pace.wrote(took_s)
        on_done(error)
