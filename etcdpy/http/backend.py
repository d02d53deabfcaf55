"""Backend: what the handlers need of a member.  The tests give them a small one of their own."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from etcdpy.errors import EtcdError
from etcdpy.http.auth.access import Authority
from etcdpy.http.auth.store import File
from etcdpy.http.traffic import Traffic
from etcdpy.tree.command import Command
from etcdpy.tree.event import Event
from etcdpy.tree.members import Member
from etcdpy.tree.picture import Picture
from etcdpy.tree.watch import Watcher


class RaftStatus(NamedTuple):
    """Where the member stands in its log, when a response is written."""

    commit: int
    term: int
    leader_id: int  # 0 when none is known


class Value(Protocol):
    """A permanent file of the tree, to be looked at now and not kept."""

    @property
    def value(self) -> bytes:
        """What was last written."""

    @property
    def modified_index(self) -> int:
        """The store index of the last change."""

    @property
    def created_index(self) -> int:
        """The store index of its creation."""


class Outcome(Protocol):
    """Who waits for what becomes of a proposal; a future is one."""

    def done(self) -> bool:
        """Tell whether nobody waits any more."""

    def set_result(self, event: Event, /) -> None:
        """Hear that it was applied, and what that did."""

    def set_exception(self, error: EtcdError, /) -> None:
        """Hear that it was refused, or that nobody knows in time."""


class Monitor(Protocol):
    """What an operator sees of the member."""

    @property
    def traffic(self) -> Traffic:
        """The counters of requests for keys: one for all listeners of the member."""

    def render_metrics(self) -> bytes:
        """Return the text of `/metrics`."""

    def variables(self) -> Mapping[str, Any]:
        """Return the values of `/debug/vars`, in the order of the answer."""

    def set_log_level(self, level: str) -> bool:
        """Have every part log from `level` on; False if there is no such level."""

    async def is_healthy(self, excluded_alarms: Collection[str] = ()) -> bool:
        """Tell whether no alarm is on, a leader is known and a quorum answers within 1 s."""


class Backend(Protocol):
    """The member, as the handlers see it."""

    @property
    def cluster_id(self) -> int:
        """The cluster's id, fixed for its life."""

    @property
    def cluster_version(self) -> str | None:
        """The agreed cluster version, None until there is one."""

    def now_ns(self) -> int:
        """Return the wall clock, Unix nanoseconds."""

    def raft_status(self) -> RaftStatus:
        """Return commit index, term and leader as they are now: the same object while they stay."""

    def submit(self, command: Command, outcome: Outcome) -> None:
        """Replicate and apply `command`, and tell `outcome` what became of it, once.

        Raises: EtcdError 121 when too much waits already.
        """

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        """Replicate and apply `command`; the future has its event or its EtcdError.

        Raises: EtcdError 121 when too much waits already.
        """

    def find_value(self, path: bytes) -> Value | None:
        """Return the permanent file at `path`, counted as a read; None for anything else."""

    @property
    def store_index(self) -> int:
        """The store index."""

    def get(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Event:
        """Read the local tree.

        Raises: EtcdError; LargeListingError for a directory that has to be shown as a picture.
        """

    def picture(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Picture:
        """Begin to read a directory for which `get` has just raised LargeListingError."""

    def linearized(self) -> "asyncio.Future[int]":
        """Return a future that is done when the local tree holds all acknowledged before now.

        It has EtcdError 300 when that can't be known in time.
        Raises: EtcdError 121 when too much waits already.
        """

    def watch(self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int) -> Watcher:
        """Register a watch.  Raises: EtcdError 401."""

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watch; harmless when it has ended already."""

    @property
    def authority(self) -> Authority:
        """Who may do what: one for all listeners of the member."""

    @property
    def monitor(self) -> Monitor:
        """What an operator sees of the member: one for all listeners."""

    def find_file(self, path: bytes) -> File | None:
        """Return the file at `path` of the local tree, None if there is none; counted as a read."""

    def members(self) -> list[Member]:
        """Return all members, ascending by id."""

    async def add_member(self, peer_urls: tuple[str, ...]) -> Member:
        """Add a member that will be reached at `peer_urls` (ascending), and return it.

        Raises: ReconfigurationError.
        """

    async def update_member(self, member_id: int, peer_urls: tuple[str, ...]) -> None:
        """Give a member other peer URLs (ascending).  Raises: ReconfigurationError."""

    async def remove_member(self, member_id: int) -> None:
        """Remove a member for good.  Raises: ReconfigurationError."""

    def leader(self) -> Member | None:
        """Return the leader, None while there is none."""

    def store_stats(self) -> Mapping[str, int]:
        """Return the operation counters, in the API's names and order."""

    def self_stats(self) -> Mapping[str, Any]:
        """Return the JSON object of `/v2/stats/self`, in the API's field order."""

    def leader_stats(self) -> Mapping[str, Any] | None:
        """Return the JSON object of `/v2/stats/leader`, None when this member does not lead."""
