"""How long a loop stays awake for a client's next request, and when it gives that up."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from etcdpy.http.lookout import LOOK_S, MISSES_MAX, Lookout
from etcdpy.http.traffic import Traffic


class Turns:
    """A loop of which the test runs each turn, and its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: list[Callable[[], Any]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.due.append(callback)

    def clock(self) -> float:
        return self.now_s

    def run(self, turn_s: float) -> None:
        self.now_s += turn_s
        due, self.due = self.due, []
        for callback in due:
            callback()


def new_lookout(traffic: Traffic | None = None) -> tuple[Turns, Lookout]:
    turns = Turns()
    loop = cast(asyncio.AbstractEventLoop, turns)
    return turns, Lookout(loop, traffic or Traffic(), turns.clock)


def looks(turns: Turns, lookout: Lookout, answers: int) -> int:
    """Return after how many of so many answers the loop stays awake, each time in vain."""
    count = 0
    for _ in range(answers):
        lookout.begin()
        count += len(turns.due)
        while turns.due:
            turns.run(LOOK_S)
    return count


def test_the_loop_is_kept_awake_until_something_comes() -> None:
    turns, lookout = new_lookout()
    lookout.begin()
    for _ in range(3):
        turns.run(LOOK_S / 10)
        assert turns.due
    lookout.arrivals += 1
    turns.run(LOOK_S / 10)
    assert not turns.due


def test_the_time_is_counted_as_spare() -> None:
    traffic = Traffic()
    turns, lookout = new_lookout(traffic)
    lookout.begin()
    turns.run(LOOK_S / 4)
    lookout.arrivals += 1
    turns.run(LOOK_S / 4)
    assert traffic.looked_s == pytest.approx(LOOK_S / 2)
    assert looks(turns, lookout, 1) == 1
    assert traffic.looked_s == pytest.approx(LOOK_S * 3 / 2)


def test_the_loop_sleeps_when_nothing_comes() -> None:
    turns, lookout = new_lookout()
    lookout.begin()
    turns.run(LOOK_S / 2)
    assert turns.due
    turns.run(LOOK_S)
    assert not turns.due


def test_what_was_in_vain_is_done_more_and_more_seldom() -> None:
    turns, lookout = new_lookout()
    assert looks(turns, lookout, 1 + 2 + 4 + 8) == 4
    assert looks(turns, lookout, 2 ** (MISSES_MAX + 3)) <= MISSES_MAX + 8


def test_once_something_came_it_is_done_after_each_answer_again() -> None:
    turns, lookout = new_lookout()
    looks(turns, lookout, 1 + 2)
    for _ in range(3):
        lookout.begin()
        assert not turns.due
    lookout.begin()
    lookout.arrivals += 1
    turns.run(0.0)
    lookout.begin()
    assert turns.due
