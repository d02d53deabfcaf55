"""Publishing: a member tells the cluster its name and where clients find it.

A file of its own because it is the last step of every start: until it has gone through the log, no
client is answered.
Source: spec/cluster.md section 6.
"""

import asyncio
import logging
from typing import Protocol

from etcdpy.errors import EtcdError
from etcdpy.tree import members
from etcdpy.tree.command import Command
from etcdpy.tree.event import Event

log = logging.getLogger("etcdpy.etcdserver")

#: How long to wait before another try.
RETRY_INTERVAL_S = 0.1


class Proposer(Protocol):
    """The member, as far as it is needed here."""

    @property
    def cluster_id(self) -> int:
        """The cluster's id."""

    def now_ns(self) -> int:
        """Return the wall clock, Unix nanoseconds."""

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        """Replicate and apply `command`.  Raises: EtcdError."""


async def publish(
    proposer: Proposer, member_id: int, name: str, client_urls: tuple[str, ...]
) -> None:
    """Tell the cluster a member's name and client URLs; tried again until it is known."""
    while True:
        command = members.publish(member_id, name, client_urls, proposer.now_ns())
        try:
            await proposer.propose(command)
            break
        except EtcdError as error:
            log.error("publish error: %s", error.cause.decode())
            await asyncio.sleep(RETRY_INTERVAL_S)
    log.info(
        "published {Name:%s ClientURLs:[%s]} to cluster %x",
        name,
        " ".join(client_urls),
        proposer.cluster_id,
    )
