"""When a snapshot is taken, and when it is given up for one that the leader sent."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import cast

import pytest

from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import ConfState, HardState, SnapshotMeta
from etcdpy.errors import FatalError
from etcdpy.snapshotter import REST_S, ROWS_PER_LOOK, Snapshotter
from etcdpy.store.storage import Limits
from etcdpy.tree.replacement import replace_state
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree
from tests.harness.virtual_time import run_virtual
from tests.store.helpers import MemberStorage, entry, open_store, simulated

SNAPSHOT_COUNT = 5
CONF = ConfState((1, 2, 3))
DEADLINE_S = 20.0


class FakeDriver:
    """A driver that has applied what the test says; its writer's jobs are done at once."""

    def __init__(self) -> None:
        self.places: Callable[[], SnapshotMeta | None]

    def applied_meta(self) -> SnapshotMeta | None:
        return self.places()

    async def run_in_writer(self, job: Callable[[], None]) -> None:
        job()

    def compact(self, index: int) -> int:
        raise AssertionError(f"nothing is to be forgotten, not even up to {index}")


class Rig:
    """A member with ten applied entries."""

    def __init__(self) -> None:
        _, recovered = open_store(simulated(), Limits())
        self.storage: MemberStorage = recovered.storage
        entries = [entry(index) for index in range(1, 11)]
        self.storage.write(HardState(1, 1, 10), entries)
        self.storage.stabilise(HardState(1, 1, 10), entries)
        self.tree = Tree()
        for number in range(10):
            self.tree.set(b"/1/k%d" % number, value=b"v", now_ns=0)
        self.driver = FakeDriver()
        self.driver.places = lambda: SnapshotMeta(10, 1, CONF)
        self.fatal: list[FatalError] = []
        self.snapshotter = Snapshotter(
            self.storage,
            cast(Driver, self.driver),
            self.tree,
            SNAPSHOT_COUNT,
            self.fatal.append,
        )
        self.snapshotter.start()

    async def take(self) -> SnapshotMeta:
        """Have a snapshot taken if one is due; return the newest one's place."""
        self.snapshotter.note_applied(10)
        await self.settle()
        return self.storage.snapshot_meta()

    async def settle(self) -> None:
        """Wait for the snapshot going on, if there is one."""
        if self.snapshotter._task is not None:
            await self.snapshotter._task


def run(test: Callable[[Rig], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test(Rig())

    asyncio.run(bounded())


def test_a_snapshot_is_the_tree_at_what_is_applied() -> None:
    async def test(rig: Rig) -> None:
        assert await rig.take() == SnapshotMeta(10, 1, CONF)
        reader = rig.storage.open_snapshot()
        assert reader is not None
        with reader:
            assert restore(reader.rows()).digest() == rig.tree.digest()

    run(test)


def test_others_have_the_loop_to_themselves_between_two_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slices = 20
    monkeypatch.setattr("etcdpy.snapshotter.SLICE_S", 0.0)  # each look at the clock ends one

    async def test() -> None:
        rig = Rig()
        for number in range(slices * ROWS_PER_LOOK):
            rig.tree.set(b"/1/more/%d" % number, value=b"v", now_ns=0)
        began_s = asyncio.get_running_loop().time()
        assert await rig.take() == SnapshotMeta(10, 1, CONF)
        rested_s = asyncio.get_running_loop().time() - began_s
        assert rested_s == pytest.approx(slices * REST_S)

    run_virtual(test)


@pytest.mark.parametrize(("applied", "is_due"), [(SNAPSHOT_COUNT, False), (6, True)])
def test_one_is_due_after_more_than_the_count(applied: int, is_due: bool) -> None:
    async def test(rig: Rig) -> None:
        rig.driver.places = lambda: SnapshotMeta(applied, 1, CONF)
        rig.snapshotter.note_applied(applied)
        await rig.settle()
        assert rig.storage.snapshot_meta().index == (applied if is_due else 0)

    run(test)


@pytest.mark.parametrize(
    ("needed_after", "said"),
    [
        (9, "compacted raft log at 7"),
        (4, "compacted raft log at 4"),
        (0, "skip compaction since there is an inflight snapshot"),
    ],
)
def test_the_log_says_how_much_of_it_was_let_go(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    needed_after: int,
    said: str,
) -> None:
    monkeypatch.setattr("etcdpy.snapshotter.TAIL_COUNT", 3)
    caplog.set_level("INFO", "etcdpy.etcdserver")

    async def test(rig: Rig) -> None:
        def compact(index: int) -> int:
            rig.storage.compact(min(index, needed_after))
            return min(index, needed_after)

        monkeypatch.setattr(rig.driver, "compact", compact)
        await rig.take()

    run(test)
    assert caplog.messages[-1] == said


@pytest.mark.parametrize("asked_before", [0, 1])
def test_none_is_taken_while_a_received_one_is_installed(asked_before: int) -> None:
    """Neither begun then, nor ended."""

    async def test(rig: Rig) -> None:
        places = [SnapshotMeta(10, 1, CONF)] * asked_before
        rig.driver.places = lambda: places.pop() if places else None
        assert await rig.take() == SnapshotMeta()
        assert rig.fatal == []
        rig.driver.places = lambda: SnapshotMeta(10, 1, CONF)
        assert (await rig.take()).index == 10  # the next one is none the worse for it

    run(test)


def test_one_is_given_up_between_two_slices_when_the_member_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("etcdpy.snapshotter.SLICE_S", 0.0)

    async def test() -> None:
        rig = Rig()
        for number in range(20 * ROWS_PER_LOOK):
            rig.tree.set(b"/1/more/%d" % number, value=b"v", now_ns=0)
        rig.snapshotter.note_applied(10)
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(2.5 * REST_S)
        await rig.snapshotter.stop()
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(3 * REST_S)
        assert rig.storage.snapshot_meta() == SnapshotMeta()
        assert rig.tree.journal is None
        assert rig.fatal == []

    run_virtual(test)


def test_one_is_given_up_when_the_tree_became_another() -> None:
    async def test(rig: Rig) -> None:
        count = 0

        def place() -> SnapshotMeta:
            nonlocal count
            count += 1
            if count == 2:  # the one that ends it
                replace_state(rig.tree, later)
            return SnapshotMeta(10, 1, CONF)

        later = Tree()
        for _ in range(20):
            later.set(b"/1/other", value=b"v", now_ns=0)
        rig.driver.places = place
        assert await rig.take() == SnapshotMeta()
        assert count == 2
        assert rig.fatal == []

    run(test)


def test_a_disk_that_refuses_ends_the_member() -> None:
    async def test(rig: Rig) -> None:
        rig.driver.places = lambda: SnapshotMeta(99, 1, CONF)  # past what is on disk
        assert await rig.take() == SnapshotMeta()
        assert [str(error) for error in rig.fatal] == [
            "will not take a snapshot at 99: the log ends at 10"
        ]
        rig.driver.places = lambda: SnapshotMeta(10, 1, CONF)
        assert await rig.take() == SnapshotMeta()  # not after a failure

    run(test)
