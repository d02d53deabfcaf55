"""Configuration changes to rows of members."""

import pytest

from etcdpy.clustering.membership import (
    apply_change,
    change_to_add,
    change_to_remove,
    change_to_update,
    peer_urls_of,
    token_of,
)
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
