"""Machine: a place where a member can live, its disk, and how it will die."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from etcdpy.consensus.messages import ConfChange
from tests.simulation.member import SimulatedMember
from tests.store.simulated_files import SimulatedFiles


class Doom(NamedTuple):
    """How a machine will die, in the midst of a write, and for how long."""

    is_power_lost: bool
    duration: int


class Machine:
    """A slot: a disk, and the member on it.  `member_id` 0: nobody lives here."""

    def __init__(self, slot: int, random: Random, files: SimulatedFiles) -> None:
        self.slot = slot
        self.random = random
        self.files = files
        self.member_id = 0
        self.member: SimulatedMember | None = None  # None while it is down
        self.founders: Sequence[ConfChange] = ()
        self.boot = 0
        self.down_until = 0
        self.doom: Doom | None = None  # the crash that its next write meets
        self.tick = 0  # virtual nanoseconds
        self.ticks = 0
        self.clock_skew = 0
        self.has_refused = False  # the disk failed a sync: the member has to stop

    @property
    def is_disk_faulty(self) -> bool:
        """Whether a member may stop for its disk's sake."""
        return self.has_refused or self.files.free_bytes is not None
