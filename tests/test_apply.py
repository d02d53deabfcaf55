"""Committed entries to results: each proposal answered by its own entry, and by no other."""

import asyncio
from collections.abc import Callable

import pytest

from etcdpy.apply import TREE, Applications, check_data
from etcdpy.consensus.codec import encode_conf_change
from etcdpy.consensus.messages import ConfChange, ConfChangeKind, Entry, EntryKind
from etcdpy.errors import KEY_EXISTS, TOO_MANY_REQUESTS, EtcdError, FatalError
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher

NOW_NS = 1_800_000_000 * 10**9


class Fixture:
    """Applications over an empty tree, a log that counts up, and what the callbacks were told."""

    def __init__(self, member_id: int = 1, boot: int = 7, pending_max: int = 100) -> None:
        self.changes: list[ConfChange] = []
        self.syncs: list[Command] = []
        self.is_change_taken = True
        self.tree = Tree()
        self.applications = Applications(
            self.tree,
            member_id=member_id,
            boot=boot,
            applied=0,
            on_conf_change=self._take_change,
            on_sync=self.syncs.append,
            pending_max=pending_max,
        )
        self.last_index = 0

    def _take_change(self, change: ConfChange) -> bool:
        self.changes.append(change)
        return self.is_change_taken

    def commit(self, data: bytes, kind: int = EntryKind.NORMAL) -> list[int]:
        self.last_index += 1
        return self.applications.apply([Entry(2, self.last_index, kind, data)])


