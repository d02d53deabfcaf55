"""Network: who hears what, when, how often.  Every directed link has its own seeded source.

A link delays, loses, duplicates and reorders messages; it can be cut (nothing passes, in one
direction only if so wished), slow, or congested for a while.  A message that is on its way when
its link is cut is lost with it, as it is with a connection.
"""

from dataclasses import dataclass
from random import Random

from etcdpy.consensus.messages import Message
from tests.simulation.scheduler import Handler, Scheduler

#: How often a transport notices that it can't send, instead of just losing what it is given.
REPORT_CHANCE = 0.3


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What links do to messages: chances of 0 to 1, delays in virtual nanoseconds."""

    delay_min: int
    delay_max: int
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0  # chance to be overtaken; else a link keeps the order
    overtaken_max: int = 0  # extra delay of those


class Link:
    """One direction between two members."""

    __slots__ = ("blocks", "extra_delay", "generation", "last_arrival", "random", "slowness")

    def __init__(self, random: Random) -> None:
        self.random = random.random
        self.blocks = 0  # partitions in force; a message passes when there is none
        self.slowness = 1  # factor on delays
        self.extra_delay = 0
        self.generation = 0  # counts cuts: what was sent in an earlier one is lost
        self.last_arrival = 0


class Network:
    """All links between members, by (sender, receiver) id."""

    def __init__(
        self,
        scheduler: Scheduler,
        seed: str,
        faults: LinkFaults,
        deliver: Handler,
        report_lost: Handler,
    ) -> None:
        self._scheduler = scheduler
        self._seed = seed
        self._faults = faults
        self._deliver = deliver
        self._report_lost = report_lost
        self._links: dict[tuple[int, int], Link] = {}
        self.lost_count = 0

    def link(self, sender: int, receiver: int) -> Link:
        """Return the link from `sender` to `receiver`."""
        ends = (sender, receiver)
        link = self._links.get(ends)
        if link is None:
            link = self._links[ends] = Link(Random(f"{self._seed}/link/{sender}/{receiver}"))
        return link

    def send(self, message: Message) -> None:
        """Take `message`; it arrives later, once, several times or never."""
        link = self.link(message.sender, message.to)
        faults = self._faults
        chance = link.random()
        if link.blocks or chance < faults.loss:
            self.lost_count += 1
            if link.blocks and chance < REPORT_CHANCE:
                self._report_lost(message)
            return
        self._schedule(link, message)
        if chance > 1.0 - faults.duplication:
            self._schedule(link, message)

    def block(self, sender: int, receiver: int) -> None:
        """Let nothing pass until as many calls of `unblock`."""
        link = self.link(sender, receiver)
        link.blocks += 1
        link.generation += 1

    def unblock(self, sender: int, receiver: int) -> None:
        """Take back one `block`; harmless when all have been healed since."""
        link = self.link(sender, receiver)
        link.blocks = max(link.blocks - 1, 0)

    def cut(self, sender: int, receiver: int) -> None:
        """Lose what is on its way."""
        self.link(sender, receiver).generation += 1

    def heal(self, faults: LinkFaults) -> None:
        """Take back all partitions and slowness; from now on links have `faults`.

        What is on its way is lost: words of long ago are no part of a healthy network.
        """
        self._faults = faults
        for link in self._links.values():
            link.blocks = 0
            link.slowness = 1
            link.extra_delay = 0
            link.generation += 1
            link.last_arrival = 0

    def is_blocked(self, sender: int, receiver: int) -> bool:
        """Whether nothing passes."""
        return self.link(sender, receiver).blocks > 0

    def draw_delay(self, sender: int, receiver: int) -> int:
        """Return how long a connection of its own (a snapshot's) takes on this link."""
        link = self.link(sender, receiver)
        faults = self._faults
        spread = faults.delay_max - faults.delay_min
        return (faults.delay_min + int(link.random() * spread)) * link.slowness

    def _schedule(self, link: Link, message: Message) -> None:
        faults = self._faults
        spread = faults.delay_max - faults.delay_min
        delay = (faults.delay_min + int(link.random() * spread)) * link.slowness
        arrival = self._scheduler.now + delay + link.extra_delay
        if faults.reordering and link.random() < faults.reordering:
            arrival += int(link.random() * faults.overtaken_max)
        else:
            arrival = max(arrival, link.last_arrival)
            link.last_arrival = arrival
        self._scheduler.at(arrival, self._arrive, (link, link.generation, message))

    def _arrive(self, parcel: tuple[Link, int, Message]) -> None:
        link, generation, message = parcel
        if link.generation != generation:
            self.lost_count += 1
            return
        self._deliver(message)
