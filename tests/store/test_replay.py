"""What frames add up to, with and without what a snapshot makes superfluous."""

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.store.record import (
    BATCH,
    INSTALL,
    EntryTuple,
    HardStateTuple,
    Link,
    SegmentHead,
    encode_frame,
    find_frame,
)
from etcdpy.store.replay import LogEnd, Replay

SALT = b"saltsalt"


def make_entry(term: int, index: int, kind: int, data: bytes) -> EntryTuple:
    return (term, index, kind, data)


def begun(index: int = 0, term: int = 0, floor: int = 0) -> Replay[EntryTuple]:
    head = SegmentHead(1, SALT, b"", b"", Link(0, 0, 0), index, term, (term, 0, 0))
    return Replay(head, floor, make_entry)


def read(log: Replay[EntryTuple], kind: int, value: object) -> None:
    data, _ = encode_frame(SALT, kind, 0, msgpack.packb(value))
    frame = find_frame(data, 0, SALT)
    assert frame is not None
    log.read(data, frame)


def entries(first: int, last: int, term: int = 1) -> list[EntryTuple]:
    return [(term, index, 0, b"%d.%d" % (term, index)) for index in range(first, last + 1)]


def test_entries_that_follow_are_added() -> None:
    log = begun()
    read(log, BATCH, (None, entries(1, 2)))
    read(log, BATCH, ((1, 1, 2), entries(3, 3)))
    assert log.entries == entries(1, 3)
    assert log.end == LogEnd(3, 1, (1, 1, 2))


def test_entries_at_a_known_index_replace_the_tail() -> None:
    log = begun()
    read(log, BATCH, (None, entries(1, 5)))
    read(log, BATCH, (None, entries(3, 3, term=2)))
    assert log.entries == entries(1, 2) + entries(3, 3, term=2)
    assert (log.end.index, log.end.term) == (3, 2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((None, entries(4, 5)), "2 entries 4 to 5 leave a gap after entry 2"),
        ((None, [*entries(3, 3), *entries(5, 5)]), "2 entries 3 to 5 leave a gap"),
        ((None, [*entries(3, 3), *entries(3, 3), *entries(5, 5)]), "entry 3 where entry 4 is due"),
        ((None, entries(1, 1)), "entry 1 would replace one that is committed"),
        (((1, 5, 1), []), "a second vote, for 5 after 7, in term 2|term 1 after term 2"),
        (((2, 5, 1), []), "a second vote, for 5 after 7, in term 2"),
        (((2, 0, 1), []), "a second vote, for 0 after 7, in term 2"),
        (((2, 7, 3), []), "commit 3 past the last entry 2"),
    ],
)
def test_what_raft_never_writes_makes_no_sense(value: object, reason: str) -> None:
    log = begun()
    read(log, BATCH, ((2, 7, 1), entries(1, 2)))
    with pytest.raises(ValueError, match=reason):
        read(log, BATCH, value)


def test_a_later_term_votes_anew() -> None:
    log = begun()
    read(log, BATCH, ((2, 7, 0), []))
    read(log, BATCH, ((2, 7, 0), []))
    read(log, BATCH, ((3, 8, 0), []))
    assert log.end.hard_state == (3, 8, 0)


def test_an_unknown_kind_of_frame_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="unknown kind of frame 9"):
        read(begun(), 9, None)


def test_an_install_begins_the_log_anew() -> None:
    log = begun()
    read(log, BATCH, (None, entries(1, 5)))
    read(log, INSTALL, ((4, 0, 20), 20, 3))
    assert log.entries == []
    assert log.joins(20, 3)
    assert not log.joins(20, 4)
    assert not log.joins(5, 1)
    read(log, BATCH, (None, entries(21, 22, term=4)))
    assert log.entries == entries(21, 22, term=4)


def test_a_snapshot_joins_where_term_and_index_are_the_logs() -> None:
    log = begun(index=10, term=2, floor=12)
    read(log, BATCH, (None, entries(11, 14, term=3)))
    assert log.entries == entries(12, 14, term=3)
    assert log.joins(12, 3)
    assert not log.joins(12, 2)


def test_a_snapshot_does_not_join_before_or_after_the_log() -> None:
    before = begun(index=10, term=2, floor=9)
    assert not before.joins(9, 2)
    after = begun(index=10, term=2, floor=11)
    assert not after.joins(11, 2)
    assert begun(index=10, term=2, floor=10).joins(10, 2)


def test_the_base_moves_down_with_a_rewrite_before_it() -> None:
    """A segment may begin with entries that the one before it had too, rewritten."""
    log = begun(index=10, term=2, floor=10)
    read(log, BATCH, (None, entries(8, 12, term=3)))
    assert log.joins(10, 3)
    assert not log.joins(10, 2)
    assert log.entries == entries(10, 12, term=3)
    low = begun(index=10, term=2, floor=7)
    read(low, BATCH, (None, entries(8, 12, term=3)))
    assert not low.joins(7, 2), "the term there is not known any more"


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_a_floor_only_leaves_out_what_is_below_it(seed: int, floor: int) -> None:
    """Two ways, one result: with a floor, and without one and then cut."""
    chance = random.Random(seed)
    whole, floored = begun(), begun(floor=floor)
    hard_state: HardStateTuple = (1, 1, 0)
    for term in range(1, 8):
        first = chance.randint(hard_state[2] + 1, whole.end.index + 1)
        added = entries(first, first + chance.randint(0, 4), term)
        hard_state = (term, 1, chance.randint(hard_state[2], added[-1][1]))
        for log in (whole, floored):
            read(log, BATCH, (hard_state, added))
    assert floored.end == whole.end
    assert floored.entries == [found for found in whole.entries if found[1] >= floor]
    for term in range(10):
        expected = floor <= whole.end.index and (
            term == 0 if floor == 0 else whole.entries[floor - 1][0] == term
        )
        assert floored.joins(floor, term) == expected
