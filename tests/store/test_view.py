"""The log in memory against a plain list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import FatalError
from etcdpy.store.record import EntryTuple
from etcdpy.store.view import ENTRY_OVERHEAD_BYTES, RELEASE_COUNT, LogView

PLACEHOLDER: EntryTuple = (0, 0, 0, b"")


def entries(first: int, last: int, term: int = 1) -> list[EntryTuple]:
    return [(term, index, 0, b"x" * 10) for index in range(first, last + 1)]


def view(index: int = 0, last: int = 0) -> LogView[EntryTuple]:
    return LogView(index, 1, entries(index + 1, last), PLACEHOLDER)


def test_entries_are_bounded_by_bytes_but_never_none() -> None:
    log = view(0, 10)
    size = 10 + ENTRY_OVERHEAD_BYTES
    assert log.entries(3, 9, 0) == entries(3, 3)
    assert log.entries(3, 9, 2 * size - 1) == entries(3, 3)
    assert log.entries(3, 9, 2 * size) == entries(3, 4)
    assert log.entries(3, 9, 10**9) == entries(3, 8)


@pytest.mark.parametrize(("low", "high"), [(5, 7), (0, 6), (6, 12)])
def test_entries_outside_are_refused(low: int, high: int) -> None:
    with pytest.raises(LookupError, match="are outside 6 to 10"):
        view(5, 10).entries(low, high, 100)


def test_terms_reach_from_the_compacted_entry_to_the_last() -> None:
    log = view(5, 6)
    assert [log.term(5), log.term(6)] == [1, 1]
    for index in (4, 7):
        with pytest.raises(LookupError, match=f"entry {index} is outside 5 to 6"):
            log.term(index)


@pytest.mark.parametrize("first", [5, 12])
def test_a_gap_or_a_compacted_entry_is_refused(first: int) -> None:
    with pytest.raises(FatalError, match=f"entry {first} does not continue the log"):
        view(5, 10).extend(entries(first, first))


def test_compaction_past_the_end_is_refused() -> None:
    with pytest.raises(LookupError):
        view(0, 5).compact(6)


def test_compaction_gives_memory_back_a_slice_at_a_time() -> None:
    count = 5 * RELEASE_COUNT
    log = view(0, count)
    log.compact(count)
    assert len(log._entries) == count
    assert log._entries[RELEASE_COUNT - 1] is PLACEHOLDER
    assert log._entries[RELEASE_COUNT] is not PLACEHOLDER
    for position in range(5):
        log.extend(entries(count + 1 + position, count + 1 + position))
    assert log._entries == entries(count + 1, count + 5)


@pytest.mark.parametrize("batch", [1, RELEASE_COUNT, 3 * RELEASE_COUNT])
def test_the_memory_that_waits_shrinks_however_large_the_batches_are(batch: int) -> None:
    log = view()
    for _ in range(60):
        first = log.last_index + 1
        log.extend(entries(first, first + batch - 1))
        log.compact(log.last_index - batch)
    assert len(log._entries) <= 6 * max(batch, RELEASE_COUNT)


def test_the_log_begins_anew_after_an_installed_snapshot() -> None:
    log = view(0, 5)
    log.restart(20, 3)
    assert (log.compacted_index, log.last_index, log.term(20)) == (20, 20, 3)
    log.extend(entries(21, 22))
    assert log.entries(21, 23, 10**9) == entries(21, 22)


operations = st.lists(
    st.tuples(st.sampled_from(["extend", "rewrite", "compact", "restart"]), st.integers(1, 3000)),
    max_size=30,
)


@given(operations)
def test_the_view_is_a_list_whose_head_is_forgotten(steps: list[tuple[str, int]]) -> None:
    log = view()
    compacted, kept = 0, [(1, 0, 0, b"")]  # kept[0] is the compacted entry
    for term, (operation, number) in enumerate(steps, start=2):
        last = compacted + len(kept) - 1
        if operation == "compact":
            index = min(last, compacted + number)
            log.compact(index)
            kept = kept[index - compacted :]
            compacted = index
        elif operation == "restart":
            compacted, kept = last + number, [(term, last + number, 0, b"")]
            log.restart(compacted, term)
        else:
            first = last + 1 if operation == "extend" else max(compacted + 1, last - number)
            added = entries(first, first + number % 700, term)
            log.extend(added)
            kept = kept[: first - compacted] + added
        last = compacted + len(kept) - 1
        assert (log.compacted_index, log.last_index) == (compacted, last)
        assert log.term(compacted) == kept[0][0]
        if last > compacted:
            assert log.entries(compacted + 1, last + 1, 10**9) == kept[1:]
