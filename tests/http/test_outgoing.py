"""Answers that leave at the end of the loop's turn: in their order, and not held back for long."""

import asyncio
from typing import cast

from etcdpy.http.outgoing import HELD_BYTES_MAX, Outgoing
from etcdpy.http.traffic import Traffic


class Written:
    """A transport that remembers what was written, and in which row."""

    def __init__(self, row: list["Written"]) -> None:
        self.row = row
        self.data: list[bytes] = []
        self.is_gone = False

    def write(self, data: bytes) -> None:
        assert not self.is_gone
        self.row.append(self)
        self.data.append(data)

    def is_closing(self) -> bool:
        return self.is_gone


def outgoing_to(count: int) -> tuple[Outgoing, list[Written], list[asyncio.Transport]]:
    row: list[Written] = []
    written = [Written(row) for _ in range(count)]
    transports = [cast(asyncio.Transport, one) for one in written]
    return Outgoing(asyncio.get_running_loop(), Traffic()), written, transports


async def turn_ends() -> None:
    """Let the loop do what it was to do at the end of the turn."""
    await asyncio.sleep(0)


def test_the_answers_of_a_turn_leave_together_at_its_end() -> None:
    async def check() -> None:
        outgoing, (first, second), (one, other) = outgoing_to(2)
        outgoing.add(other, b"b")
        outgoing.add(one, b"a")
        assert not first.row
        await turn_ends()
        assert first.row == [second, first]
        assert (first.data, second.data) == ([b"a"], [b"b"])
        outgoing.add(one, b"c")
        await turn_ends()
        assert first.data == [b"a", b"c"]

    asyncio.run(check())


def test_several_answers_to_one_client_are_one_write() -> None:
    async def check() -> None:
        outgoing, (written,), (one,) = outgoing_to(1)
        for data in (b"a", b"b", b"c"):
            outgoing.add(one, data)
        await turn_ends()
        assert written.data == [b"abc"]

    asyncio.run(check())


def test_what_is_settled_is_written_before_what_comes_next_and_only_once() -> None:
    async def check() -> None:
        outgoing, (written,), (one,) = outgoing_to(1)
        outgoing.add(one, b"a")
        outgoing.settle(one)
        one.write(b"b")
        outgoing.settle(one)
        await turn_ends()
        assert written.data == [b"a", b"b"]

    asyncio.run(check())


def test_much_is_not_held_back() -> None:
    async def check() -> None:
        outgoing, (written,), (one,) = outgoing_to(1)
        outgoing.add(one, bytes(HELD_BYTES_MAX))
        assert not written.data
        outgoing.add(one, b"a")
        assert written.data == [bytes(HELD_BYTES_MAX) + b"a"]

    asyncio.run(check())


def test_a_client_that_is_gone_keeps_no_other_from_its_answer() -> None:
    async def check() -> None:
        outgoing, (gone, other), (one, two) = outgoing_to(2)
        outgoing.add(one, b"a")
        outgoing.add(two, b"b")
        gone.is_gone = True
        await turn_ends()
        assert other.data == [b"b"]

    asyncio.run(check())
