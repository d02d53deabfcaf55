"""The cluster's members as rows, with etcd's index and counters: spec/cluster.md section 3."""

import pytest

from etcdpy.errors import FatalError
from etcdpy.tree import members
from etcdpy.tree.command import Command, CommandKind, apply
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree

ID_1, ID_2 = 0x9E737FEBB6B99EEE, 0x5302E706B84D961
URLS = ("http://127.0.0.1:2380",)


def new_cluster(*member_ids: int) -> Tree:
    """Return the tree as it is when a cluster of `member_ids` has just started."""
    tree = Tree()
    for member_id in member_ids:
        assert members.add_member(tree, Member(member_id, (f"http://{member_id}:1",)), 0) is None
    for member_id in member_ids:
        apply(tree, members.publish(member_id, f"m{member_id:x}", [f"http://{member_id}:2"], 0))
    apply(tree, members.set_cluster_version("3.4.0", 0))
    return tree


def test_a_fresh_single_member_has_etcds_index_and_counters() -> None:
    tree = new_cluster(ID_1)
    assert tree.index == 3
    counted = {name: count for name, count in tree.stats.as_json(0).items() if count}
    assert counted == {"getsFail": 1, "setsSuccess": 2, "createSuccess": 1}
    assert tree.set(b"/1/message", now_ns=0).index == 4


def test_changes_of_members_count_as_etcd_counts_them() -> None:
    def counted(tree: Tree) -> dict[str, int]:
        return {name: count for name, count in tree.stats.as_json(0).items() if count}

    tree = new_cluster(1, 2, 3)
    expected = {"getsSuccess": 2, "getsFail": 3, "setsSuccess": 4, "createSuccess": 3}
    assert counted(tree) == expected
    members.update_member_urls(tree, 3, URLS, 0)
    expected |= {"getsSuccess": 3, "getsFail": 4, "updateSuccess": 1}
    assert counted(tree) == expected
    members.remove_member(tree, 3, 0)
    expected |= {"getsSuccess": 4, "getsFail": 5, "deleteSuccess": 1, "createSuccess": 4}
    assert counted(tree) == expected
    members.remove_member(tree, 2, 0)
    assert counted(tree)["getsSuccess"] == 6  # the removed ids are there to be read


@pytest.mark.parametrize(("size", "first_write"), [(1, 4), (3, 8), (5, 12)])
def test_bootstrap_takes_two_steps_per_member_and_one(size: int, first_write: int) -> None:
    tree = new_cluster(*range(1, size + 1))
    assert tree.set(b"/1/a", now_ns=0).index == first_write


def test_a_restart_adds_one() -> None:
    tree = new_cluster(ID_1)
    apply(tree, members.publish(ID_1, "other", ["http://b:2", "http://a:2"], 0))
    assert tree.index == 4
    (member,) = members.list_members(tree)
    assert member == Member(ID_1, (f"http://{ID_1}:1",), "other", ("http://a:2", "http://b:2"))


def test_rows_are_where_etcd_has_them() -> None:
    tree = new_cluster(ID_1)
    row = tree.find_node(b"/0/members/9e737febb6b99eee/raftAttributes")
    assert row is not None
    assert row.value == b'{"peerURLs":["http://%d:1"]}' % ID_1
    row = tree.find_node(b"/0/members/9e737febb6b99eee/attributes")
    assert row is not None
    assert row.value == b'{"name":"m9e737febb6b99eee","clientURLs":["http://%d:2"]}' % ID_1
    row = tree.find_node(b"/0/version")
    assert row is not None
    assert row.value == b"3.4.0"


def test_an_empty_tree_has_no_members() -> None:
    tree = Tree()
    assert members.list_members(tree) == []
    assert members.removed_ids(tree) == set()
    assert members.cluster_version(tree) is None
    assert tree.stats.counts() == Tree().stats.counts()


def test_members_are_listed_by_number() -> None:
    tree = new_cluster(0xFF, 0x100, 0xA)
    assert [member.id for member in members.list_members(tree)] == [0xA, 0xFF, 0x100]
    assert members.cluster_version(tree) == "3.4.0"


def test_an_unstarted_member_has_no_name() -> None:
    tree = new_cluster(ID_1)
    assert members.add_member(tree, Member(ID_2, ("http://b:1", "http://a:1")), 0) is None
    assert tree.index == 4
    assert members.list_members(tree)[0] == Member(ID_2, ("http://a:1", "http://b:1"))


