"""A driver with all its parts on a real loop; its storage's writes end when the test says so."""

import asyncio
import random
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence

from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import (
    Entry,
    HardState,
    Message,
    MessageKind,
    SnapshotMeta,
    SnapshotRequest,
    SoftState,
)
from etcdpy.consensus.state import RaftConfig
from etcdpy.consensus.writer import Pace
from etcdpy.errors import FatalError
from tests.consensus.harness import MemoryStorage

DEADLINE_S = 10.0

NEVER = Pace(0.0)  # is a write for the loop


class GatedStorage(MemoryStorage):
    """Writes wait for the gate, and fail when told to."""

    def __init__(self, base: MemoryStorage) -> None:
        super().__init__(base.hard_state, base.meta, base.log)
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.shuts_after_next = False  # the gate

    def stabilise(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        super().stabilise(hard_state, entries)
        if self.shuts_after_next:
            self.shuts_after_next = False
            self.gate.clear()

    def write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.gate.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        super().write(hard_state, entries)


class Collector:
    """Applier and transport that note what they are given."""

    def __init__(self) -> None:
        self.applied: list[Entry] = []
        self.slices: list[int] = []
        self.messages: list[Message] = []
        self.requests: list[SnapshotRequest] = []
        self.error: Exception | None = None
        self.changed = asyncio.Event()

    def apply(self, entries: Sequence[Entry]) -> Collection[int] | None:
        if self.error is not None:
            raise self.error
        self.applied += entries
        self.slices.append(len(entries))
        self.changed.set()
        return None

    def send(self, messages: Sequence[Message]) -> None:
        self.messages += messages
        self.changed.set()

    def send_snapshot(self, request: SnapshotRequest) -> None:
        self.requests.append(request)
        self.changed.set()

    def of_kind(self, kind: MessageKind) -> list[Message]:
        return [message for message in self.messages if message.kind is kind]

    @property
    def datas(self) -> list[bytes]:
        return [entry.data for entry in self.applied if entry.kind == 0 and entry.data]


class Rig:
    """A driver with its parts."""

    def __init__(
        self,
        storage: MemoryStorage,
        apply_count_max: int = 1_024,
        held_count_max: int = 16_384,
        held_bytes_max: int = 1 << 20,
        pace: Pace = NEVER,
    ) -> None:
        self.storage = storage if isinstance(storage, GatedStorage) else GatedStorage(storage)
        self.collector = Collector()
        self.soft_states: list[SoftState] = []
        self.fatal: list[FatalError] = []
        self.installed: list[SnapshotMeta] = []
        self.places: list[SnapshotMeta | None] = []  # as told while one was being installed
        self.driver = Driver(
            RaftConfig(
                1,
                apply_count_max=apply_count_max,
                held_count_max=held_count_max,
                held_bytes_max=held_bytes_max,
            ),
            self.storage,
            self.collector,
            self.collector,
            tick_s=3600.0,
            random_source=random.Random(1),
            on_soft_state=self._on_soft_state,
            on_fatal=self._on_fatal,
            installer=self,
            pace=pace,
        )

    async def propose_and_hold(self, data: bytes) -> None:
        """Propose, and return when the thread is in the midst of writing it; the gate is shut."""
        self.storage.gate.clear()
        self.storage.began.clear()
        self.driver.propose(data)
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, self.storage.began.wait, DEADLINE_S)

    async def go_on_to_the_next(self) -> None:
        """Let the write that is held end; return in the midst of the next one, which is held."""
        self.storage.began.clear()
        self.storage.shuts_after_next = True
        self.storage.gate.set()
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, self.storage.began.wait, DEADLINE_S)

    def _on_soft_state(self, soft_state: SoftState) -> None:
        self.soft_states.append(soft_state)
        self.collector.changed.set()

    def _on_fatal(self, error: FatalError) -> None:
        self.fatal.append(error)
        self.collector.changed.set()

    def write(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        assert threading.current_thread() is not threading.main_thread()

    def stabilise(self, hard_state: HardState, meta: SnapshotMeta) -> None:
        self.places.append(self.driver.applied_meta())
        self.storage.install(hard_state, meta)
        self.places.append(self.driver.applied_meta())
        self.installed.append(meta)
        self.collector.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.collector.changed.clear()
                await self.collector.changed.wait()

    def snapshot(self) -> None:
        """Have the storage hold a snapshot of what is applied."""
        meta = self.driver.applied_meta()
        assert meta is not None
        self.storage.snapshot(meta)

    async def until_applied(self, count: int) -> None:
        await self.until(lambda: len(self.collector.datas) == count)

    async def started(self) -> "Rig":
        self.driver.start()
        await self.until(lambda: self.driver.status.applied >= 2)
        return self


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `main()` on a fresh loop and hold that it leaves no thread and no task."""
    before = threading.active_count()

    async def body() -> None:
        await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())
    assert threading.active_count() == before
