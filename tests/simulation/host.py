"""What a simulated member needs of the world around it, and the future that it answers through."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from etcdpy.consensus.messages import Entry, Message, SnapshotRequest
from etcdpy.consensus.pump import SoftStateChanged
from etcdpy.errors import EtcdError, FatalError
from etcdpy.tree.event import Event
from tests.simulation.plan import Profile
from tests.simulation.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.simulation.member import SimulatedMember

Outcome = Event | EtcdError | None  # None: unknown, the member gave up or ended


class Promise:
    """A future as `Applications` uses one; what it gets goes to a function at once."""

    __slots__ = ("_is_done", "_on_done")

    def __init__(self, on_done: Callable[[Outcome], None]) -> None:
        self._on_done = on_done
        self._is_done = False

    def done(self) -> bool:
        """See asyncio.Future."""
        return self._is_done

    def set_result(self, event: Event) -> None:
        """See asyncio.Future."""
        self._is_done = True
        self._on_done(event)

    def set_exception(self, error: EtcdError) -> None:
        """See asyncio.Future."""
        self._is_done = True
        self._on_done(None if error.code >= 300 else error)


class Host(Protocol):
    """What a member needs of the world around it, and whom it shows what it does."""

    scheduler: Scheduler
    profile: Profile

    def send(self, member: "SimulatedMember", messages: Sequence[Message]) -> None:
        """Take messages to the network."""

    def send_snapshot(self, member: "SimulatedMember", request: SnapshotRequest) -> None:
        """Begin to stream the newest snapshot; `SnapshotReport` follows."""

    def stepped(self, member: "SimulatedMember") -> None:
        """Look at the member: its core has just been stepped."""

    def soft_state_changed(self, member: "SimulatedMember", action: SoftStateChanged) -> None:
        """Note another role or leader."""

    def writing(self, member: "SimulatedMember", delay: int) -> None:
        """Note that a write began, which will be done after `delay`."""

    def persisted(self, member: "SimulatedMember", entries: Sequence[Entry]) -> None:
        """Note what has just become durable and visible."""

    def applied(self, member: "SimulatedMember", entries: Sequence[Entry]) -> None:
        """Note what has just been applied, before the core is told."""

    def conf_applied(self, member: "SimulatedMember", index: int) -> None:
        """Note that the core goes by the configuration after the change at `index`."""

    def installed(self, member: "SimulatedMember") -> None:
        """Note that a snapshot took the place of log and tree."""

    def snapshot_given_up(self) -> None:
        """Note that a received snapshot made one of the member's own void."""

    def failed(self, member: "SimulatedMember", error: FatalError) -> None:
        """Note that the member ends because it can't go on."""
