"""Each watcher of a shared watch sees each event once and in order, or is cut: the rule, purely.

A random machine compares it with a model: a watcher from a position on is told exactly the events
that are there from that position on, the first of them if it is no stream.
"""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from etcdpy.proxy import sharing
from etcdpy.proxy.sharing import SharedWatch, Told


class Client:
    """A watcher that keeps what it is told."""

    def __init__(self, position: int, *, is_stream: bool = True) -> None:
        self.position = self.since = position
        self.is_stream = is_stream
        self.is_paused = False
        self.is_cut = False
        self.home: SharedWatch | None = None
        self.told: list[int] = []

    def tell(self, events: Sequence[Told]) -> None:
        assert not self.is_cut
        self.told += [event.index for event in events]

    def cut(self) -> None:
        assert self.home is None
        self.is_cut = True


def body(index: int, size: int = 0) -> bytes:
    return b'{"node":{"modifiedIndex":%d}}%b\n' % (index, b" " * size)


def fed(start: int, *indexes: int) -> SharedWatch:
    watch = SharedWatch(start)
    for index in indexes:
        watch.add(index, body(index))
    return watch


def test_an_event_that_is_told_twice_counts_once() -> None:
    watch = fed(10)
    client = Client(11)
    watch.join(client)
    assert [watch.add(index, body(index)) for index in (12, 12, 11, 13)] == [1, 0, 0, 1]
    assert client.told == [12, 13]


def test_one_that_is_no_stream_is_told_the_first_from_its_position_on() -> None:
    watch = fed(10, 12, 15, 19)
    for since, wanted in ((11, [12]), (13, [15]), (16, [19]), (20, [])):
        client = Client(since, is_stream=False)
        watch.join(client)
        assert client.told == wanted
        assert (client.home is None) == bool(wanted)
    assert len(watch) == 1
    watch.add(22, body(22))
    assert len(watch) == 0


def test_what_is_older_than_its_beginning_is_not_covered() -> None:
    watch = fed(10, 12)
    assert not watch.covers(10)
    assert watch.covers(11)


def test_a_history_has_bounds_in_number_and_in_bytes() -> None:
    watch = fed(0, *range(1, sharing.EVENTS_MAX + 3))
    assert watch.low == 3
    big = SharedWatch(0)
    for index in (1, 2, 3):
        big.add(index, body(index, sharing.HISTORY_BYTES_MAX // 2 - 100))
    assert big.low == 2
    big.add(4, body(4, sharing.HISTORY_BYTES_MAX))
    assert big.low == 5


def test_a_paused_client_is_told_later_or_cut_if_that_is_gone() -> None:
    watch = fed(0)
    slow, late = Client(1), Client(1)
    for client in (slow, late):
        watch.join(client)
        client.is_paused = True
    watch.add(1, body(1))
    watch.add(2, body(2))
    slow.is_paused = False
    watch.resume(slow)
    assert slow.told == [1, 2]
    for index in range(3, sharing.EVENTS_MAX + 3):
        watch.add(index, body(index))
    late.is_paused = False
    watch.resume(late)
    assert late.is_cut
    assert late.told == []
    assert len(watch) == 1


def test_an_older_history_goes_on_in_the_newer_one() -> None:
    older, newer = fed(0, 3, 5), fed(9, 11)
    stream, once = Client(4), Client(7, is_stream=False)
    older.join(stream)
    older.join(once)
    older.add(8, body(8))
    assert (stream.told, once.told) == ([5, 8], [8])
    waiting = Client(9, is_stream=False)
    older.join(waiting)
    newer.absorb(older)
    assert (newer.low, len(older)) == (1, 0)
    assert (stream.told, waiting.told) == ([5, 8, 11], [11])
    latest = Client(1)
    newer.join(latest)
    assert latest.told == [3, 5, 8, 11]


def test_an_older_history_that_overlaps_brings_only_what_is_missing() -> None:
    older, newer = fed(0, 3, 5, 11), fed(4, 5, 11)
    client = Client(4)
    older.join(client)
    newer.absorb(older)
    everything = Client(1)
    newer.join(everything)
    assert everything.told == [3, 5, 11]
    assert client.told == [5, 11]


def test_who_joins_while_others_are_told_is_not_told_twice() -> None:
    watch = fed(0)

    class Rejoining(Client):
        def tell(self, events: Sequence[Told]) -> None:
            super().tell(events)
            if len(self.told) < 3:
                watch.join(self)

    client = Rejoining(1, is_stream=False)
    watch.join(client)
    for index in (2, 4, 6, 8):
        watch.add(index, body(index))
    assert client.told == [2, 4, 6]


class Sharing(RuleBasedStateMachine):
    """Streams end, gaps are filled, clients come, go and pause, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.index = 5  # of the cluster
        self.events: list[int] = []  # that match, all of them
        self.newest = SharedWatch(self.index)
        self.older: SharedWatch | None = None  # is being filled
        self.lost: list[int] = []  # happened while no stream was open
        self.clients: list[Client] = []

    @rule(steps=st.integers(1, 5))
    def happen(self, steps: int) -> None:
        self.index += steps
        self.events.append(self.index)
        self.newest.add(self.index, body(self.index))

    @rule(back=st.integers(0, 12), is_stream=st.booleans())
    def arrive(self, back: int, is_stream: bool) -> None:
        client = Client(max(1, self.index + 1 - back), is_stream=is_stream)
        for history in (self.newest, self.older):
            if history is not None and history.covers(client.position):
                self.clients.append(client)
                history.join(client)
                return

    @precondition(lambda self: self.older is None)
    @rule(missed=st.lists(st.integers(1, 3), max_size=3), is_behind=st.booleans())
    def reopen(self, missed: list[int], is_behind: bool) -> None:
        """Have the stream end, things happen, and another one open, at a member that may lag."""
        for steps in missed:
            self.index += steps
            self.events.append(self.index)
        if is_behind:  # and then tells again what was told before
            for index in self.events[-4:]:
                self.newest.add(index, body(index))
            return
        if self.index >= self.newest.next:
            self.older, self.newest = self.newest, SharedWatch(self.index)

    @precondition(lambda self: self.older is not None)
    @rule()
    def fill(self) -> None:
        """Ask for the next event of the past."""
        assert self.older is not None
        found = next((index for index in self.events if index >= self.older.next), None)
        if found is None:
            return
        if found < self.newest.low:
            self.older.add(found, body(found))
        else:
            self.newest.absorb(self.older)
            self.older = None

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 99))
    def pause(self, which: int) -> None:
        self.clients[which % len(self.clients)].is_paused = True

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 99))
    def resume(self, which: int) -> None:
        client = self.clients[which % len(self.clients)]
        client.is_paused = False
        if client.home is not None:
            client.home.resume(client)

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        client = self.clients.pop(which % len(self.clients))
        if client.home is not None:
            client.home.leave(client)

    @invariant()
    def each_sees_each_event_once_and_in_order(self) -> None:
        for client in self.clients:
            wanted = [index for index in self.events if index >= client.since]
            if not client.is_stream:
                wanted = wanted[:1]
            assert client.told == wanted[: len(client.told)]
            is_due = client.home is self.newest and not client.is_paused
            if is_due and not client.is_cut:
                assert client.told == wanted


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
