"""`--force-new-cluster`: one member of a cluster that lost its majority goes on alone.

A file of its own because it is the one place that writes to a log what no majority has agreed on.
All that the log holds is kept, also what is not known to be committed: the commit index reaches
the disk with the entries after it, so the last acknowledged write of an idle member always lies
beyond it, and dropping such a tail, as etcd does (whose commit index is written for its own sake),
would drop acknowledged writes.  Only a removal of this member that is not known to be committed
is taken out, since removed ids are never used again.
Source: spec/cluster.md section 7.
"""

import logging
from collections.abc import Iterable

from etcdpy.clustering.membership import change_to_add, change_to_remove
from etcdpy.consensus.codec import decode_conf_change, encode_conf_change
from etcdpy.consensus.membership import changed
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    SnapshotMeta,
)
from etcdpy.errors import ConfigError
from etcdpy.store.storage import Storage
from etcdpy.tree.members import Member, removed_ids
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")

#: Where a member is reached whose log does not say so; etcd's.  The operator corrects it.
UNKNOWN_PEER_URL = "http://localhost:2380"

_ALL_BYTES = 1 << 62


def force_new_cluster(
    storage: Storage[Entry, HardState, SnapshotMeta], tree: Tree, member_id: int
) -> None:
    """Commit all that the log holds, and after it the removal of all other members.

    `tree` is the newest snapshot's.  Blocking; durable on return, and nothing to do the next time.
    Raises: ConfigError if this member was removed for good; FatalError if the disk refused.
    """
    hard_state, meta = storage.initial_state()
    low, high = storage.first_index(), storage.last_index() + 1
    entries = storage.entries(low, high, _ALL_BYTES) if low < high else []
    known = [entry for entry in entries if entry.index <= hard_state.commit]
    if member_id in removed_ids(tree) or any(_is_removal_of(member_id, e) for e in known):
        raise ConfigError(
            f"member {member_id:x} was removed from its cluster, and its id is never used again:"
            " start from another member's data directory"
        )
    # A tail is replaced only by entries of a later term.
    term = hard_state.term + 1
    added = _without_removal_of(member_id, entries[len(known) :], term)
    kept = [*known, *entries[len(known) : len(entries) - len(added)], *added]
    changes = _changes_to_one(_members_after(meta.conf, kept), member_id)
    added += [
        Entry(term, index, EntryKind.CONF_CHANGE, encode_conf_change(change))
        for index, change in enumerate(changes, storage.last_index() + 1)
    ]
    commit = storage.last_index() + len(changes)
    if len(known) < len(entries):
        log.info("keeping %d WAL entries that may be uncommitted", len(entries) - len(known))
    if added or commit > hard_state.commit:
        forced = HardState(term, 0, commit)
        storage.write(forced, added)
        storage.stabilise(forced, added)


def _without_removal_of(member_id: int, tail: list[Entry], term: int) -> list[Entry]:
    """Return what is to replace the end of `tail`, from the removal of this member on.

    Nothing if there is none.  The removal becomes an empty entry, the others stay what they are.
    """
    for at, entry in enumerate(tail):
        if _is_removal_of(member_id, entry):
            later = [other._replace(term=term) for other in tail[at + 1 :]]
            return [Entry(term, entry.index, EntryKind.NORMAL, b""), *later]
    return []


def _is_removal_of(member_id: int, entry: Entry) -> bool:
    if entry.kind != EntryKind.CONF_CHANGE:
        return False
    change = decode_conf_change(entry.data)
    return change.kind == ConfChangeKind.REMOVE and change.member_id == member_id


def _members_after(conf: ConfState, entries: Iterable[Entry]) -> ConfState:
    """Return who takes part after `entries`, if every change in them has its effect."""
    for entry in entries:
        if entry.kind == EntryKind.CONF_CHANGE:
            conf = changed(conf, decode_conf_change(entry.data))
    return conf


def _changes_to_one(conf: ConfState, member_id: int) -> list[ConfChange]:
    """Return the changes that leave `member_id` alone.  It comes first: there is always a voter."""
    changes: list[ConfChange] = []
    if member_id not in conf.voters:
        # A learner is promoted by this, and keeps its own URLs.
        changes.append(change_to_add(Member(member_id, (UNKNOWN_PEER_URL,))))
    others = sorted({*conf.voters, *conf.learners} - {member_id})
    return changes + [change_to_remove(other) for other in others]
