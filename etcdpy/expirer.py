"""Expirer: has the keys removed whose time to live has ended.

A file of its own because it is the one thing that a member does of itself, again and again: the
tree has no clock, so the leader proposes its own, and every member removes the same keys.
Source: spec/cluster.md section 8.
"""

import asyncio
import logging
import time

from etcdpy.apply import Applications
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.messages import Role
from etcdpy.errors import EtcdError
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import PENDING_MAX

log = logging.getLogger("etcdpy.etcdserver")

#: How often the leader has expired nodes removed while any node has a TTL; etcd's number.
SYNC_INTERVAL_S = 0.5
#: Nodes that one SYNC removes at most.  A removal is at most two events for a watcher, and one that
#: is read is emptied after each command: so it never overflows, however many nodes expire.
SYNC_LIMIT = PENDING_MAX // 2


class Expirer:
    """Proposes a SYNC where one is due; on one loop."""

    def __init__(self, driver: Driver, applications: Applications, tree: Tree) -> None:
        self._driver = driver
        self._applications = applications
        self._tree = tree
        self._loop = asyncio.get_running_loop()

    def sync(self) -> None:
        """As leader, have what has expired removed, on every member alike."""
        if self._driver.status.role is Role.LEADER and self._tree.has_expiring:
            command = Command(CommandKind.SYNC, time.time_ns(), limit=SYNC_LIMIT)
            try:
                self._driver.propose(self._applications.wrap(command))
            except EtcdError:
                log.debug("no room for a sync, the next one comes")

    def synced(self, command: Command) -> None:
        """Go on at once when the SYNC that was applied was not enough."""
        due_ns = self._tree.next_expiration_ns
        if due_ns is not None and due_ns <= command.now_ns:
            self._loop.call_soon(self.sync)
