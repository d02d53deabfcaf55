"""Reconfiguration: adding, moving and removing members, from the request to its result.

A file of its own because it is the one place where an operator's wish can cost the quorum: what
etcd's strict check asks is asked here, of this member's own connections, before anything is
proposed.  What a change does once it is committed is `membership`'s.
Source: spec/members.md sections 1, 3.2 and 4.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etcdpy.clustering.identity import derive_member_id
from etcdpy.clustering.membership import change_to_add, change_to_remove, change_to_update, token_of
from etcdpy.consensus.messages import ConfChange
from etcdpy.errors import EtcdError, ReconfigurationError
from etcdpy.tree import members
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")

#: For how long a member must have been connected to count as healthy; etcd's number.
HEALTHY_AFTER_S = 5.0

_TOKEN_BYTES = 16
_NOT_ENOUGH_STARTED = "etcdserver: re-configuration failed due to not enough started members"
_UNHEALTHY = "etcdserver: unhealthy cluster"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a change needs of the member that it is asked of."""

    propose: Callable[[ConfChange], None]  # raises EtcdError when too much waits
    # For how long a peer has been connected without a break, None if it is not.
    active_for_s: Callable[[int], float | None]
    explain_timeout: Callable[[float], bytes]  # of a request that began at this loop time
    timeout_s: float
    is_strict: bool


class Reconfiguration:
    """The changes of members that were asked of this member, and their results."""

    def __init__(self, tree: Tree, member_id: int, surroundings: Surroundings) -> None:
        self._tree = tree
        self._member_id = member_id
        self._surroundings = surroundings
        self._loop = asyncio.get_running_loop()
        # By token: changes that are proposed and not applied.
        self._waiting: dict[bytes, asyncio.Future[MemberRefusal | None]] = {}

    async def add(self, peer_urls: Sequence[str]) -> Member:
        """Add a member that will be reached at `peer_urls`, and return it.

        Raises: ReconfigurationError.
        """
        member_id = derive_member_id(peer_urls, str(int(time.time())))
        member = Member(member_id, tuple(sorted(peer_urls)))
        if self._surroundings.is_strict:
            self._check_addition(member)
        await self._propose(change_to_add(member, secrets.token_bytes(_TOKEN_BYTES)))
        return member

    async def update(self, member_id: int, peer_urls: Sequence[str]) -> None:
        """Give a member other peer URLs.  Raises: ReconfigurationError."""
        token = secrets.token_bytes(_TOKEN_BYTES)
        await self._propose(change_to_update(member_id, sorted(peer_urls), token))

    async def remove(self, member_id: int) -> None:
        """Remove a member for good.  Raises: ReconfigurationError."""
        if self._surroundings.is_strict:
            self._check_removal(member_id)
        await self._propose(change_to_remove(member_id, secrets.token_bytes(_TOKEN_BYTES)))

    def applied(self, change: ConfChange, refusal: MemberRefusal | None) -> None:
        """Tell whoever waits for `change` what came of it."""
        result = self._waiting.pop(token_of(change), None)
        if result is not None and not result.done():
            result.set_result(refusal)

    async def _propose(self, change: ConfChange) -> None:
        if change.member_id == 0:  # nobody's id, which the log does not take
            raise ReconfigurationError(MemberRefusal.ID_NOT_FOUND.value, 0)
        token = token_of(change)
        result = self._waiting[token] = self._loop.create_future()
        began_s = self._loop.time()
        try:
            self._surroundings.propose(change)
            refusal = await asyncio.wait_for(result, self._surroundings.timeout_s)
        except TimeoutError:
            cause = self._surroundings.explain_timeout(began_s).decode()
            raise ReconfigurationError(cause, change.member_id) from None
        except EtcdError as error:
            raise ReconfigurationError(error.cause.decode(), change.member_id) from None
        finally:
            self._waiting.pop(token, None)
        if refusal is not None:
            raise ReconfigurationError(refusal.value, change.member_id)

    # The strict check

    def _check_addition(self, member: Member) -> None:
        """Refuse a member without whom the others would be a quorum no more if one failed."""
        voters = [m for m in members.list_members(self._tree) if not m.is_learner]
        started = sum(bool(m.name) for m in voters)
        # One that is alone may always be joined: that is how lost data is brought back.
        is_second = started == 1 and len(voters) == 1
        if not is_second and started < (len(voters) + 1) // 2 + 1:
            log.warning("not enough started members, rejecting member add %s", _shown(member))
            raise ReconfigurationError(_NOT_ENOUGH_STARTED, member.id)
        if self._count_healthy(voters) < len(voters):
            log.warning("not healthy for reconfigure, rejecting member add %s", _shown(member))
            raise ReconfigurationError(_UNHEALTHY, member.id)

    def _check_removal(self, member_id: int) -> None:
        """Refuse to remove whom the others need for a quorum; a learner is in none."""
        known = members.list_members(self._tree)
        if any(m.is_learner for m in known if m.id == member_id):
            return
        voters = [m for m in known if not m.is_learner]
        others = [m for m in voters if m.id != member_id]
        if sum(bool(m.name) for m in others) < len(others) // 2 + 1:
            log.warning("not enough started members, rejecting remove member %x", member_id)
            raise ReconfigurationError(_NOT_ENOUGH_STARTED, member_id)
        is_down = self._surroundings.active_for_s(member_id) is None
        if is_down and member_id != self._member_id:
            return  # the quorum does not rest on it
        if self._count_healthy(voters) - 1 < 1 + (len(voters) - 1) // 2:
            log.warning("reconfigure breaks active quorum, rejecting remove member %x", member_id)
            raise ReconfigurationError(_UNHEALTHY, member_id)

    def _count_healthy(self, voters: Sequence[Member]) -> int:
        return sum(m.id == self._member_id or self._is_healthy(m.id) for m in voters)

    def _is_healthy(self, member_id: int) -> bool:
        active_s = self._surroundings.active_for_s(member_id)
        return active_s is not None and active_s > HEALTHY_AFTER_S


def _shown(member: Member) -> str:
    """Return a member as etcd's log has it."""
    return (
        f"{{ID:{member.id:x} RaftAttributes:{{PeerURLs:[{' '.join(member.peer_urls)}]"
        " IsLearner:false} Attributes:{Name: ClientURLs:[]}}"
    )
