"""A log that goes on alone: what is kept, who is removed, and what is committed in the end.

Source: spec/cluster.md section 7.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from etcdpy.clustering.membership import apply_change, change_to_add, change_to_remove
from etcdpy.consensus.codec import decode_conf_change, encode_conf_change
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
from etcdpy.startup.bootstrap import _SHAPES, RaftStorage
from etcdpy.startup.recovering import UNKNOWN_PEER_URL, force_new_cluster
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.store.storage import Storage
from etcdpy.tree.capture import rows
from etcdpy.tree.members import Member, list_members
from etcdpy.tree.tree import Tree

ME, SECOND, THIRD = 1, 2, 3
FOUNDERS = [change_to_add(Member(i, (f"http://127.0.0.1:{i}",))) for i in (ME, SECOND, THIRD)]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[DataDir]:
    data_dir = DataDir.open(OsFiles(), str(tmp_path / "data"))
    yield data_dir
    data_dir.close()


def new_log(data_dir: DataDir, entries: Sequence[Entry], commit: int) -> RaftStorage:
    """Return a log of these entries, the last of which tells its term."""
    storage = Storage.create(data_dir, b"", _SHAPES)
    write(storage, HardState(max((e.term for e in entries), default=0), 0, commit), entries)
    return storage


def write(storage: RaftStorage, hard_state: HardState, entries: Sequence[Entry]) -> None:
    storage.write(hard_state, entries)
    storage.stabilise(hard_state, entries)


def log_of(*contents: ConfChange | bytes, term: int = 1) -> list[Entry]:
    return [
        Entry(term, index, EntryKind.NORMAL, content)
        if isinstance(content, bytes)
        else Entry(term, index, EntryKind.CONF_CHANGE, encode_conf_change(content))
        for index, content in enumerate(contents, 1)
    ]


def entries_of(storage: RaftStorage) -> list[Entry]:
    return storage.entries(storage.first_index(), storage.last_index() + 1, 1 << 20)


def members_after(entries: Sequence[Entry], tree: Tree | None = None) -> list[Member]:
    """Return who is left when all is applied."""
    tree = Tree() if tree is None else tree
    for entry in entries:
        if entry.kind == EntryKind.CONF_CHANGE:
            apply_change(tree, decode_conf_change(entry.data), 1)
    return list_members(tree)


def test_all_others_are_removed_in_a_later_term(data_dir: DataDir) -> None:
    before = log_of(*FOUNDERS, b"w", term=4)
    storage = new_log(data_dir, before, 4)
    force_new_cluster(storage, Tree(), ME)
    after = entries_of(storage)
    assert after[:4] == before
    assert [decode_conf_change(entry.data) for entry in after[4:]] == [
        change_to_remove(SECOND),
        change_to_remove(THIRD),
    ]
    assert {entry.term for entry in after[4:]} == {5}
    assert storage.initial_state()[0] == HardState(5, 0, 6)
    assert [member.id for member in members_after(after)] == [ME]


def test_it_is_durable(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(*FOUNDERS), 3)
    force_new_cluster(storage, Tree(), ME)
    after = entries_of(storage)
    storage.close()
    found = Storage.recover(data_dir, _SHAPES).storage
    assert entries_of(found) == after
    assert found.initial_state()[0] == HardState(2, 0, 5)
    found.close()


def test_a_second_time_nothing_is_left_to_do(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(*FOUNDERS), 3)
    force_new_cluster(storage, Tree(), ME)
    state, entries = storage.initial_state(), entries_of(storage)
    force_new_cluster(storage, Tree(), ME)
    assert (storage.initial_state(), entries_of(storage)) == (state, entries)


def test_a_write_whose_commit_never_reached_the_disk_is_kept(
    data_dir: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    """The last acknowledged write of an idle cluster is such a one."""
    caplog.set_level("INFO")
    storage = new_log(data_dir, log_of(*FOUNDERS, b"w1", b"w2"), 4)
    force_new_cluster(storage, Tree(), ME)
    assert entries_of(storage)[4] == Entry(1, 5, EntryKind.NORMAL, b"w2")
    assert storage.initial_state()[0] == HardState(2, 0, 7)
    assert caplog.messages == ["keeping 1 WAL entries that may be uncommitted"]


def test_a_tail_is_kept_where_nobody_is_to_be_removed(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(FOUNDERS[0], b"w"), 1)
    force_new_cluster(storage, Tree(), ME)
    assert storage.last_index() == 2
    assert storage.initial_state()[0] == HardState(2, 0, 2)


def test_a_member_whose_addition_is_not_committed_is_removed_too(data_dir: DataDir) -> None:
    fourth = change_to_add(Member(4, ("http://127.0.0.1:4",)))
    storage = new_log(data_dir, log_of(*FOUNDERS, fourth), 3)
    force_new_cluster(storage, Tree(), ME)
    assert [member.id for member in members_after(entries_of(storage))] == [ME]


def test_an_uncommitted_removal_of_this_member_is_taken_out_and_no_write_with_it(
    data_dir: DataDir,
) -> None:
    tail: list[ConfChange | bytes] = [b"w1", change_to_remove(ME), b"w2"]
    storage = new_log(data_dir, log_of(*FOUNDERS, *tail), 3)
    force_new_cluster(storage, Tree(), ME)
    after = entries_of(storage)
    assert [entry.data for entry in after[3:6]] == [b"w1", b"", b"w2"]
    assert [entry.term for entry in after[3:]] == [1, 2, 2, 2, 2]
    assert [entry.index for entry in after] == list(range(1, 9))
    assert [member.id for member in members_after(after)] == [ME]


def test_who_was_removed_for_good_is_refused(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(*FOUNDERS, change_to_remove(ME)), 4)
    with pytest.raises(ConfigError, match="member 1 was removed from its cluster"):
        force_new_cluster(storage, Tree(), ME)


def test_who_was_removed_before_the_snapshot_is_refused(data_dir: DataDir) -> None:
    tree = Tree()
    for change in [*FOUNDERS, change_to_remove(ME)]:
        apply_change(tree, change, 1)
    storage = new_log(data_dir, log_of(*FOUNDERS, b"w"), 4)
    with pytest.raises(ConfigError, match="member 1 was removed from its cluster"):
        force_new_cluster(storage, tree, ME)


def test_members_that_only_the_snapshot_knows_are_removed(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(*FOUNDERS, b"w"), 4)
    meta = SnapshotMeta(4, 1, ConfState((ME, SECOND), (THIRD,)))
    storage.save_snapshot(meta, rows(Tree()))
    storage.snapshot_saved(meta)
    storage.compact(4)
    force_new_cluster(storage, Tree(), ME)
    assert [decode_conf_change(entry.data) for entry in entries_of(storage)] == [
        change_to_remove(SECOND),
        change_to_remove(THIRD),
    ]


def test_a_member_that_its_log_does_not_know_is_added_first(data_dir: DataDir) -> None:
    storage = new_log(data_dir, log_of(*FOUNDERS[1:]), 2)
    force_new_cluster(storage, Tree(), ME)
    after = entries_of(storage)
    kinds = [decode_conf_change(entry.data).kind for entry in after[2:]]
    assert kinds == [ConfChangeKind.ADD_VOTER, ConfChangeKind.REMOVE, ConfChangeKind.REMOVE]
    assert members_after(after) == [Member(ME, (UNKNOWN_PEER_URL,))]


def test_a_learner_is_promoted_and_keeps_its_urls(data_dir: DataDir) -> None:
    learner = change_to_add(Member(ME, ("http://127.0.0.1:1",), is_learner=True))
    storage = new_log(data_dir, log_of(*FOUNDERS[1:], learner), 3)
    force_new_cluster(storage, Tree(), ME)
    assert members_after(entries_of(storage)) == [Member(ME, ("http://127.0.0.1:1",))]


def test_an_update_does_not_make_a_member(data_dir: DataDir) -> None:
    update = ConfChange(ConfChangeKind.UPDATE, 9, FOUNDERS[0].context)
    storage = new_log(data_dir, log_of(FOUNDERS[0], update), 2)
    force_new_cluster(storage, Tree(), ME)
    assert storage.last_index() == 2
