"""The judge of clients' records notices each kind of harm that it is there for."""

import pytest

from tests.cluster import judge
from tests.cluster.record import LocalRead, Record
from tests.cluster.watchers import Event, Watch
from tests.simulation.history import Answer, Ask, History, Operation, Seen

KEY = b"/k/0/0"
ONE = Seen(b"one", 5, 5)
TWO = Seen(b"two", 6, 6)


def answered(history: History, ask: Ask, answer: Answer, value: bytes | None = None) -> Operation:
    operation = history.call(ask, KEY, value)
    history.answer(operation, answer)
    return operation


def two_writes() -> History:
    history = History()
    answered(history, Ask.SET, Answer(0, 5, node=ONE), b"one")
    answered(history, Ask.SET, Answer(0, 6, node=TWO, prev=ONE), b"two")
    return history


def watch(*seen: Event, began: int = 5, expected: int = 7, is_stream: bool = False) -> Watch:
    path = "/k"
    one = Watch("w", Record(), list, path, is_recursive=True, is_stream=is_stream, seed="")
    one.seen = list(seen)
    one.began, one.expected = began, expected
    return one


FIRST = Event(5, 5, "set", "/k/0/0", "one", 0)
SECOND = Event(6, 6, "set", "/k/0/0", "two", 5)


def faults(history: History, *watches: Watch, reads: tuple[LocalRead, ...] = ()) -> list[str]:
    return judge.find_faults(history, watches, reads)


def test_what_is_as_promised_is_no_fault() -> None:
    history = two_writes()
    judge.read_back(history, 6, {KEY: TWO})
    reads = (
        LocalRead("m1", KEY, 4, None),
        LocalRead("m1", KEY, 5, ONE),
        LocalRead("m2", KEY, 9, TWO),
    )
    assert faults(history, watch(FIRST, SECOND), reads=reads) == []
    assert judge.find_lost(history) == []


@pytest.mark.parametrize("found", [{KEY: ONE}, {}])
def test_a_lost_write_is_found(found: dict[bytes, Seen]) -> None:
    history = two_writes()
    judge.read_back(history, 6, found)
    assert len(judge.find_lost(history)) == 1
    assert faults(history)


def test_an_unknown_write_explains_what_is_there() -> None:
    history = two_writes()
    history.call(Ask.SET, KEY, b"three")
    judge.read_back(history, 7, {KEY: Seen(b"three", 7, 7)})
    assert judge.find_lost(history) == []
    assert faults(history) == []


def test_an_unknown_write_explains_nothing_else() -> None:
    history = two_writes()
    history.call(Ask.SET, KEY, b"three")
    judge.read_back(history, 7, {KEY: ONE})
    assert len(judge.find_lost(history)) == 1


def test_a_stale_quorum_read_is_found() -> None:
    history = two_writes()
    answered(history, Ask.GET, Answer(0, 5, node=ONE))
    assert faults(history)


def test_a_write_made_twice_is_found() -> None:
    history = two_writes()
    answered(history, Ask.GET, Answer(0, 7, node=Seen(b"two", 7, 7)))
    assert faults(history)


def test_a_watch_that_missed_an_event_is_found() -> None:
    history = two_writes()
    assert faults(history, watch(FIRST, expected=7))
    assert faults(history, watch(SECOND))
    assert faults(history, watch(SECOND, FIRST))
    assert faults(history, watch(FIRST, SECOND, SECOND))


def test_a_watch_owes_nothing_from_before_it_began_or_after_it_ended_or_that_401_excused() -> None:
    history = two_writes()
    excused = watch(SECOND, began=1)
    excused.gaps = [(1, 6)]
    late, early = watch(SECOND, began=6), watch(FIRST, expected=6)
    assert faults(history, late, early, excused) == []


def test_an_event_that_no_acknowledgement_speaks_of_must_reach_every_watch() -> None:
    third = Event(7, 7, "set", "/k/0/1", "x", 0)
    complete = watch(FIRST, SECOND, third, expected=8)
    assert faults(two_writes(), complete, watch(FIRST, SECOND, expected=7)) == []
    assert faults(two_writes(), complete, watch(FIRST, SECOND, expected=8))


def test_an_unanswered_write_that_watches_saw_twice_is_found() -> None:
    third = Event(7, 7, "create", "/q/00000000000000000007", "x", 0)
    again = Event(8, 8, "create", "/q/00000000000000000008", "x", 0)
    queue = Watch("w", Record(), list, "/q", is_recursive=True, is_stream=False, seed="")
    queue.began, queue.expected, queue.seen = 5, 9, [third]
    assert faults(two_writes(), queue) == []
    queue.seen.append(again)
    assert faults(two_writes(), queue)


def test_an_event_that_is_not_what_was_acknowledged_is_found() -> None:
    other = Event(6, 6, "set", "/k/0/0", "other", 5)
    assert faults(two_writes(), watch(FIRST, other))


def test_members_that_tell_different_things_of_one_index_are_found() -> None:
    third = Event(7, 7, "set", "/k/0/1", "x", 0)
    fourth = Event(7, 7, "set", "/k/0/1", "y", 0)
    first = watch(FIRST, SECOND, third, expected=8)
    assert faults(two_writes(), first, watch(FIRST, SECOND, fourth, expected=8))


@pytest.mark.parametrize(
    "read",
    [
        LocalRead("m1", KEY, 6, ONE),
        LocalRead("m1", KEY, 6, None),
        LocalRead("m1", KEY, 5, TWO),
        LocalRead("m1", KEY, 4, ONE),
        LocalRead("m1", KEY, 6, Seen(b"two", 6, 5)),
    ],
    ids=str,
)
def test_a_plain_read_that_does_not_show_its_index_is_found(read: LocalRead) -> None:
    assert faults(two_writes(), reads=(read,))


def test_a_member_that_goes_back_is_found_at_once() -> None:
    record = Record()
    record.read_locally(LocalRead("m1", KEY, 6, TWO), record.shown_by("m1"))
    record.read_locally(LocalRead("m2", KEY, 5, ONE), record.shown_by("m2"))
    assert record.faults == []
    record.read_locally(LocalRead("m1", KEY, 5, ONE), record.shown_by("m1"))
    assert len(record.faults) == 1
