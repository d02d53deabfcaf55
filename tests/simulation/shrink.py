"""Delta debugging: the smallest part of a failing list that still fails."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Element = TypeVar("Element")


def shrink(
    elements: Sequence[Element], is_failing: Callable[[list[Element]], bool], runs_max: int
) -> list[Element]:
    """Return a part of `elements` that `is_failing`, from which no single piece can be left out.

    Zeller's ddmin without the subset step, which rarely helps here: one after the other, pieces of
    half, a quarter, ... of the list are left out.  Gives up after `runs_max` runs with the best
    that it has.  `elements` itself must fail.
    """
    rest = list(elements)
    size = max(len(rest) // 2, 1)
    runs = 0
    while rest and runs < runs_max:
        has_shrunk = False
        position = 0
        while position < len(rest) and runs < runs_max:
            candidate = rest[:position] + rest[position + size :]
            runs += 1
            if is_failing(candidate):
                rest = candidate
                has_shrunk = True
            else:
                position += size
        if size == 1 and not has_shrunk:
            break
        size = max(min(size // 2, len(rest) // 2), 1)
    return rest