def test_removal_takes_two_steps_and_is_remembered() -> None:
    tree = new_cluster(ID_1, ID_2)
    index = tree.index
    assert members.remove_member(tree, ID_2, 0) is None
    assert tree.index == index + 2
    assert [member.id for member in members.list_members(tree)] == [ID_1]
    assert members.removed_ids(tree) == {ID_2}
    for refusal in (
        members.add_member(tree, Member(ID_2, URLS), 0),
        members.update_member_urls(tree, ID_2, URLS, 0),
        members.remove_member(tree, ID_2, 0),
    ):
        assert refusal == MemberRefusal.ID_REMOVED
    assert tree.index == index + 2


def test_a_removed_member_that_announces_itself_stays_removed() -> None:
    tree = new_cluster(ID_1, ID_2)
    members.remove_member(tree, ID_2, 0)
    apply(tree, members.publish(ID_2, "late", [], 0))
    assert [member.id for member in members.list_members(tree)] == [ID_1]


def test_update_changes_peer_urls_only() -> None:
    tree = new_cluster(ID_1, ID_2)
    index = tree.index
    before = members.list_members(tree)
    assert members.update_member_urls(tree, ID_1, ("http://y:1", "http://x:1"), 0) is None
    assert tree.index == index + 1
    after = members.list_members(tree)
    assert after[0] == before[0]
    assert after[1].peer_urls == ("http://x:1", "http://y:1")
    assert (after[1].name, after[1].client_urls) == (before[1].name, before[1].client_urls)
    assert members.update_member_urls(tree, ID_1, ("http://x:1", "http://y:1"), 0) is None


def test_ids_and_peer_urls_belong_to_one_member() -> None:
    tree = new_cluster(ID_1, ID_2)
    index = tree.index
    url = f"http://{ID_2}:1"
    assert members.add_member(tree, Member(ID_1, URLS), 0) == MemberRefusal.ID_EXISTS
    assert members.add_member(tree, Member(7, (url,)), 0) == MemberRefusal.PEER_URL_EXISTS
    refusal = members.update_member_urls(tree, ID_1, (url,), 0)
    assert refusal == MemberRefusal.PEER_URL_EXISTS
    for refusal in (
        members.update_member_urls(tree, 7, URLS, 0),
        members.remove_member(tree, 7, 0),
        members.promote_member(tree, 7, 0),
    ):
        assert refusal == MemberRefusal.ID_NOT_FOUND
    assert tree.index == index


def test_a_learner_is_promoted_once() -> None:
    tree = new_cluster(ID_1)
    assert members.add_member(tree, Member(7, URLS, is_learner=True), 0) is None
    assert members.list_members(tree)[0].is_learner
    assert members.promote_member(tree, 7, 0) is None
    assert members.list_members(tree)[0] == Member(7, URLS)
    assert members.promote_member(tree, 7, 0) == MemberRefusal.NOT_A_LEARNER


def test_damaged_rows_are_fatal() -> None:
    tree = new_cluster(ID_1)
    tree.set(b"/0/members/7/raftAttributes", value=b"{", now_ns=0)
    with pytest.raises(FatalError, match="rows of member 7 are damaged"):
        members.list_members(tree)


def test_what_a_member_says_of_itself_and_of_the_version_passes() -> None:
    for command in (
        members.publish(0xABC, "name", ["http://127.0.0.1:1"], 5),
        members.publish(1, "", [], 5),
        members.set_cluster_version("3.4.0", 5),
        Command(CommandKind.DELETE, 5, b"/00", is_dir=True, is_recursive=True),
        Command(CommandKind.SYNC, 5),
    ):
        members.check_command(command)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"name":5}',
        b'{"name":"\\ud800"}',
        b'{"clientURLs":null}',
        b'{"clientURLs":[1]}',
    ],
)
def test_what_could_not_be_read_as_attributes_is_refused(value: bytes) -> None:
    path = b"/0/members/abc/attributes"
    with pytest.raises(ValueError, match=r".+"):
        members.check_command(Command(CommandKind.SET, 5, path, value))


GOOD = members.publish(1, "name", [], 5)
VERSION = members.set_cluster_version("3.4.0", 5)


@pytest.mark.parametrize(
    "command",
    [
        GOOD._replace(path=b"/0/members/xyz/attributes"),
        GOOD._replace(path=b"/0/members/1/raftAttributes"),
        GOOD._replace(path=b"/0/members/1"),
        GOOD._replace(kind=CommandKind.DELETE),
        GOOD._replace(is_dir=True),
        GOOD._replace(expiration_ns=6),
        VERSION._replace(value=b"three"),
        VERSION._replace(value=b"\xff"),
        Command(CommandKind.DELETE, 5, b"/0", is_dir=True, is_recursive=True),
        Command(CommandKind.SET, 5, b"/0/removed_members/xyz"),
    ],
)
def test_nothing_else_of_the_members_rows_is_for_a_command(command: Command) -> None:
    with pytest.raises(ValueError, match="is not for such a command"):
        members.check_command(command)
