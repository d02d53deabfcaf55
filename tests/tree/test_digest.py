"""What a digest covers, and what not."""

import pytest

from etcdpy.tree.digest import DIGEST_BYTES
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9


def tree_of(**changed: object) -> Tree:
    """Return a tree of one file, some aspect of it changed."""
    given: dict[str, object] = {"path": b"/1/a", "value": b"v", "expiration_ns": None}
    fields = given | {"now_ns": NOW_NS} | changed
    tree = Tree()
    tree.set(fields.pop("path"), **fields)  # type: ignore[arg-type]
    return tree


@pytest.mark.parametrize(
    "changed",
    [
        {"path": b"/1/b"},
        {"path": b"/1/a/b"},
        {"value": b"w"},
        {"value": b"", "is_dir": True},
        {"expiration_ns": NOW_NS + 1},
    ],
    ids=str,
)
def test_any_difference_of_a_node_changes_it(changed: dict[str, object]) -> None:
    assert tree_of(**changed).digest() != tree_of().digest()


def test_indexes_are_covered() -> None:
    one, two = tree_of(), tree_of()
    two.set(b"/1/a", value=b"v", now_ns=NOW_NS)
    assert one.digest() != two.digest()
    three, four = tree_of(), tree_of()
    three.set(b"/1/a", value=b"w", now_ns=NOW_NS)
    four.update(b"/1/a", value=b"w", now_ns=NOW_NS)  # keeps the created index
    assert three.digest() != four.digest()
    three.set(b"/1/x", now_ns=NOW_NS)
    three.delete(b"/1/x", is_dir=False, is_recursive=False, now_ns=NOW_NS)
    five = tree_of()
    five.set(b"/1/a", value=b"w", now_ns=NOW_NS)
    assert three.digest() != five.digest()  # only the store index differs


def test_order_of_arrival_and_counters_are_not() -> None:
    one, two = Tree(), Tree()
    one.set(b"/1/a", now_ns=0)
    one.set(b"/1/b", now_ns=0)
    two.set(b"/1/b", now_ns=0)
    two.set(b"/1/a", now_ns=0)
    for tree, path in ((one, b"/1/a"), (two, b"/1/b"), (one, b"/1/b"), (two, b"/1/a")):
        node = tree.find_node(path)
        assert node is not None
        node.created_index = node.modified_index = 1
    two.get(b"/1/a", is_recursive=False, is_sorted=False, now_ns=0)
    assert one.digest() == two.digest()


def test_length() -> None:
    assert len(Tree().digest()) == DIGEST_BYTES