def run(test: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    loop = asyncio.new_event_loop()
    try:
        test(loop)
    finally:
        loop.close()


def set_key(name: bytes, value: bytes = b"v") -> Command:
    return Command(CommandKind.SET, NOW_NS, b"/1/" + name, value)


def test_a_proposal_is_answered_by_its_entry() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        result: asyncio.Future[Event] = loop.create_future()
        data = fixture.applications.register(set_key(b"a"), result, 1.0)
        assert not result.done()
        fixture.commit(data)
        assert result.result().node.key == b"/1/a"

    run(test)


def test_a_refusal_is_a_result_and_the_next_entry_is_applied() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        create = Command(CommandKind.CREATE, NOW_NS, b"/1/a", b"v")
        fixture.commit(fixture.applications.wrap(create))
        result: asyncio.Future[Event] = loop.create_future()
        fixture.commit(fixture.applications.register(create, result, 1.0))
        error = result.exception()
        assert isinstance(error, EtcdError)
        assert error.code == KEY_EXISTS
        fixture.commit(fixture.applications.wrap(set_key(b"b")))
        assert fixture.tree.index == 2

    run(test)


@pytest.mark.parametrize(("member_id", "boot"), [(1, 8), (2, 7)])
def test_an_entry_of_another_boot_or_member_answers_nobody(member_id: int, boot: int) -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        foreign: asyncio.Future[Event] = loop.create_future()
        other = Fixture(member_id, boot).applications.register(set_key(b"old"), foreign, 1.0)
        fixture = Fixture(1, 7)
        result: asyncio.Future[Event] = loop.create_future()
        fixture.applications.register(set_key(b"new"), result, 1.0)
        fixture.commit(other)  # has the same counter
        assert not result.done()
        assert fixture.tree.find_node(b"/1/old") is not None

    run(test)


def test_what_is_withdrawn_may_still_be_applied() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        early: asyncio.Future[Event] = loop.create_future()
        late: asyncio.Future[Event] = loop.create_future()
        data = fixture.applications.register(set_key(b"early"), early, 1.0)
        fixture.applications.register(set_key(b"late"), late, 2.0)
        fixture.applications.withdraw(1.5, lambda deadline_s: b"too late for %d" % deadline_s)
        error = early.exception()
        assert isinstance(error, EtcdError)
        assert (error.code, error.cause) == (300, b"too late for 1")
        assert not late.done()
        fixture.commit(data)
        assert fixture.tree.find_node(b"/1/early") is not None
        fixture.applications.withdraw_all(b"stopped")
        assert isinstance(late.exception(), EtcdError)

    run(test)


def test_proposals_that_wait_are_bounded() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture(pending_max=2)
        first = fixture.applications.register(set_key(b"a"), loop.create_future(), 1.0)
        fixture.applications.register(set_key(b"a"), loop.create_future(), 1.0)
        with pytest.raises(EtcdError, match="too many requests") as refused:
            fixture.applications.register(set_key(b"a"), loop.create_future(), 1.0)
        assert refused.value.code == TOO_MANY_REQUESTS
        assert fixture.applications.refused_count == 1
        fixture.commit(first)
        fixture.applications.register(set_key(b"a"), loop.create_future(), 1.0)

    run(test)


def test_what_was_not_proposed_after_all_is_forgotten() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        result: asyncio.Future[Event] = loop.create_future()
        fixture.applications.forget(fixture.applications.register(set_key(b"a"), result, 1.0))
        fixture.applications.withdraw_all(b"stopped")
        assert not result.done()

    run(test)


def test_a_vanished_client_does_not_stop_its_write() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        result: asyncio.Future[Event] = loop.create_future()
        data = fixture.applications.register(set_key(b"a"), result, 1.0)
        result.cancel()
        fixture.commit(data)
        assert fixture.tree.find_node(b"/1/a") is not None

    run(test)


def test_a_leaders_empty_entry_changes_nothing() -> None:
    fixture = Fixture()
    fixture.commit(b"")
    assert (fixture.applications.applied, fixture.tree.index) == (1, 0)


def test_a_refused_configuration_change_is_reported_by_index() -> None:
    fixture = Fixture()
    change = ConfChange(ConfChangeKind.ADD_VOTER, 5, b"\x90")
    data = encode_conf_change(change)
    assert fixture.commit(data, EntryKind.CONF_CHANGE) == []
    fixture.is_change_taken = False
    assert fixture.commit(data, EntryKind.CONF_CHANGE) == [2]
    assert fixture.changes == [change, change]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"short", "entry 1 can't be read: it has no whole head"),
        (bytes(24) + b"\x09rest", "entry 1 can't be read: it is for the unknown state machine 9"),
        (bytes(24) + bytes([TREE]) + b"\x01", "entry 1 can't be read: not a command"),
    ],
)
def test_an_entry_that_cannot_be_read_stops_the_member(data: bytes, reason: str) -> None:
    with pytest.raises(FatalError, match=reason):
        Fixture().commit(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"short", "no whole head"),
        (bytes(24) + b"\x09rest", "unknown state machine 9"),
        (bytes(24) + bytes([TREE]) + b"\x01", "not a command"),
        (Fixture().applications.wrap(Command(CommandKind.DELETE, NOW_NS, b"/0")), "b'/0' is not"),
    ],
)
def test_what_could_not_be_applied_is_refused_before(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_data(data)


def test_what_can_be_applied_passes() -> None:
    check_data(b"")
    check_data(Fixture().applications.wrap(set_key(b"a")))


def test_a_gap_in_the_log_stops_the_member() -> None:
    fixture = Fixture()
    with pytest.raises(FatalError, match="entry 3 was handed out after 0"):
        fixture.applications.apply([Entry(2, 3, EntryKind.NORMAL, b"")])


def test_a_sync_is_reported_after_it_was_applied() -> None:
    fixture = Fixture()
    soon = Command(CommandKind.SET, NOW_NS, b"/1/a", b"v", expiration_ns=NOW_NS + 1)
    fixture.commit(fixture.applications.wrap(soon))
    sync = Command(CommandKind.SYNC, NOW_NS + 2, limit=10)
    fixture.commit(fixture.applications.wrap(sync))
    assert fixture.syncs == [sync]
    assert fixture.tree.find_node(b"/1/a") is None


class Reader:
    """The owner of a watcher that takes whatever there is, when it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.watcher: Watcher | None = None

    def wake(self) -> None:
        assert self.watcher is not None
        self.events += self.watcher.take()


def test_a_long_batch_does_not_overflow_a_watcher_that_is_read() -> None:
    fixture = Fixture()
    reader = Reader()
    watcher = fixture.tree.watch(b"/1", is_recursive=True, is_stream=True, since=0)
    reader.watcher = watcher
    watcher.owner = reader
    datas = [fixture.applications.wrap(set_key(b"a")) for _ in range(1000)]
    fixture.applications.apply(
        [Entry(2, i, EntryKind.NORMAL, data) for i, data in enumerate(datas, 1)]
    )
    assert [event.index for event in reader.events] == list(range(1, 1001))
    assert not watcher.is_overflowed


class CutReader(Reader):
    """One that notes how it ends."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self.watcher = watcher
        self.is_cut = False
        watcher.owner = self

    def cut(self) -> None:
        self.is_cut = True


def tree_of(commands: list[Command]) -> Tree:
    """A leader's tree after these."""
    fixture = Fixture()
    for command in commands:
        fixture.commit(fixture.applications.wrap(command))
    return fixture.tree


def test_a_snapshot_is_gone_on_from() -> None:
    fixture = Fixture()
    fixture.commit(fixture.applications.wrap(set_key(b"old")))
    fixture.applications.replace(tree_of([set_key(b"a"), set_key(b"b")]), applied=7)
    assert fixture.tree is fixture.applications.tree  # who holds it need not know
    assert fixture.tree.find_node(b"/1/old") is None
    with pytest.raises(FatalError, match="entry 9 was handed out after 7"):
        fixture.applications.apply([Entry(2, 9, EntryKind.NORMAL, b"")])
    data = fixture.applications.wrap(set_key(b"c"))
    fixture.applications.apply([Entry(2, 8, EntryKind.NORMAL, data)])
    assert fixture.tree.index == 3


def test_a_proposal_in_a_snapshot_has_no_result_and_runs_into_its_time_out() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        result: asyncio.Future[Event] = loop.create_future()
        fixture.applications.register(set_key(b"a"), result, 1.0)
        fixture.applications.replace(tree_of([set_key(b"a")]), applied=5)
        assert not result.done()
        fixture.applications.withdraw(2.0, lambda _: b"timed out")
        assert isinstance(result.exception(), EtcdError)

    run(test)


def test_a_proposal_after_a_snapshot_is_answered() -> None:
    def test(loop: asyncio.AbstractEventLoop) -> None:
        fixture = Fixture()
        result: asyncio.Future[Event] = loop.create_future()
        data = fixture.applications.register(set_key(b"mine"), result, 1.0)
        fixture.applications.replace(tree_of([set_key(b"a")]), applied=5)
        fixture.applications.apply([Entry(2, 6, EntryKind.NORMAL, data)])
        assert result.result().index == 2

    run(test)


def test_watchers_are_told_of_a_snapshots_events_as_they_are_read() -> None:
    fixture = Fixture()
    watcher = fixture.tree.watch(b"/1", is_recursive=True, is_stream=True, since=0)
    reader = CutReader(watcher)
    fixture.applications.replace(tree_of([set_key(b"a")] * 500), applied=500)
    assert [event.index for event in reader.events] == list(range(1, 501))
    assert (watcher.is_overflowed, reader.is_cut) == (False, False)


def test_watchers_that_may_have_missed_an_event_are_cut() -> None:
    fixture = Fixture()
    early, late = (
        CutReader(fixture.tree.watch(b"/1/a", is_recursive=False, is_stream=False, since=since))
        for since in (0, 1300)
    )
    fixture.tree.watch(b"/1/a", is_recursive=False, is_stream=False, since=0)  # nobody's any more
    fixture.applications.replace(tree_of([set_key(b"a")] * 1400), applied=1400)
    assert (early.is_cut, early.events) == (True, [])
    assert (late.is_cut, [event.index for event in late.events]) == (False, [1300])
    assert fixture.tree.hub.count == 0
