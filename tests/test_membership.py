"""Configuration changes to rows of members."""

import pytest

from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.membership import apply_change, change_to_add
from etcdpy.tree.members import Member, list_members, removed_ids
from etcdpy.tree.tree import Tree

ONE = Member(1, ("http://127.0.0.1:1",))
TWO = Member(2, ("http://127.0.0.1:2",), is_learner=True)


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    assert apply_change(tree, change_to_add(ONE), 9)
    assert apply_change(tree, change_to_add(TWO), 9)
    return tree


def test_members_and_learners_are_added(tree: Tree) -> None:
    assert list_members(tree) == [ONE, TWO]


def test_a_learner_is_promoted_by_being_added_as_a_voter(tree: Tree) -> None:
    promoted = Member(2, TWO.peer_urls)
    assert apply_change(tree, change_to_add(promoted), 9)
    assert list_members(tree) == [ONE, promoted]


def test_urls_are_updated(tree: Tree) -> None:
    context = change_to_add(Member(1, ("http://127.0.0.1:9",))).context
    assert apply_change(tree, ConfChange(ConfChangeKind.UPDATE, 1, context), 9)
    assert list_members(tree)[0].peer_urls == ("http://127.0.0.1:9",)


def test_a_removed_id_is_never_used_again(tree: Tree) -> None:
    assert apply_change(tree, ConfChange(ConfChangeKind.REMOVE, 2), 9)
    assert removed_ids(tree) == {2}
    index = tree.index
    assert not apply_change(tree, change_to_add(TWO), 9)
    assert not apply_change(tree, ConfChange(ConfChangeKind.REMOVE, 2), 9)
    assert (list_members(tree), tree.index) == ([ONE], index)
