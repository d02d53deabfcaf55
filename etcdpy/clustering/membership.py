"""Configuration changes between the log and the tree: their context, and what they do to rows.

Raft knows a member as a number; what else a change says travels as its context: the peer URLs and
a token by which its proposer knows it again.  Whether a change takes effect is decided here, from
the tree alone, so that every member decides the same.
Source: spec/members.md sections 1 and 3.2.
"""

import logging
from collections.abc import Sequence

import msgpack

from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.tree import members
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree
from etcdpy.urls import parse_urls

log = logging.getLogger("etcdpy.etcdserver.membership")


def change_to_add(member: Member, token: bytes = b"") -> ConfChange:
    """Return the change that adds `member` as a voter, or as a learner if it is one."""
    kind = ConfChangeKind.ADD_LEARNER if member.is_learner else ConfChangeKind.ADD_VOTER
    return ConfChange(kind, member.id, _context(member.peer_urls, token))


def change_to_update(member_id: int, peer_urls: Sequence[str], token: bytes = b"") -> ConfChange:
    """Return the change that gives a member other peer URLs."""
    return ConfChange(ConfChangeKind.UPDATE, member_id, _context(peer_urls, token))


def change_to_remove(member_id: int, token: bytes = b"") -> ConfChange:
    """Return the change that removes a member."""
    return ConfChange(ConfChangeKind.REMOVE, member_id, _context((), token))


def peer_urls_of(change: ConfChange) -> tuple[str, ...]:
    """Return the peer URLs that a change carries; none for a removal."""
    return tuple(_fields(change)[0])


def token_of(change: ConfChange) -> bytes:
    """Return the token that the proposer gave the change."""
    return bytes(_fields(change)[1])


def check_data(data: bytes) -> None:
    """Check the data of a change that a peer wants in the log.

    Raises: PeerError or ValueError for what could not be applied: no change, or a member without
        addresses that can be dialled.
    """
    change = decode_conf_change(data)
    peer_urls, token = _fields(change)
    if type(token) is not bytes or type(peer_urls) is not tuple:
        raise ValueError("a change without URLs and token")
    if not all(type(url) is str for url in peer_urls):
        raise ValueError("a peer URL is no text")
    if change.kind != ConfChangeKind.REMOVE and not parse_urls(peer_urls):
        raise ValueError("a member without peer URLs")


def apply_change(tree: Tree, change: ConfChange, cluster_id: int) -> MemberRefusal | None:
    """Do `change` to the rows of members; return why it has no effect, None if it has."""
    refusal = _apply(tree, change)
    if refusal is not None:
        log.warning("refused a change of member %x: %s", change.member_id, refusal.value)
    elif change.kind == ConfChangeKind.REMOVE:
        log.info("removed member %x from cluster %x", change.member_id, cluster_id)
    else:
        verb = "updated" if change.kind == ConfChangeKind.UPDATE else "added"
        urls = " ".join(peer_urls_of(change))
        log.info("%s member %x [%s] to cluster %x", verb, change.member_id, urls, cluster_id)
    return refusal


def _apply(tree: Tree, change: ConfChange) -> MemberRefusal | None:
    # No row of a member expires, so that the clock of the change is of no account.
    now_ns = 0
    if change.kind == ConfChangeKind.REMOVE:
        return members.remove_member(tree, change.member_id, now_ns)
    if change.kind == ConfChangeKind.UPDATE:
        return members.update_member_urls(tree, change.member_id, peer_urls_of(change), now_ns)
    is_learner = change.kind == ConfChangeKind.ADD_LEARNER
    member = Member(change.member_id, peer_urls_of(change), is_learner=is_learner)
    if not is_learner and _is_learner(tree, change.member_id):
        return members.promote_member(tree, change.member_id, now_ns)
    return members.add_member(tree, member, now_ns)


def _is_learner(tree: Tree, member_id: int) -> bool:
    return any(m.id == member_id and m.is_learner for m in members.list_members(tree))


def _context(peer_urls: Sequence[str], token: bytes) -> bytes:
    packed: bytes = msgpack.packb((tuple(peer_urls), token))
    return packed


def _fields(change: ConfChange) -> tuple[Sequence[str], bytes]:
    """Return the first two fields of the context; a later version may add some, never move one.

    Raises: ValueError for what members do not make.
    """
    try:
        peer_urls, token, *_ = msgpack.unpackb(change.context, use_list=False)
    except (TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"not the context of a change: {error}") from error
    return peer_urls, token
