"""Progress and Inflights: the automaton, and the bounds against a plain list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from etcdpy.consensus.progress import Inflights, Progress, ProgressState


def progress(next_index: int = 10) -> Progress:
    return Progress(next_index, Inflights(4, 100))


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 60)),
            st.tuples(st.just("free_to"), st.integers(0, 40)),
            st.tuples(st.just("free_first"), st.just(0)),
            st.tuples(st.just("clear"), st.just(0)),
        )
    )
)
def test_inflights_against_a_list(steps: list[tuple[str, int]]) -> None:
    inflights = Inflights(count_max=3, bytes_max=100)
    naive: list[tuple[int, int]] = []
    last = 0
    for step, number in steps:
        if step == "add" and not inflights.is_full:
            last += 1
            inflights.add(last, number)
            naive.append((last, number))
        elif step == "free_to":
            inflights.free_to(number)
            naive = [flight for flight in naive if flight[0] > number]
        elif step == "free_first":
            inflights.free_first()
            naive = naive[1:]
        elif step == "clear":
            inflights.clear()
            naive = []
        size_bytes = sum(size for _, size in naive)
        assert len(inflights) == len(naive)
        assert inflights.size_bytes == size_bytes
        assert inflights.is_full == (len(naive) >= 3 or size_bytes >= 100)


def test_one_append_larger_than_the_byte_bound_may_go() -> None:
    inflights = Inflights(4, 10)
    inflights.add(1, 1000)
    assert inflights.is_full


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ack", "reject"]), st.integers(0, 30))))
def test_match_never_goes_back_and_stays_before_next(steps: list[tuple[str, int]]) -> None:
    member = progress()
    for step, index in steps:
        before = member.match
        if step == "ack":
            member.maybe_update(index)
        else:
            member.maybe_decrease(index, index - 3)
        assert before <= member.match < member.next


def test_probe_sends_one_append_at_a_time() -> None:
    member = progress()
    assert not member.is_paused
    member.sent(12, 3, 30)
    assert member.is_paused
    assert member.next == 10
    member.maybe_update(9)
    assert not member.is_paused


def test_replicate_goes_on_without_waiting_up_to_the_bound() -> None:
    member = progress()
    member.become_replicate()
    for index in range(1, 5):
        assert not member.is_paused
        member.sent(index, 1, 1)
        assert member.next == index + 1
    assert member.is_paused


def test_an_empty_append_takes_no_place_in_replicate() -> None:
    member = progress()
    member.become_replicate()
    member.sent(0, 0, 0)
    assert len(member.inflights) == 0


def test_snapshot_waits_and_probe_begins_behind_it() -> None:
    member = progress()
    member.become_snapshot(20)
    assert member.is_paused
    member.become_probe()
    assert (member.state, member.next, member.pending_snapshot) == (ProgressState.PROBE, 21, 0)


def test_a_failed_snapshot_is_forgotten() -> None:
    member = progress()
    member.maybe_update(5)
    member.become_snapshot(20)
    member.fail_snapshot()
    assert (member.state, member.next) == (ProgressState.PROBE, 6)


def test_a_stale_rejection_changes_nothing() -> None:
    member = progress()
    assert not member.maybe_decrease(rejected=5, candidate=2)
    assert member.next == 10
    member.maybe_update(7)
    member.become_replicate()
    assert not member.maybe_decrease(rejected=6, candidate=2)
    assert member.next == 8


def test_a_rejection_moves_a_probe_to_the_hint_and_never_before_match() -> None:
    member = progress()
    member.maybe_update(2)
    assert member.maybe_decrease(rejected=9, candidate=5)
    assert member.next == 6
    assert member.maybe_decrease(rejected=5, candidate=0)
    assert member.next == 3


def test_a_hint_past_the_rejection_still_goes_back() -> None:
    member = progress()
    assert member.maybe_decrease(rejected=9, candidate=50)
    assert member.next == 9
