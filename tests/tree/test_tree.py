"""The operations, rule by rule: spec/keys.md sections 7, 9, 10, 12, 14, 15 and 20."""

from collections.abc import Callable
from typing import Any

import pytest

from etcdpy.errors import EtcdError
from etcdpy.tree.event import Event, NodeView
from etcdpy.tree.tree import EXPIRATION_NS_MIN, Tree

S = 10**9
NOW_NS = 1_790_000_000 * S

Write = Callable[[Tree, bytes], Event]


@pytest.fixture
def tree() -> Tree:
    """Hold the files /f (index 1) and /d/k (2), and the empty directory /e (3)."""
    tree = Tree()
    tree.set(b"/1/f", value=b"one", now_ns=NOW_NS)
    tree.set(b"/1/d/k", value=b"two", now_ns=NOW_NS)
    tree.set(b"/1/e", is_dir=True, now_ns=NOW_NS)
    return tree


def set_(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.set(path, now_ns=NOW_NS, **fields)


def create(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.create(path, now_ns=NOW_NS, **fields)


def post(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.create(path, is_unique=True, now_ns=NOW_NS, **fields)


def update(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.update(path, now_ns=NOW_NS, **fields)


def swap(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.compare_and_swap(path, now_ns=NOW_NS, **fields)


def delete(tree: Tree, path: bytes, *, is_dir: bool = False, is_recursive: bool = False) -> Event:
    return tree.delete(path, is_dir=is_dir, is_recursive=is_recursive, now_ns=NOW_NS)


def compare_and_delete(tree: Tree, path: bytes, **fields: Any) -> Event:
    return tree.compare_and_delete(path, now_ns=NOW_NS, **fields)


def get(tree: Tree, path: bytes, *, is_recursive: bool = False, now_ns: int = NOW_NS) -> Event:
    return tree.get(path, is_recursive=is_recursive, is_sorted=True, now_ns=now_ns)


def file(path: bytes, value: bytes | None, modified: int, created: int) -> NodeView:
    return NodeView(path, value, False, None, 0, None, modified, created)


def directory(path: bytes, modified: int, created: int) -> NodeView:
    return NodeView(path, None, True, None, 0, None, modified, created)


# Refusals: operation, counter, path, code, cause; in the order of their precedence


REFUSALS: list[tuple[Write, str, bytes, int, bytes]] = [
    (set_, "setsFail", b"/1/f/x/y", 104, b"/1/f"),
    (set_, "setsFail", b"/1", 107, b"/"),
    (set_, "setsFail", b"/", 107, b"/"),
    (set_, "setsFail", b"/0", 107, b"/"),
    (set_, "setsFail", b"/1/d", 102, b"/1/d"),
    (lambda t, p: set_(t, p, is_dir=True), "setsFail", b"/1/e", 102, b"/1/e"),
    (lambda t, p: set_(t, p, is_dir=True), "setsFail", b"/1", 107, b"/"),
    (lambda t, p: set_(t, p, is_refresh=True), "setsFail", b"/1/f/x", 104, b"/1/f"),
    (lambda t, p: set_(t, p, is_refresh=True), "setsFail", b"/1/no/x", 100, b"/1/no"),
    (lambda t, p: set_(t, p, is_refresh=True), "setsFail", b"/1/d/no", 100, b"/1/d/no"),
    (lambda t, p: set_(t, p, is_refresh=True), "setsFail", b"/1", 107, b"/"),
    (lambda t, p: set_(t, p, is_refresh=True), "setsFail", b"/1/d", 102, b"/1/d"),
    (create, "createFail", b"/1", 107, b"/"),
    (create, "createFail setsFail", b"/1/f/x/y", 104, b"/1/f"),
    (create, "createFail", b"/1/f", 105, b"/1/f"),
    (create, "createFail", b"/1/d", 105, b"/1/d"),
    (post, "createFail setsFail", b"/1/f", 104, b"/1/f"),
    (post, "createFail setsFail", b"/1/f/x", 104, b"/1/f"),
    (update, "updateSuccess", b"/1", 107, b"/"),
    (update, "updateFail", b"/1/f/x", 104, b"/1/f"),
    (update, "updateFail", b"/1/no/x", 100, b"/1/no"),
    (lambda t, p: update(t, p, value=b"v"), "updateSuccess", b"/1/d", 102, b"/1/d"),
    (swap, "compareAndSwapSuccess", b"/1", 107, b"/"),
    (swap, "compareAndSwapFail", b"/1/f/x", 104, b"/1/f"),
    (swap, "compareAndSwapFail", b"/1/no", 100, b"/1/no"),
    (swap, "compareAndSwapFail", b"/1/d", 102, b"/1/d"),
    (
        lambda t, p: swap(t, p, prev_value=b"x"),
        "compareAndSwapFail",
        b"/1/f",
        101,
        b"[x != one]",
    ),
    (delete, "deleteSuccess", b"/1", 107, b"/"),
    (delete, "deleteFail", b"/1/f/x", 104, b"/1/f"),
    (delete, "deleteFail", b"/1/no", 100, b"/1/no"),
    (delete, "deleteFail", b"/1/d", 102, b"/1/d"),
    (delete, "deleteFail", b"/1/e", 102, b"/1/e"),
    (lambda t, p: delete(t, p, is_dir=True), "deleteFail", b"/1/d", 108, b"/1/d"),
    (compare_and_delete, "compareAndDeleteFail", b"/1/f/x", 104, b"/1/f"),
    (compare_and_delete, "compareAndDeleteFail", b"/1/no", 100, b"/1/no"),
    (compare_and_delete, "compareAndDeleteSuccess", b"/1/d", 102, b"/1/d"),
    (compare_and_delete, "compareAndDeleteSuccess", b"/1", 102, b"/1"),
    (
        lambda t, p: compare_and_delete(t, p, prev_index=9),
        "compareAndDeleteSuccess",
        b"/1/f",
        101,
        b"[9 != 1]",
    ),
    (get, "getsFail", b"/1/f/x/y", 104, b"/1/f"),
    (get, "getsFail", b"/1/no/such/key", 100, b"/1/no"),
    (get, "getsFail", b"/1/d/such/key", 100, b"/1/d/such"),
    (get, "getsFail", b"/2", 100, b"/2"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case[1]}-{case[3]}-{case[2]}")
def test_a_refusal_has_its_cause_and_counts_and_changes_nothing(
    tree: Tree, case: tuple[Write, str, bytes, int, bytes]
) -> None:
    write, counters, path, code, cause = case
    before, counted = tree.digest(), tree.stats.as_json(0)
    with pytest.raises(EtcdError) as caught:
        write(tree, path)
    assert caught.value.args == (code, cause, 3)
    assert tree.digest() == before
    assert len(tree.history) == 3
    counted.update({name: counted[name] + 1 for name in counters.split()})
    assert tree.stats.as_json(0) == counted


# Success: what is stored, what is replied


def test_set_makes_a_file_and_its_parents(tree: Tree) -> None:
    event = set_(tree, b"/1/x/y/z", value=b"v")
    assert event == Event("set", file(b"/1/x/y/z", b"v", 4, 4), None, 4)
    assert get(tree, b"/1/x/y/z").node == event.node
    for parent in (b"/1/x", b"/1/x/y"):
        node = get(tree, parent).node
        assert (node.created_index, node.modified_index, node.expiration_ns) == (4, 4, None)


def test_set_replaces_a_file_by_a_new_one(tree: Tree) -> None:
    event = set_(tree, b"/1/f", value=b"v")
    assert event.node == file(b"/1/f", b"v", 4, 4)
    assert event.prev_node == file(b"/1/f", b"one", 1, 1)


def test_set_replaces_a_file_by_a_directory(tree: Tree) -> None:
    event = set_(tree, b"/1/f", value=b"ignored", is_dir=True)
    assert event.node == directory(b"/1/f", 4, 4)
    assert event.prev_node == file(b"/1/f", b"one", 1, 1)
    assert set_(tree, b"/1/f/x").index == 5


def test_set_replaces_a_ttl(tree: Tree) -> None:
    set_(tree, b"/1/f", expiration_ns=NOW_NS + 5 * S)
    event = set_(tree, b"/1/f", expiration_ns=NOW_NS + 7 * S)
    assert (event.node.expiration_ns, event.node.ttl_s) == (NOW_NS + 7 * S, 7)
    assert event.prev_node is not None
    assert (event.prev_node.expiration_ns, event.prev_node.ttl_s) == (NOW_NS + 5 * S, 5)
    assert tree.next_expiration_ns == NOW_NS + 7 * S
    assert set_(tree, b"/1/f").node.expiration_ns is None
    assert not tree.has_expiring


def test_create_never_shows_a_previous_node(tree: Tree) -> None:
    event = create(tree, b"/1/x/y", value=b"v")
    assert event == Event("create", file(b"/1/x/y", b"v", 4, 4), None, 4)
    assert create(tree, b"/1/z", value=b"v", is_dir=True).node == directory(b"/1/z", 5, 5)


def test_update_keeps_the_created_index(tree: Tree) -> None:
    event = update(tree, b"/1/f", value=b"v")
    expected = file(b"/1/f", b"v", 4, 1)
    assert event == Event("update", expected, file(b"/1/f", b"one", 1, 1), 4)
    assert get(tree, b"/1/f").node == expected
    assert update(tree, b"/1/f").node == file(b"/1/f", b"", 5, 1)


def test_update_of_a_directory_changes_its_ttl_and_shows_the_index_once(tree: Tree) -> None:
    event = update(tree, b"/1/e", expiration_ns=NOW_NS + S)
    assert event.node == NodeView(b"/1/e", None, True, NOW_NS + S, 1, None, 4, 3)
    assert event.prev_node == directory(b"/1/e", 3, 3)
    assert get(tree, b"/1/e").node.modified_index == 3
    again = update(tree, b"/1/e")
    assert again.prev_node is not None
    assert (again.prev_node.modified_index, again.node.modified_index) == (3, 5)
    assert not tree.has_expiring


def test_compare_and_swap_tests_all_that_is_given(tree: Tree) -> None:
    event = swap(tree, b"/1/f", value=b"v", prev_value=b"one", prev_index=1)
    assert event.action == "compareAndSwap"
    assert event.node == file(b"/1/f", b"v", 4, 1)
    assert event.prev_node == file(b"/1/f", b"one", 1, 1)
    assert swap(tree, b"/1/f").node == file(b"/1/f", b"", 5, 1)


@pytest.mark.parametrize(
    ("prev_value", "prev_index", "cause"),
    [
        (b"x", 0, b"[x != one]"),
        (None, 2, b"[2 != 1]"),
        (b"x", 2, b"[x != one] [2 != 1]"),
        (b"one", 2, b"[2 != 1]"),
        (b"x", 1, b"[x != one]"),
    ],
)
@pytest.mark.parametrize("write", [swap, compare_and_delete])
def test_a_failed_comparison_shows_only_what_differs(
    tree: Tree, write: Callable[..., Event], prev_value: bytes | None, prev_index: int, cause: bytes
) -> None:
    with pytest.raises(EtcdError) as caught:
        write(tree, b"/1/f", prev_value=prev_value, prev_index=prev_index)
    assert (caught.value.code, caught.value.cause) == (101, cause)


def test_an_empty_file_matches_no_previous_value(tree: Tree) -> None:
    set_(tree, b"/1/f")
    with pytest.raises(EtcdError) as caught:
        swap(tree, b"/1/f", prev_value=b"1")
    assert caught.value.cause == b"[1 != ]"


def test_comparison_is_with_the_modified_index(tree: Tree) -> None:
    update(tree, b"/1/f", value=b"v")
    with pytest.raises(EtcdError):
        swap(tree, b"/1/f", prev_index=1)
    assert swap(tree, b"/1/f", prev_index=4).index == 5


def test_delete_of_a_file_leaves_its_parents(tree: Tree) -> None:
    event = delete(tree, b"/1/d/k")
    assert event == Event("delete", file(b"/1/d/k", None, 4, 2), file(b"/1/d/k", b"two", 2, 2), 4)
    assert get(tree, b"/1/d").node == directory(b"/1/d", 2, 2)


def test_delete_of_directories(tree: Tree) -> None:
    event = delete(tree, b"/1/e", is_dir=True)
    assert event == Event("delete", directory(b"/1/e", 4, 3), directory(b"/1/e", 3, 3), 4)
    assert delete(tree, b"/1/d", is_recursive=True).index == 5
    for gone in (b"/1/d", b"/1/d/k"):
        with pytest.raises(EtcdError) as caught:
            get(tree, gone)
        assert caught.value.cause == b"/1/d"


def test_delete_shows_the_ttl_only_of_the_previous_node(tree: Tree) -> None:
    set_(tree, b"/1/f", expiration_ns=NOW_NS + S)
    event = delete(tree, b"/1/f")
    assert (event.node.expiration_ns, event.node.ttl_s) == (None, 0)
    assert event.prev_node is not None
    assert (event.prev_node.expiration_ns, event.prev_node.ttl_s) == (NOW_NS + S, 1)
    assert not tree.has_expiring


def test_hidden_children_count_for_delete(tree: Tree) -> None:
    set_(tree, b"/1/h/_x")
    assert get(tree, b"/1/h").node.nodes is None
    with pytest.raises(EtcdError) as caught:
        delete(tree, b"/1/h", is_dir=True)
    assert caught.value.code == 108


def test_compare_and_delete_removes_a_file(tree: Tree) -> None:
    event = compare_and_delete(tree, b"/1/f", prev_value=b"one", prev_index=1)
    assert event.action == "compareAndDelete"
    assert event.node == file(b"/1/f", None, 4, 1)
    assert event.prev_node == file(b"/1/f", b"one", 1, 1)


def test_get_lists_children_and_all_below_if_recursive(tree: Tree) -> None:
    set_(tree, b"/1/_h/k")
    flat = get(tree, b"/1").node
    assert flat.nodes == [
        directory(b"/1/d", 2, 2),
        directory(b"/1/e", 3, 3),
        file(b"/1/f", b"one", 1, 1),
    ]
    deep = get(tree, b"/1", is_recursive=True).node.nodes
    assert deep is not None
    assert deep[0].nodes == [file(b"/1/d/k", b"two", 2, 2)]
    assert get(tree, b"/1/_h").node.nodes == [file(b"/1/_h/k", b"", 4, 4)]


def test_top_level_parts_are_there_from_the_start() -> None:
    tree = Tree()
    for part in (b"/0", b"/1"):
        assert get(tree, part).node == directory(part, 0, 0)
    assert tree.index == 0


# In-order children


def test_a_unique_child_is_named_by_the_new_index(tree: Tree) -> None:
    assert post(tree, b"/1/q", value=b"v").node.key == b"/1/q/00000000000000000004"
    assert post(tree, b"/1").node.key == b"/1/00000000000000000005"
    event = post(tree, b"/1/q", is_dir=True, expiration_ns=NOW_NS + S)
    assert event.action == "create"
    assert event.node == NodeView(
        b"/1/q/00000000000000000006", None, True, NOW_NS + S, 1, None, 6, 6
    )


def test_a_taken_unique_name_is_refused_until_the_index_moves(tree: Tree) -> None:
    set_(tree, b"/1/q/00000000000000000005")
    for _ in range(2):
        with pytest.raises(EtcdError) as caught:
            post(tree, b"/1/q")
        assert caught.value.args == (105, b"/1/q/00000000000000000005", 4)
    set_(tree, b"/1/other")
    assert post(tree, b"/1/q").node.key == b"/1/q/00000000000000000006"


# Expiration


@pytest.mark.parametrize("write", [set_, create, post])
def test_an_expiration_before_2000_is_none_for_what_is_new(
    tree: Tree, write: Callable[..., Event]
) -> None:
    event = write(tree, b"/1/new", expiration_ns=EXPIRATION_NS_MIN - 1)
    assert event.node.expiration_ns is None
    assert not tree.has_expiring
    event = write(tree, b"/1/new2", expiration_ns=EXPIRATION_NS_MIN)
    assert event.node.expiration_ns == EXPIRATION_NS_MIN


@pytest.mark.parametrize("write", [update, swap])
def test_an_expiration_before_2000_is_literal_for_what_stays(
    tree: Tree, write: Callable[..., Event]
) -> None:
    event = write(tree, b"/1/f", expiration_ns=-(2**63))
    assert (event.node.expiration_ns, event.node.ttl_s) == (-(2**63), -9_223_372_036)
    assert tree.expire(NOW_NS, 1)[0].node.key == b"/1/f"


@pytest.mark.parametrize("write", [update, swap])
def test_an_expiration_of_zero_is_none(tree: Tree, write: Callable[..., Event]) -> None:
    assert write(tree, b"/1/f", expiration_ns=0).node.expiration_ns is None


def test_ttl_is_computed_from_the_clock_that_is_given(tree: Tree) -> None:
    set_(tree, b"/1/f", expiration_ns=NOW_NS + 10 * S)
    for passed_ns, ttl_s in ((0, 10), (S + S // 2, 9), (10 * S, 0), (12 * S, -2)):
        assert get(tree, b"/1/f", now_ns=NOW_NS + passed_ns).node.ttl_s == ttl_s


def test_expire_removes_in_order_each_with_its_index(tree: Tree) -> None:
    for name, after_s in ((b"c", 3), (b"b", 1), (b"a", 1), (b"later", 60)):
        set_(tree, b"/1/" + name, value=name, expiration_ns=NOW_NS + after_s * S)
    assert tree.has_expiring
    assert tree.next_expiration_ns == NOW_NS + S
    assert tree.expire(NOW_NS + S - 1, 10) == []
    events = tree.expire(NOW_NS + 3 * S, 2) + tree.expire(NOW_NS + 3 * S, 2)
    assert [(event.node.key, event.index) for event in events] == [
        (b"/1/a", 8),
        (b"/1/b", 9),
        (b"/1/c", 10),
    ]
    assert events[2].action == "expire"
    assert events[2].node == file(b"/1/c", None, 10, 4)
    assert events[2].prev_node == NodeView(b"/1/c", b"c", False, NOW_NS + 3 * S, 0, None, 4, 4)
    assert tree.stats.expire_count == 3
    assert tree.next_expiration_ns == NOW_NS + 60 * S


def test_a_directory_expires_as_one_event_with_all_below(tree: Tree) -> None:
    set_(tree, b"/1/d/early", expiration_ns=NOW_NS + S)
    set_(tree, b"/1/d/late", expiration_ns=NOW_NS + 3 * S)
    set_(tree, b"/1/d/_h/late", expiration_ns=NOW_NS + 3 * S)
    update(tree, b"/1/d", expiration_ns=NOW_NS + 2 * S)
    events = tree.expire(NOW_NS + 9 * S, 10)
    assert [event.node.key for event in events] == [b"/1/d/early", b"/1/d"]
    assert events[1].node.is_dir
    assert not tree.has_expiring
    assert tree.stats.expire_count == 2


def test_a_large_directory_takes_its_expirations_along(tree: Tree) -> None:
    for number in range(200):
        set_(tree, b"/1/d/%d" % number, expiration_ns=NOW_NS + S)
    set_(tree, b"/1/dx", expiration_ns=NOW_NS + S)
    delete(tree, b"/1/d", is_recursive=True)
    assert [event.node.key for event in tree.expire(NOW_NS + S, 1000)] == [b"/1/dx"]


# Refresh


@pytest.mark.parametrize("write", [set_, update, swap])
def test_refresh_keeps_the_value_and_replaces_the_ttl(
    tree: Tree, write: Callable[..., Event]
) -> None:
    event = write(tree, b"/1/f", is_refresh=True, expiration_ns=NOW_NS + S)
    assert event.is_refresh
    assert event.index == 4
    assert event.node.value == b"one"
    assert event.node.expiration_ns == NOW_NS + S
    assert event.prev_node == file(b"/1/f", b"one", 1, 1)
    assert event.node.created_index == (4 if write is set_ else 1)


def test_refresh_of_a_directory(tree: Tree) -> None:
    event = update(tree, b"/1/d", is_refresh=True, expiration_ns=NOW_NS + S)
    assert (event.node.is_dir, event.node.value, event.node.modified_index) == (True, None, 4)
    assert get(tree, b"/1/d/k").node.value == b"two"


def test_refresh_with_dir_makes_a_file_a_directory(tree: Tree) -> None:
    event = set_(tree, b"/1/f", is_dir=True, is_refresh=True, expiration_ns=NOW_NS + S)
    assert (event.node.is_dir, event.node.value) == (True, None)


# Counters of success


def test_success_counts_once(tree: Tree) -> None:
    before = tree.stats.as_json(0)
    set_(tree, b"/1/f")
    create(tree, b"/1/n")
    post(tree, b"/1/q")
    update(tree, b"/1/f")
    swap(tree, b"/1/f")
    get(tree, b"/1/f")
    compare_and_delete(tree, b"/1/f")
    delete(tree, b"/1/n")
    names = ["sets", "create", "create", "update", "compareAndSwap", "gets"]
    for name in [*names, "compareAndDelete", "delete"]:
        before[name + "Success"] += 1
    assert tree.stats.as_json(0) == before
    assert tree.index == 10


def test_find_node_is_not_counted(tree: Tree) -> None:
    before = tree.stats.counts()
    found = tree.find_node(b"/1/f")
    assert found is not None
    assert found.value == b"one"
    assert tree.find_node(b"/1/f/x") is None
    assert tree.find_node(b"/1/none") is None
    assert tree.find_node(b"/") is tree.root
    assert tree.stats.counts() == before
