"""What clients keep in the tree is counted as it changes; the machine test has the odd cases."""

import pytest

from etcdpy.tree import usage
from etcdpy.tree.picture import Picture
from etcdpy.tree.replacement import replace_state
from etcdpy.tree.tree import Tree

BIG = 1_000


def put(tree: Tree, path: bytes, value: bytes = b"") -> None:
    tree.set(path, value=value, now_ns=0)


def used(tree: Tree) -> tuple[int, int]:
    return tree.usage.keys, tree.usage.size_bytes


def delete(tree: Tree, path: bytes) -> None:
    tree.delete(path, is_dir=True, is_recursive=True, now_ns=0)


def test_names_count_once_each_and_directories_are_keys() -> None:
    tree = Tree()
    put(tree, b"/1/dir/key", b"value")
    assert used(tree) == (2, len(b"dir" + b"key" + b"value"))
    put(tree, b"/1/dir/key", b"v")
    put(tree, b"/1/dir/k2")
    assert used(tree) == (3, len(b"dir" + b"key" + b"v" + b"k2"))


def test_what_the_cluster_keeps_for_itself_is_not_counted() -> None:
    tree = Tree()
    put(tree, b"/0/members/1/attributes", b"x")
    put(tree, b"/2/users/root", b"x")
    put(tree, b"/2/users/root", b"longer")
    delete(tree, b"/2/users")
    assert used(tree) == (0, 0)


@pytest.mark.parametrize("is_deep", [False, True])
def test_what_a_removed_directory_held_is_swept_in_slices(is_deep: bool) -> None:
    tree = Tree()
    for number in range(BIG):
        put(tree, b"/1/d/%d/%d" % (number % 7 if is_deep else 0, number), b"v")
    put(tree, b"/1/left", b"!")
    full = tree.usage.keys
    delete(tree, b"/1/d")
    assert tree.usage.has_debris
    assert full - tree.usage.keys <= usage.SWEPT_AT_ONCE + 1
    slices = 0
    while tree.usage.has_debris:
        before = tree.usage.keys
        tree.usage.sweep(100)
        assert before - tree.usage.keys <= 100
        slices += 1
    assert slices <= (BIG + 100 - usage.SWEPT_AT_ONCE) // 100 + 1
    assert used(tree) == (1, len(b"left" + b"!"))


def test_debris_waits_only_for_pictures_that_were_taken_before() -> None:
    tree = Tree()

    def remove_and_take() -> Picture:
        for number in range(3):
            put(tree, b"/1/d/%d" % number)
        picture = Picture(tree, b"/1", is_recursive=True, is_sorted=False, now_ns=0)
        delete(tree, b"/1/d")
        return picture

    before = remove_and_take()
    full = tree.usage.keys
    for _ in range(5):  # there is always one open, and never one for long
        after = remove_and_take()
        before.close()
        tree.usage.sweep(1_000)
        assert tree.usage.keys <= full
        before = after
    before.close()
    tree.usage.sweep(1_000)
    assert used(tree) == (0, 0)
    assert not tree.usage.has_debris


def test_a_little_directory_leaves_no_debris() -> None:
    tree = Tree()
    for number in range(usage.SWEPT_AT_ONCE):
        put(tree, b"/1/d/%d" % number)
    delete(tree, b"/1/d")
    assert not tree.usage.has_debris
    assert used(tree) == (0, 0)


def test_a_tree_in_the_place_of_another_brings_its_own_usage() -> None:
    tree, other = Tree(), Tree()
    put(tree, b"/1/a", b"xxx")
    put(other, b"/1/b/c", b"y")
    replace_state(tree, other)
    assert used(tree) == (2, 3)
    put(tree, b"/1/b/c", b"yy")
    assert used(tree) == (2, 4)


def test_the_nodes_of_a_tree_that_was_replaced_are_swept_and_count_nowhere() -> None:
    tree, other = Tree(), Tree()
    for number in range(1_000):
        put(tree, b"/1/d%d/k" % number, b"xxx")
    put(other, b"/1/b", b"y")
    before = tree.root.children
    replace_state(tree, other)
    assert before
    assert tree.usage.has_debris
    sweeps = 0
    while tree.usage.has_debris:
        tree.usage.sweep(500)
        sweeps += 1
    assert sweeps > 3
    assert not before
    assert used(tree) == (1, 2)


def test_a_tree_that_a_picture_shows_is_not_swept() -> None:
    tree, other = Tree(), Tree()
    put(tree, b"/1/a", b"xxx")
    picture = Picture(tree, b"/1", is_recursive=True, is_sorted=False, now_ns=0)
    replace_state(tree, other)
    tree.usage.sweep(1_000)
    assert [shown.key for shown, _ in picture.rows() if shown] == [b"/1", b"/1/a"]
    picture.close()
    tree.usage.sweep(1_000)
    assert not tree.usage.has_debris
