"""The virtual network: what it loses, what it keeps in order."""

from typing import Any

from etcdpy.consensus.messages import Message, MessageKind
from tests.simulation.network import LinkFaults, Network
from tests.simulation.scheduler import MS, Scheduler

CALM = LinkFaults(delay_min=MS, delay_max=5 * MS)


class _Ends:
    """A network, and the indexes of what arrived."""

    def __init__(self, faults: LinkFaults = CALM) -> None:
        self.scheduler = Scheduler()
        self.arrived: list[int] = []
        self.reported: list[int] = []
        self.network = Network(self.scheduler, "seed", faults, self._deliver, self._report)

    def _deliver(self, message: Any) -> None:
        self.arrived.append(message.index)

    def _report(self, message: Any) -> None:
        self.reported.append(message.index)

    def send(self, count: int, *, sender: int = 1, to: int = 2) -> None:
        for index in range(count):
            self.network.send(Message(MessageKind.APPEND, to, sender, 1, index))

    def settle(self) -> None:
        self.scheduler.run_until(self.scheduler.now + 1_000 * MS)


def test_a_calm_link_keeps_order_and_loses_nothing() -> None:
    ends = _Ends()
    ends.send(100)
    ends.settle()
    assert ends.arrived == list(range(100))


def test_a_blocked_link_passes_nothing_one_way() -> None:
    ends = _Ends()
    ends.network.block(1, 2)
    ends.send(50)
    ends.send(3, sender=2, to=1)
    ends.settle()
    assert ends.arrived == [0, 1, 2]
    assert 0 < len(ends.reported) < 50


def test_what_is_on_its_way_is_lost_with_the_connection() -> None:
    ends = _Ends()
    ends.send(5)
    ends.network.cut(1, 2)
    ends.send(1)
    ends.settle()
    assert ends.arrived == [0]


def test_partitions_overlap() -> None:
    ends = _Ends()
    ends.network.block(1, 2)
    ends.network.block(1, 2)
    ends.network.unblock(1, 2)
    assert ends.network.is_blocked(1, 2)
    ends.network.unblock(1, 2)
    assert not ends.network.is_blocked(1, 2)


def test_faults_do_what_they_are_called() -> None:
    lossy = _Ends(LinkFaults(MS, 2 * MS, loss=0.5))
    doubling = _Ends(LinkFaults(MS, 2 * MS, duplication=0.5))
    shuffling = _Ends(LinkFaults(MS, 2 * MS, reordering=0.5, overtaken_max=50 * MS))
    for ends in (lossy, doubling, shuffling):
        ends.send(200)
        ends.settle()
    assert 50 < len(lossy.arrived) < 150
    assert 250 < len(doubling.arrived) < 350
    assert shuffling.arrived != sorted(shuffling.arrived)
    assert sorted(shuffling.arrived) == list(range(200))


def test_healing_ends_everything() -> None:
    ends = _Ends(LinkFaults(MS, 2 * MS, loss=1.0))
    ends.network.block(1, 2)
    ends.network.heal(CALM)
    ends.send(10)
    ends.settle()
    assert ends.arrived == list(range(10))
