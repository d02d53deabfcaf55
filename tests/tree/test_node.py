"""Nodes, their views, and the ways over a subtree."""

import gc

import pytest

from etcdpy.tree.node import (
    Node,
    find_below,
    find_difference,
    graft,
    listing,
    new_directory,
    ttl_s,
    walk,
    walk_paths,
)

S = 10**9


@pytest.mark.parametrize(
    ("left_ns", "seconds"),
    [
        (10 * S, 10),
        (10 * S - 1, 10),
        (9 * S, 9),
        (1, 1),
        (0, 0),
        (-1, 0),
        (-S + 1, 0),
        (-S, -1),
        (-35 * S - 5, -35),
        (-(10**20), -9_223_372_036),
        (10**20, 9_223_372_037),
    ],
)
def test_ttl_is_rounded_up_and_saturates(left_ns: int, seconds: int) -> None:
    now_ns = 1_790_000_000 * S
    assert ttl_s(now_ns + left_ns, now_ns) == seconds


def test_a_permanent_node_has_no_ttl() -> None:
    assert ttl_s(None, 5) == 0


def sample() -> Node:
    """Return /b (file), /a (directory) with _h and y, x; /e (empty directory)."""
    top = new_directory(1)
    inner = new_directory(2)
    inner.children = {name: Node(name, None, 3) for name in (b"y", b"_h", b"x")}
    top.children = {b"b": Node(b"v", None, 2), b"a": inner, b"e": new_directory(4)}
    return top


def test_walk_gives_parents_first_and_sorts_each_level() -> None:
    seen = [(depth, name) for depth, name, _ in walk(sample(), is_sorted=True)]
    assert seen == [(1, b"a"), (2, b"_h"), (2, b"x"), (2, b"y"), (1, b"b"), (1, b"e")]


def test_walk_paths_gives_full_paths() -> None:
    expected = {b"/t/b", b"/t/a", b"/t/a/y", b"/t/a/_h", b"/t/a/x", b"/t/e"}
    assert {path for path, _ in walk_paths(sample(), b"/t")} == expected
    assert {path for path, _ in walk_paths(sample(), b"/")} == {path[2:] for path in expected}


def test_find_below_follows_names() -> None:
    top = sample()
    assert find_below(top, []) is top
    found = find_below(top, [b"a", b"x"])
    assert found is not None
    assert found.value == b"x"
    assert find_below(top, [b"b", b"x"]) is None
    assert find_below(top, [b"none", b"x", b"y"]) is None


def test_listing_shows_one_level_or_all() -> None:
    flat = listing(sample(), b"/", 0, is_recursive=False, is_sorted=True)
    assert flat.nodes is not None
    assert [(view.key, view.nodes) for view in flat.nodes] == [
        (b"/a", None),
        (b"/b", None),
        (b"/e", None),
    ]
    deep = listing(sample(), b"/t", 0, is_recursive=True, is_sorted=True)
    assert deep.nodes is not None
    inner = deep.nodes[0].nodes
    assert inner is not None
    assert [view.key for view in inner] == [b"/t/a/x", b"/t/a/y"]
    assert deep.nodes[2].nodes is None


def test_listing_of_hidden_children_only_is_none() -> None:
    top = new_directory(1)
    inner = new_directory(1)
    inner.children = {b"_a": Node(b"", None, 1)}
    top.children = {b"d": inner}
    assert listing(inner, b"/d", 0, is_recursive=True, is_sorted=False).nodes is None
    nodes = listing(top, b"/", 0, is_recursive=True, is_sorted=False).nodes
    assert nodes is not None
    assert [view.nodes for view in nodes] == [None]


def test_listing_sorts_by_bytes() -> None:
    names = ["é", "~", "b", "aa", "a-b", "a b", "a", "Z", "B", "A", "9", "10"]
    top = new_directory(1)
    top.children = {name.encode(): Node(b"", None, 1) for name in names}
    nodes = listing(top, b"/", 0, is_recursive=False, is_sorted=True).nodes
    assert nodes is not None
    assert [view.key.decode()[1:] for view in nodes] == names[::-1]


def test_a_dropped_subtree_is_freed_without_the_cyclic_collector() -> None:
    gc.disable()
    try:
        top = sample()
        before = sum(type(thing) is Node for thing in gc.get_objects())
        del top
        after = sum(type(thing) is Node for thing in gc.get_objects())
    finally:
        gc.enable()
    assert before - after == 7


def test_graft_makes_the_missing_directories_and_a_file() -> None:
    top = sample()
    file = graft(top, [b"n", b"m", b"f"], 9)
    assert find_below(top, [b"n", b"m", b"f"]) is file
    directory = find_below(top, [b"n", b"m"])
    assert directory is not None
    assert (directory.created_index, directory.modified_index) == (9, 9)
    assert (file.children, file.value, file.created_index) == (None, b"", 9)


@pytest.mark.parametrize(
    ("prev_value", "prev_index", "difference"),
    [
        (None, 0, b""),
        (b"", 0, b""),
        (b"v", 2, b""),
        (b"x", 2, b"[x != v]"),
        (b"v", 3, b"[3 != 2]"),
        (b"x", 3, b"[x != v] [3 != 2]"),
    ],
)
def test_difference_shows_only_what_differs(
    prev_value: bytes | None, prev_index: int, difference: bytes
) -> None:
    assert find_difference(Node(b"v", None, 2), prev_value, prev_index) == difference
