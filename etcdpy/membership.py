"""Configuration changes between the log and the tree: their context, and what they do to rows.

Raft knows a member as a number; its URLs travel as the change's context.  Whether a change takes
effect is decided here, from the tree alone, so that every member decides the same.
Source: spec/members.md sections 1 and 3.2.
"""

import logging

import msgpack

from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.tree import members
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver.membership")


def change_to_add(member: Member) -> ConfChange:
    """Return the change that adds `member` as a voter, or as a learner if it is one."""
    kind = ConfChangeKind.ADD_LEARNER if member.is_learner else ConfChangeKind.ADD_VOTER
    return ConfChange(kind, member.id, msgpack.packb((member.peer_urls,)))


def apply_change(tree: Tree, change: ConfChange, cluster_id: int) -> bool:
    """Do `change` to the rows of members; tell whether it took effect."""
    refusal = _apply(tree, change)
    if refusal is not None:
        log.warning("refused a change of member %x: %s", change.member_id, refusal.value)
        return False
    if change.kind == ConfChangeKind.REMOVE:
        log.info("removed member %x from cluster %x", change.member_id, cluster_id)
    else:
        verb = "updated" if change.kind == ConfChangeKind.UPDATE else "added"
        urls = " ".join(_peer_urls(change))
        log.info("%s member %x [%s] to cluster %x", verb, change.member_id, urls, cluster_id)
    return True


def _apply(tree: Tree, change: ConfChange) -> MemberRefusal | None:
    # No row of a member expires, so that the clock of the change is of no account.
    now_ns = 0
    if change.kind == ConfChangeKind.REMOVE:
        return members.remove_member(tree, change.member_id, now_ns)
    if change.kind == ConfChangeKind.UPDATE:
        return members.update_member_urls(tree, change.member_id, _peer_urls(change), now_ns)
    is_learner = change.kind == ConfChangeKind.ADD_LEARNER
    member = Member(change.member_id, _peer_urls(change), is_learner=is_learner)
    if not is_learner and _is_learner(tree, change.member_id):
        return members.promote_member(tree, change.member_id, now_ns)
    return members.add_member(tree, member, now_ns)


def _is_learner(tree: Tree, member_id: int) -> bool:
    return any(m.id == member_id and m.is_learner for m in members.list_members(tree))


def _peer_urls(change: ConfChange) -> tuple[str, ...]:
    """Return the first field of the context; a later version may add fields, never move one."""
    peer_urls, *_ = msgpack.unpackb(change.context)
    return tuple(peer_urls)
