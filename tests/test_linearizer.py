"""Quorum reads: answered by the driver, or failed when their time is up, and then counted."""

import asyncio

import pytest

from etcdpy.errors import RAFT_INTERNAL, EtcdError
from etcdpy.linearizer import Linearizer


class Reads:
    """The driver's part: futures that the test answers."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[int]] = []

    def read_index(self) -> asyncio.Future[int]:
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


def test_only_reads_whose_time_is_up_are_failed_and_counted() -> None:
    async def test() -> None:
        reads = Reads()
        failed: list[None] = []
        began: list[float] = []

        def explain(began_s: float) -> bytes:
            began.append(began_s)
            return b"why"

        linearizer = Linearizer(reads, 5.0, explain, lambda: failed.append(None))
        loop = asyncio.get_running_loop()
        first, second, third = (linearizer.read() for _ in range(3))
        reads.futures[0].set_result(7)
        now_s = loop.time()
        linearizer.withdraw(now_s + 4)
        assert first.result() == 7
        assert not second.done()
        third.set_result(8)
        linearizer.withdraw(now_s + 6)
        with pytest.raises(EtcdError) as refusal:
            await second
        assert (refusal.value.code, refusal.value.cause) == (RAFT_INTERNAL, b"why")
        assert third.result() == 8
        assert len(failed) == 1
        assert began == [pytest.approx(now_s, abs=1.0)]
        linearizer.withdraw(now_s + 100)  # nothing is left
        assert len(failed) == 1

    asyncio.run(test())
