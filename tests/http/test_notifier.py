"""Many watchers are told in slices, each of each event, and none is told late of a next one."""

import asyncio

import pytest

from etcdpy.http import notifier
from etcdpy.http.notifier import AT_ONCE_MAX, Notifier
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import PENDING_MAX, Watcher

MANY = AT_ONCE_MAX * 5


class Owner:
    """Takes what its watcher was told."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.indexes: list[int] = []

    def wake(self) -> None:
        self.indexes += [event.index for event in self._watcher.take()]


class Crowd:
    """Watchers of one key, with their owners."""

    def __init__(self, count: int, *, is_stream: bool) -> None:
        self.tree = Tree()
        self.notifier = Notifier(self.tree.hub)
        self.owners = []
        for _ in range(count):
            watcher = self.tree.watch(b"/1/k", is_recursive=False, is_stream=is_stream, since=0)
            watcher.owner = Owner(watcher)
            self.owners.append(watcher.owner)

    def write(self) -> int:
        index = self.tree.set(b"/1/k", value=b"v", now_ns=0).index
        self.notifier.tell()
        return index

    def told(self, index: int) -> int:
        return sum(index in owner.indexes for owner in self.owners)


@pytest.fixture(autouse=True)
def slices_of_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "SLICE_S", 0.0)


def test_a_few_are_told_at_once() -> None:
    crowd = Crowd(AT_ONCE_MAX, is_stream=False)  # no loop: nothing can be put off
    assert crowd.told(crowd.write()) == AT_ONCE_MAX


def test_many_are_told_in_slices_between_which_others_run() -> None:
    async def run() -> None:
        crowd = Crowd(MANY, is_stream=False)
        index = crowd.write()
        seen = [crowd.told(index)]
        while seen[-1] < MANY:
            await asyncio.sleep(0)
            seen.append(crowd.told(index))
        assert seen[0] == 0
        assert len(seen) > 10

    asyncio.run(run())


def test_nobody_is_told_of_a_next_event_before_all_know_the_one_before() -> None:
    async def run() -> None:
        crowd = Crowd(MANY, is_stream=True)
        indexes = [crowd.write() for _ in range(PENDING_MAX * 3)]  # the loop has no turn meanwhile
        assert crowd.told(indexes[-2]) == MANY
        for _ in range(MANY):
            await asyncio.sleep(0)
        assert all(owner.indexes == indexes for owner in crowd.owners)

    asyncio.run(run())


def test_a_watcher_that_has_lost_its_owner_meanwhile_is_passed_over() -> None:
    async def run() -> None:
        crowd = Crowd(MANY, is_stream=False)
        index = crowd.write()
        gone, *others = crowd.owners
        gone._watcher.owner = None
        for _ in range(MANY):
            await asyncio.sleep(0)
        assert sum(index in owner.indexes for owner in others) == MANY - 1
        assert gone.indexes == []

    asyncio.run(run())
