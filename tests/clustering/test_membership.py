"""Configuration changes to rows of members."""

import msgpack
import pytest

from etcdpy.clustering.membership import (
    apply_change,
    change_to_add,
    change_to_remove,
    change_to_update,
    check_data,
    peer_urls_of,
    token_of,
)
from etcdpy.consensus.codec import encode_conf_change
from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.errors import PeerError
from etcdpy.tree.members import Member, MemberRefusal, list_members, removed_ids
from etcdpy.tree.tree import Tree

ONE = Member(1, ("http://127.0.0.1:1",))
TWO = Member(2, ("http://127.0.0.1:2",), is_learner=True)


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    assert apply_change(tree, change_to_add(ONE), 9) is None
    assert apply_change(tree, change_to_add(TWO), 9) is None
    return tree


def test_members_and_learners_are_added(tree: Tree) -> None:
    assert list_members(tree) == [ONE, TWO]


def test_a_learner_is_promoted_by_being_added_as_a_voter(tree: Tree) -> None:
    promoted = Member(2, TWO.peer_urls)
    assert apply_change(tree, change_to_add(promoted), 9) is None
    assert list_members(tree) == [ONE, promoted]


def test_urls_are_updated(tree: Tree) -> None:
    assert apply_change(tree, change_to_update(1, ("http://127.0.0.1:9",)), 9) is None
    assert list_members(tree)[0].peer_urls == ("http://127.0.0.1:9",)


def test_a_removed_id_is_never_used_again(tree: Tree) -> None:
    assert apply_change(tree, change_to_remove(2), 9) is None
    assert removed_ids(tree) == {2}
    index = tree.index
    assert apply_change(tree, change_to_add(TWO), 9) is MemberRefusal.ID_REMOVED
    assert apply_change(tree, change_to_remove(2), 9) is MemberRefusal.ID_REMOVED
    assert (list_members(tree), tree.index) == ([ONE], index)


def test_a_change_carries_its_urls_and_its_proposers_token() -> None:
    added, removed = change_to_add(ONE, b"mine"), change_to_remove(1, b"other")
    assert (peer_urls_of(added), token_of(added)) == (ONE.peer_urls, b"mine")
    assert (peer_urls_of(removed), token_of(removed)) == ((), b"other")


def test_what_members_propose_passes() -> None:
    for change in (
        change_to_add(ONE, b"token"),
        change_to_add(TWO),
        change_to_update(1, ["http://127.0.0.1:9", "unix://a:1"]),
        change_to_remove(1),
    ):
        check_data(encode_conf_change(change))
    later = ConfChange(ConfChangeKind.REMOVE, 1, msgpack.packb(((), b"", "of a later version")))
    check_data(encode_conf_change(later))


@pytest.mark.parametrize(
    "context",
    [
        b"",
        b"\xc1",
        b"garbage",
        msgpack.packb(5),
        msgpack.packb(("http://127.0.0.1:1", b"")),
        msgpack.packb(((), b"")),
        msgpack.packb(((b"http://127.0.0.1:1",), b"")),
        msgpack.packb((("http://127.0.0.1:1",), "text")),
        msgpack.packb((("http://127.0.0.1:1", "gopher://x:1"), b"")),
        msgpack.packb((("http://127.0.0.1:1",),)),
        msgpack.packb({(1, 2): 3}),
    ],
)
def test_a_change_that_could_not_be_applied_is_refused_before(context: bytes) -> None:
    change = ConfChange(ConfChangeKind.ADD_VOTER, 3, context)
    with pytest.raises(ValueError, match=r".+"):
        check_data(encode_conf_change(change))


def test_what_is_no_change_is_refused() -> None:
    with pytest.raises(PeerError, match="not three fields"):
        check_data(msgpack.packb(()))
