"""Cluster: the other members as this one knows them, and the ways to them kept in step with that.

A file of its own because the truth about members is rows of the tree, and three things must follow
each change of them: whom the transport dials, what this member says of itself, and whether it is a
member at all.  What a change asks for is `reconfiguration`'s, what it does to rows `membership`'s.
Source: spec/members.md section 5.
"""

import asyncio
from collections.abc import Sequence

from etcdpy import ETCD_VERSION
from etcdpy.clustering.membership import apply_change, peer_urls_of
from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.http.peers.transport import PeerTransport
from etcdpy.tree import members
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree

#: How long a removed member goes on: etcd's second, and elections enough for the others to learn
#: that the change is committed, without which two that are left could wait for each other.
LINGER_S = 1.0
LINGER_ELECTIONS = 2


class Cluster:
    """The members, from the side of one of them.

    `removed` is done when this member has left for good and has told the others what they may
    need to know.
    """

    def __init__(
        self,
        tree: Tree,
        transport: PeerTransport,
        election_s: float,
        remotes: Sequence[Member] = (),
    ) -> None:
        """`remotes` are members that a joining one has heard of before its log has."""
        self._tree = tree
        self._transport = transport
        self._election_s = election_s
        self._member_id = transport.identity.member_id
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.TimerHandle | None = None
        self.removed: asyncio.Future[None] = self._loop.create_future()
        self.follow()
        for remote in remotes:
            self._reach(remote.id, remote.peer_urls)

    @property
    def members(self) -> list[Member]:
        """All members, ascending by id."""
        return members.list_members(self._tree)

    @property
    def voter_ids(self) -> list[int]:
        """The ids of all members that vote."""
        return [member.id for member in self.members if not member.is_learner]

    @property
    def releases(self) -> list[str]:
        """The releases of all members, empty where a peer has not said its yet."""
        peers = {peer.member_id: peer.version for peer in self._transport.peers}
        peers[self._member_id] = ETCD_VERSION
        return [peers.get(member.id, "") for member in self.members]

    def apply(self, change: ConfChange) -> MemberRefusal | None:
        """Do a committed change; return why it has no effect, None if it has."""
        refusal = apply_change(self._tree, change, self._transport.identity.cluster_id)
        if refusal is not None:
            return refusal
        if change.kind != ConfChangeKind.REMOVE:
            self._reach(change.member_id, peer_urls_of(change))
        elif change.member_id != self._member_id:
            self._transport.remove_peer(change.member_id)
        return None

    def follow(self) -> None:
        """Have the transport's peers be the members that the tree holds, without this one.

        A peer that is neither a member nor a removed one stays: a snapshot may be older than what
        made it a member, and to end with it would tell it that it was removed for good.
        """
        removed = members.removed_ids(self._tree)
        for peer in self._transport.peers:
            if peer.member_id in removed:
                self._transport.remove_peer(peer.member_id)
        for member in self.members:
            self._reach(member.id, member.peer_urls)

    def leave(self, *, is_told: bool) -> None:
        """Note that this member was removed; `is_told`: by another one, so that it is known there.

        It goes on for a while: the others may need its answers.
        """
        if self._leaving is not None:
            return
        elections_s = 0.0 if is_told else LINGER_ELECTIONS * self._election_s
        self._leaving = self._loop.call_later(
            max(LINGER_S, elections_s), self.removed.set_result, None
        )

    def stop(self) -> None:
        """Forget that this member is leaving: it ends now."""
        if self._leaving is not None:
            self._leaving.cancel()

    def _reach(self, member_id: int, urls: Sequence[str]) -> None:
        if member_id == self._member_id:
            self._transport.update_self(urls)
        else:
            self._transport.add_peer(member_id, urls)
