"""Shrinking: what is left still fails, and nothing of it can be left out."""

from tests.simulation.shrink import shrink


def test_only_the_culprits_are_left() -> None:
    def is_failing(elements: list[int]) -> bool:
        return {17, 60, 61} <= set(elements)

    assert shrink(list(range(100)), is_failing, 1_000) == [17, 60, 61]


def test_it_stops_at_its_bound_with_a_list_that_fails() -> None:
    runs = []

    def is_failing(elements: list[int]) -> bool:
        runs.append(len(elements))
        return 99 in elements

    rest = shrink(list(range(100)), is_failing, 5)
    assert len(runs) == 5
    assert 99 in rest
    assert len(rest) < 100


def test_a_failure_that_needs_nothing_shrinks_to_nothing() -> None:
    assert shrink([1, 2, 3], lambda elements: True, 100) == []
