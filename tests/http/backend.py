"""A member without log, disk or cluster: a tree that applies at once what is proposed.

It is what `etcdpy.http` needs of a member and no more, so that the faces are tested alone.  Its
indexes are those of a fresh single member: the first client write has index 4, raft index 5.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

from etcdpy.clustering.identity import derive_member_id
from etcdpy.errors import EtcdError, ReconfigurationError
from etcdpy.http.auth.access import Authority
from etcdpy.http.auth.store import File
from etcdpy.http.backend import Outcome, RaftStatus, Value
from etcdpy.http.gojson.writer import format_time
from etcdpy.http.traffic import Traffic
from etcdpy.logs import find_level
from etcdpy.tree import command as tree_command
from etcdpy.tree import members as tree_members
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event
from etcdpy.tree.members import Member, MemberRefusal, publish, set_cluster_version
from etcdpy.tree.node import NODES_AT_ONCE_MAX
from etcdpy.tree.picture import Picture
from etcdpy.tree.reading import find_file, find_value
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher

MEMBER_ID = 0x9E737FEBB6B99EEE
CLUSTER_ID = 0xC8730D66636FF140
PEER_URL = "http://127.0.0.1:22380"
CLIENT_URL = "http://127.0.0.1:22379"
SYNC_PERIOD_S = 0.5


class StillMonitor:
    """A Monitor of nothing: what it shows is what the test gives it."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.text = b"# HELP up 1 if up.\n# TYPE up gauge\nup 1\n"
        self.values: dict[str, Any] = {"cmdline": ["etcdpy"], "raft.status": {"term": 2}}
        self.level = "INFO"
        self.is_well = True
        self.alarms: set[str] = set()

    def render_metrics(self) -> bytes:
        return self.text

    def variables(self) -> Mapping[str, Any]:
        return self.values

    def set_log_level(self, level: str) -> bool:
        name = find_level(level)
        self.level = name or self.level
        return name is not None

    async def is_healthy(self, excluded_alarms: Collection[str] = ()) -> bool:
        return self.is_well and not self.alarms - set(excluded_alarms)


class TreeBackend:
    """The Backend of a single member that is always ready, leads, and never fails."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.authority = Authority(self)
        self.monitor = StillMonitor()
        self.commit = 4
        self.has_leader = True
        self._started_ns = time.time_ns()
        now_ns = self._started_ns
        tree_members.add_member(self.tree, Member(MEMBER_ID, (PEER_URL,)), now_ns)
        tree_command.apply(self.tree, publish(MEMBER_ID, "default", (CLIENT_URL,), now_ns))
        tree_command.apply(self.tree, set_cluster_version("3.4.0", now_ns))
        assert self.tree.index == 3

    @property
    def cluster_id(self) -> int:
        return CLUSTER_ID

    @property
    def cluster_version(self) -> str | None:
        return "3.4.0"

    def now_ns(self) -> int:
        return time.time_ns()

    def raft_status(self) -> RaftStatus:
        return RaftStatus(self.commit, 2, MEMBER_ID)

    def submit(self, command: Command, outcome: Outcome) -> None:
        self.commit += 1
        try:
            event = tree_command.apply(self.tree, command)
        except EtcdError as refusal:
            outcome.set_exception(refusal)
        else:
            assert isinstance(event, Event)
            outcome.set_result(event)
        self._tell_watchers()

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.submit(command, future)
        return future

    def _tell_watchers(self) -> None:
        for watcher in self.tree.hub.take_ready():
            if watcher.owner is not None:
                watcher.owner.wake()

    async def expire_forever(self) -> None:
        """Do what a leader does while anything can expire."""
        while True:
            await asyncio.sleep(SYNC_PERIOD_S)
            if self.tree.has_expiring:
                self.commit += 1
                sync = Command(CommandKind.SYNC, self.now_ns(), limit=1000)
                tree_command.apply(self.tree, sync)
                self._tell_watchers()

    def find_value(self, path: bytes) -> Value | None:
        return find_value(self.tree, path)

    @property
    def store_index(self) -> int:
        return self.tree.index

    def get(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Event:
        return self.tree.get(
            path,
            is_recursive=is_recursive,
            is_sorted=is_sorted,
            now_ns=self.now_ns(),
            nodes_max=NODES_AT_ONCE_MAX,
        )

    def picture(self, path: bytes, *, is_recursive: bool, is_sorted: bool) -> Picture:
        return Picture(
            self.tree, path, is_recursive=is_recursive, is_sorted=is_sorted, now_ns=self.now_ns()
        )

    def linearized(self) -> "asyncio.Future[int]":
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self.commit)
        return future

    def watch(self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int) -> Watcher:
        return self.tree.watch(path, is_recursive=is_recursive, is_stream=is_stream, since=since)

    def unwatch(self, watcher: Watcher) -> None:
        self.tree.unwatch(watcher)

    def find_file(self, path: bytes) -> File | None:
        return find_file(self.tree, path)

    def members(self) -> list[Member]:
        return tree_members.list_members(self.tree)

    async def add_member(self, peer_urls: tuple[str, ...]) -> Member:
        now_ns = self.now_ns()
        member = Member(derive_member_id(peer_urls, str(now_ns // 1_000_000_000)), peer_urls)
        self._settle(member.id, tree_members.add_member(self.tree, member, now_ns))
        return member

    async def update_member(self, member_id: int, peer_urls: tuple[str, ...]) -> None:
        refusal = tree_members.update_member_urls(self.tree, member_id, peer_urls, self.now_ns())
        self._settle(member_id, refusal)

    async def remove_member(self, member_id: int) -> None:
        self._settle(member_id, tree_members.remove_member(self.tree, member_id, self.now_ns()))

    def _settle(self, member_id: int, refusal: MemberRefusal | None) -> None:
        """End a change of the configuration, which has its place in the log either way."""
        self.commit += 1
        if refusal is not None:
            raise ReconfigurationError(refusal.value, member_id)

    def leader(self) -> Member | None:
        if not self.has_leader:
            return None
        return next(member for member in self.members() if member.id == MEMBER_ID)

    def store_stats(self) -> Mapping[str, int]:
        return self.tree.stats.as_json(self.tree.hub.count)

    def self_stats(self) -> Mapping[str, Any]:
        started = format_time(self._started_ns)
        leader = {"leader": f"{MEMBER_ID:x}", "uptime": "1s", "startTime": started}
        return {
            "name": "default",
            "id": f"{MEMBER_ID:x}",
            "state": "StateLeader",
            "startTime": started,
            "leaderInfo": leader,
            "recvAppendRequestCnt": 0,
            "sendAppendRequestCnt": 0,
        }

    def leader_stats(self) -> Mapping[str, Any] | None:
        return {"leader": f"{MEMBER_ID:x}", "followers": {}} if self.has_leader else None
