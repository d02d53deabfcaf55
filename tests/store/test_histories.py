"""Random lives of a member against what was acknowledged to it.

Each step may be cut short by a power loss, a kill or a refused operation; after it the disk must
hold what was acknowledged, or in addition, whole, the one operation that was going on.
"""

import errno
import os
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from etcdpy.errors import FatalError
from etcdpy.store.storage import Limits
from tests.store.helpers import Member, simulated
from tests.store.simulated_files import SimulatedCrash

steps = st.one_of(
    st.tuples(st.just("extend"), st.integers(1, 6), st.integers(0, 200)),
    st.tuples(st.just("rewrite"), st.integers(1, 4)),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("install"), st.integers(1, 5)),
    st.tuples(st.just("purge")),
)


class Lives(RuleBasedStateMachine):
    """One member through many restarts."""

    @initialize(
        seed=st.integers(0, 2**32),
        page_bytes=st.sampled_from([32, 64, 512]),
        limits=st.builds(
            Limits, st.integers(100, 900), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 2])
        ),
    )
    def begin(self, seed: int, page_bytes: int, limits: Limits) -> None:
        self.member = Member(simulated(seed, page_bytes), limits)
        self.member.start()

    def take(self, step: tuple[str, *tuple[int, ...]]) -> None:
        name, *arguments = step
        getattr(self.member, name)(*arguments)

    @rule(step=steps)
    def go_on(self, step: tuple[str, *tuple[int, ...]]) -> None:
        self.take(step)

    @rule()
    def restart(self) -> None:
        self.member.stop()
        self.member.start()

    @rule()
    def power_loss_between_steps(self) -> None:
        self.reboot()

    @rule(step=steps, at=st.integers(0, 30), is_kill=st.booleans())
    def end_within_a_step(self, step: tuple[str, *tuple[int, ...]], at: int, is_kill: bool) -> None:
        files = self.member.files
        files.crash_at = files.operation_count + at
        with suppress(SimulatedCrash):
            self.take(step)
        files.crash_at = None
        if is_kill:
            files.kill()
            self.member.start()
        else:
            self.reboot()

    @rule(
        step=steps,
        at=st.integers(0, 30),
        is_kill=st.booleans(),
        number=st.sampled_from([errno.EIO, errno.ENOSPC]),
    )
    def refuse_within_a_step(
        self, step: tuple[str, *tuple[int, ...]], at: int, is_kill: bool, number: int
    ) -> None:
        files = self.member.files
        refused_at = files.operation_count + at + 1

        def refuse(name: str, path: str) -> None:
            if files.operation_count == refused_at and name != "close":
                raise OSError(number, os.strerror(number), path)

        files.on_operation = refuse
        refusal = self.find_refusal(step)
        assert refusal is None or "/data" in refusal
        files.on_operation = None
        if is_kill:
            files.kill()
            self.member.start()
        else:
            self.reboot()

    @rule(step=steps, free_bytes=st.integers(0, 500))
    def fill_the_disk_within_a_step(
        self, step: tuple[str, *tuple[int, ...]], free_bytes: int
    ) -> None:
        files = self.member.files
        files.free_bytes = free_bytes
        refusal = self.find_refusal(step)
        assert refusal is None or "no space left on device" in refusal
        files.free_bytes = None
        files.kill()
        self.member.start()

    def find_refusal(self, step: tuple[str, *tuple[int, ...]]) -> str | None:
        """Take the step; return what it was refused with, if it was."""
        try:
            self.take(step)
        except FatalError as error:
            return str(error)
        return None

    def reboot(self) -> None:
        self.member.files = self.member.files.crash()
        self.member.start()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, print_blob=True
)
