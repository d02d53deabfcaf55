"""RaftLog against a plain list of entries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdpy.consensus.log import LogPosition, RaftLog
from etcdpy.consensus.messages import ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import FatalError
from tests.consensus.harness import MemoryStorage, with_log

META = SnapshotMeta(1, 1, ConfState((1,), ()))


def entry(index: int, term: int, size: int = 3) -> Entry:
    return Entry(term, index, 0, b"x" * size)


def log_of(*terms: int, commit: int = 1) -> tuple[RaftLog, MemoryStorage]:
    storage = with_log(terms, (1,), commit=commit)
    return RaftLog(storage, *storage.initial_state()), storage


def persist(log: RaftLog, storage: MemoryStorage) -> None:
    entries = log.unstable[:]
    storage.write(None, entries)
    storage.stabilise(None, entries)
    if entries:
        log.persisted(entries[-1].index, entries[-1].term)


def test_what_was_recovered_must_fit_together() -> None:
    storage = with_log([1, 1], (1,))
    with pytest.raises(FatalError, match="entries were lost"):
        RaftLog(storage, HardState(1, 0, 9), META)
    gap = MemoryStorage(HardState(1, 0, 5), SnapshotMeta(3, 1), [entry(4, 1), entry(5, 1)])
    with pytest.raises(FatalError, match="entries were lost"):
        RaftLog(gap, HardState(1, 0, 5), META)


def test_a_commit_index_behind_the_snapshot_is_the_snapshots() -> None:
    storage = MemoryStorage(HardState(2, 0, 1), SnapshotMeta(3, 2))
    log = RaftLog(storage, *storage.initial_state())
    assert (log.commit, log.applied, log.first_index, log.last_index) == (3, 3, 4, 3)
    assert log.last_term == 2


def test_unstable_hides_what_it_replaces() -> None:
    log, storage = log_of(1, 1, 1)
    log.append([entry(3, 2)])
    assert (log.last_index, log.last_term, log.durable) == (3, 2, 2)
    with pytest.raises(LookupError):
        log.term(4)
    assert storage.last_index() == 4
    assert [e.term for e in log.entries(2, 4, 1000)] == [1, 2]
    persist(log, storage)
    assert (log.durable, storage.last_index()) == (3, 3)


def test_a_committed_entry_is_never_replaced() -> None:
    log, _ = log_of(1, 1, commit=2)
    with pytest.raises(FatalError, match="would replace a committed one"):
        log.append([entry(2, 2)])


def test_persisted_counts_only_what_is_still_there() -> None:
    log, _ = log_of(1)
    log.append([entry(3, 1), entry(4, 1)])
    log.append([entry(4, 2)])
    log.persisted(4, 1)
    assert log.durable == 2
    log.persisted(9, 2)
    assert log.durable == 2
    log.persisted(3, 1)
    assert log.durable == 3
    log.persisted(4, 2)
    assert (log.durable, log.unstable) == (4, [])
    log.persisted(2, 1)
    assert log.durable == 4


def test_entries_are_bounded_by_bytes_across_the_border() -> None:
    log, _ = log_of(1, 1)
    log.append([entry(4, 1, 10), entry(5, 1, 10)])
    assert [e.index for e in log.entries(2, 6, 1000)] == [2, 3, 4, 5]
    assert [e.index for e in log.entries(2, 6, 12)] == [2, 3, 4]
    assert [e.index for e in log.entries(2, 6, 1)] == [2]
    assert [e.index for e in log.entries(4, 6, 1)] == [4]
    assert [e.index for e in log.entries(5, 6, 1)] == [5]
    assert [e.index for e in log.entries(2, 4, 1000)] == [2, 3]
    for low, high in [(1, 3), (2, 7)]:
        with pytest.raises(LookupError):
            log.entries(low, high, 1000)


def test_committed_entries_are_handed_out_once_and_only_when_durable() -> None:
    log, storage = log_of(1, 1)
    log.append([entry(4, 1)])
    log.commit_to(4)
    assert [e.index for e in log.take_committed(2, 1000)] == [2, 3]
    assert log.take_committed(9, 1000) == []
    persist(log, storage)
    assert log.has_committed
    assert [e.index for e in log.take_committed(9, 1000)] == [4]
    assert not log.has_committed
    log.applied_to(4)
    assert log.applied == 4


def test_commit_never_goes_back_or_past_the_end() -> None:
    log, _ = log_of(1, 1)
    assert log.commit_to(2)
    assert not log.commit_to(1)
    assert log.commit == 2
    with pytest.raises(FatalError, match="past the log's end"):
        log.commit_to(4)


def test_a_pending_snapshot_hides_the_log_until_it_is_installed() -> None:
    log, storage = log_of(1, 1)
    meta = SnapshotMeta(9, 4, ConfState((1,), ()))
    log.restore(meta)
    assert (log.first_index, log.last_index, log.commit, log.applied) == (10, 9, 9, 1)
    assert (log.term(9), log.find_term(3)) == (4, None)
    assert not log.has_committed
    storage.install(HardState(4, 0, 9), meta)
    log.snapshot_installed(meta)
    assert (log.first_index, log.applied, log.durable) == (10, 9, 9)


def test_a_newer_snapshot_stays_pending() -> None:
    log, _ = log_of(1, 1)
    first, second = SnapshotMeta(9, 4), SnapshotMeta(12, 4)
    log.restore(first)
    log.restore(second)
    log.snapshot_installed(first)
    assert log.pending_snapshot == second


def test_compaction_needs_the_snapshot_and_the_apply() -> None:
    log, storage = log_of(1, 1, 1, commit=4)
    with pytest.raises(FatalError, match="past the snapshot 1"):
        log.compact(2)
    storage.snapshot(SnapshotMeta(3, 1))
    with pytest.raises(FatalError, match="applied 1"):
        log.compact(2)
    log.take_committed(9, 1000)
    log.applied_to(4)
    log.compact(2)
    log.compact(2)
    assert log.first_index == 3


terms_lists = st.lists(st.integers(1, 5), max_size=8).map(sorted)


@settings(deadline=None)
@given(terms_lists, terms_lists, st.integers(0, 9))
def test_maybe_append_against_a_list(ours: list[int], theirs: list[int], cut: int) -> None:
    """Whatever of another log arrives, the result is that log's prefix or an extension of it."""
    log, storage = log_of(*ours)
    other = [entry(1, 1)] + [entry(index, term) for index, term in enumerate(theirs, 2)]
    cut = min(cut, len(other) - 1)
    previous, rest = other[cut], other[cut + 1 :]
    mine = [1, *ours]
    fits = cut < len(mine) and mine[cut] == previous.term
    result = log.maybe_append(previous.index, previous.term, rest)
    after = [1] + [log.term(index) for index in range(2, log.last_index + 1)]
    if not fits:
        assert result is None
        assert after == mine
        return
    assert result == previous.index + len(rest)
    expected = mine[: cut + 1] + [e.term for e in rest]
    is_prefix = mine[: len(expected)] == expected
    assert after == (mine if is_prefix else expected)
    persist(log, storage)
    assert [1, *(e.term for e in storage.log)] == after


@settings(deadline=None)
@given(terms_lists, st.integers(0, 12), st.integers(0, 6))
def test_find_conflict_by_term_against_a_list(ours: list[int], index: int, term: int) -> None:
    log, _ = log_of(*ours)
    known = dict(enumerate([1, *ours], 1))
    fitting = [at for at in known if at <= index and known[at] <= term]
    expected = LogPosition(max(fitting), known[max(fitting)]) if fitting else LogPosition(0, 0)
    assert log.find_conflict_by_term(index, term) == expected


@settings(deadline=None)
@given(terms_lists, terms_lists)
def test_is_up_to_date_is_last_term_then_length(ours: list[int], theirs: list[int]) -> None:
    log, _ = log_of(*ours)
    last_term = theirs[-1] if theirs else 1
    expected = last_term > log.last_term or (
        last_term == log.last_term and len(theirs) >= len(ours)
    )
    assert log.is_up_to_date(len(theirs) + 1, last_term) == expected
