"""The plainest reads find what `get` finds, or leave it to it."""

import pytest

from etcdpy.errors import EtcdError
from etcdpy.tree.reading import find_file, find_value
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.set(b"/1/a/file", value=b"v", now_ns=NOW_NS)
    tree.set(b"/1/a/_hidden", value=b"h", now_ns=NOW_NS)
    tree.set(b"/1/brief", value=b"b", expiration_ns=NOW_NS + 10**10, now_ns=NOW_NS)
    return tree


@pytest.mark.parametrize("path", [b"/1/a/file", b"/1/a/_hidden"])
def test_a_permanent_file_is_what_get_shows_and_counted(tree: Tree, path: bytes) -> None:
    before = tree.stats.gets_success
    found = find_value(tree, path)
    assert tree.stats.gets_success == before + 1
    shown = tree.get(path, is_recursive=False, is_sorted=False, now_ns=NOW_NS).node
    assert found is not None
    assert (found.value, found.modified_index, found.created_index) == (
        shown.value,
        shown.modified_index,
        shown.created_index,
    )


@pytest.mark.parametrize(
    "path", [b"/", b"/1", b"/1/a", b"/1/brief", b"/1/none", b"/1/a/file/below", b"/1/none/below"]
)
def test_all_else_is_left_to_get_and_not_counted(tree: Tree, path: bytes) -> None:
    before = (tree.stats.gets_success, tree.stats.gets_fail)
    assert find_value(tree, path) is None
    assert (tree.stats.gets_success, tree.stats.gets_fail) == before
    try:
        node = tree.get(path, is_recursive=False, is_sorted=False, now_ns=NOW_NS).node
        assert node.is_dir or node.expiration_ns is not None
    except EtcdError:
        pass


def test_a_file_is_found_and_what_is_found_counts(tree: Tree) -> None:
    found = find_file(tree, b"/1/brief")
    assert found is not None
    assert found.value == b"b"
    assert find_file(tree, b"/1/a") is None
    assert (tree.stats.gets_success, tree.stats.gets_fail) == (2, 0)
    assert find_file(tree, b"/1/none") is None
    assert (tree.stats.gets_success, tree.stats.gets_fail) == (2, 1)
