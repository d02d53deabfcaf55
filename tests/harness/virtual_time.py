"""An event loop whose clock jumps: a wait of seven seconds is over at once, and always the same.

    def test_it_gives_up() -> None:
        async def main() -> None: ...
        run_virtual(main)

For what waits on the loop's own timers only.  A test that waits for a thread or a socket with no
timer set still waits for real; one that waits for nothing that could ever come fails.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

#: Far from 0, so that a time that somebody forgot to set is not taken for a recent one.
START_S = 1_000.0
#: Real seconds that a wait without any timer may take.
STUCK_S = 10.0


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for no time; notes how far the clock has to jump instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(STUCK_S)
            assert ready, "nothing that this test waits for can ever come"
            return ready
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time` is seconds from `START_S` on."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtual(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `main()` on a loop of its own; what it leaves running or unretrieved fails."""
    problems: list[Mapping[str, Any]] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        await main()
        await asyncio.sleep(0)  # what was cancelled last ends
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(body())
    assert not problems
