"""The cluster version: the lowest release among all members, agreed through the log.

A file of its own because it is how members are upgraded one by one: nothing new is proposed before
every member has it.  The leader proposes, from what its peers said when they connected; every
member says when it changes.
Source: spec/cluster.md sections 3 and 6.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence

from etcdpy import ETCD_VERSION
from etcdpy.errors import EtcdError, FatalError
from etcdpy.logs import NOTICE

log = logging.getLogger("etcdpy.etcdserver")
membership_log = logging.getLogger("etcdpy.etcdserver.membership")
api_log = logging.getLogger("etcdpy.etcdserver.api")

#: What a cluster agrees on while not all of its members are known; etcd's number.
MIN_CLUSTER_VERSION = "3.0.0"
#: How often the leader looks whether all members are newer; etcd's number.
MONITOR_INTERVAL_S = 5.0
#: How often a cluster without a version is looked at, and how long the leader of one waits for
#: members that have not said theirs yet.
DECISION_INTERVAL_S = 0.1
DECISION_WAIT_S = 1.0

_RELEASE = re.compile(r"(\d+)\.(\d+)")


def lowest(releases: Sequence[str]) -> str | None:
    """Return the cluster version of members with these releases, None if one is unknown."""
    found = [_RELEASE.match(release) for release in releases]
    pairs = [(int(match[1]), int(match[2])) for match in found if match is not None]
    if not pairs or len(pairs) < len(releases):
        return None
    major, minor = min(pairs)
    return f"{major}.{minor}.0"


class VersionMonitor:
    """Watches over the cluster version as long as the member lives."""

    def __init__(
        self,
        *,
        current: Callable[[], str | None],
        is_leader: Callable[[], bool],
        releases: Callable[[], Sequence[str]],
        agree: Callable[[str], Awaitable[object]],
        on_fatal: Callable[[FatalError], None],
    ) -> None:
        """`releases` are those of all members, empty where unknown; `agree` proposes a version."""
        self._current = current
        self._is_leader = is_leader
        self._releases = releases
        self._agree = agree
        self._on_fatal = on_fatal
        self._said = current()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        if self._said is not None:
            self._enable(self._said)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        await self._decide()
        while True:
            self._say_change()
            await self._raise_if_all_can()
            self._say_change()
            await asyncio.sleep(MONITOR_INTERVAL_S)

    async def _decide(self) -> None:
        """Wait until there is a version; as leader, set it."""
        waited_s = 0.0
        while self._current() is None:
            decided = lowest(self._releases()) if self._is_leader() else None
            if decided is None and self._is_leader() and waited_s > DECISION_WAIT_S:
                decided = MIN_CLUSTER_VERSION
            if decided is not None:
                log.info("setting up the initial cluster version to %s", _short(decided))
                await self._propose(decided)
            else:
                waited_s += DECISION_INTERVAL_S
                await asyncio.sleep(DECISION_INTERVAL_S)

    async def _raise_if_all_can(self) -> None:
        """As leader, raise the version when every member is newer."""
        version = self._current()
        decided = lowest(self._releases()) if self._is_leader() else None
        if version is None or decided is None or _order(decided) <= _order(version):
            return
        log.info("updating the cluster version from %s to %s", _short(version), _short(decided))
        await self._propose(decided)

    async def _propose(self, version: str) -> None:
        try:
            await self._agree(version)
        except EtcdError as error:
            log.error("error updating cluster version (%s)", error.cause.decode())
            await asyncio.sleep(DECISION_INTERVAL_S)

    def _say_change(self) -> None:
        version = self._current()
        if version is None or version == self._said:
            return
        if self._said is None:
            membership_log.log(NOTICE, "set the initial cluster version to %s", _short(version))
        else:
            membership_log.log(
                NOTICE,
                "updated the cluster version from %s to %s",
                _short(self._said),
                _short(version),
            )
        self._said = version
        self._enable(version)

    def _enable(self, version: str) -> None:
        """Say what the members can do by now, unless this one is older than all of them."""
        if _order(version) > _order(ETCD_VERSION):
            self._on_fatal(
                FatalError(
                    f"cluster cannot be downgraded (current version: {ETCD_VERSION} is lower"
                    f" than determined cluster version: {_short(version)})."
                )
            )
            return
        api_log.info("enabled capabilities for version %s", _short(version))


def _short(version: str) -> str:
    return version.rpartition(".")[0]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
