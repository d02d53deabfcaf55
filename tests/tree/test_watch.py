"""Who is told while it happens: spec/watch.md sections 1 to 3 (live) and 5."""

import pytest

from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import PENDING_MAX, Watcher

NOW_NS = 1_790_000_000 * 10**9


@pytest.fixture
def tree() -> Tree:
    """Hold /d with b/c, e (empty), f, hidden _h/k."""
    tree = Tree()
    for path in (b"/1/d/b/c", b"/1/d/f", b"/1/d/_h/k"):
        tree.set(path, value=b"1", now_ns=0)
    tree.set(b"/1/d/e", is_dir=True, now_ns=0)
    return tree


def watch(tree: Tree, path: bytes, how: str = "") -> Watcher:
    """Watch `path`; `how` may contain r for recursive and s for stream."""
    return tree.watch(path, is_recursive="r" in how, is_stream="s" in how, since=0)


def told(watcher: Watcher) -> int:
    return len(watcher.take())


WRITE = [
    (b"/1/d/b/c", "", 1),
    (b"/1/d/b/c", "r", 1),
    (b"/1/d/b", "", 0),
    (b"/1/d/e", "", 0),
    (b"/1/d", "", 0),
    (b"/1/d", "r", 1),
    (b"/1/d", "rs", 1),
    (b"/1", "r", 1),
    (b"/", "r", 1),
    (b"/1", "", 0),
    (b"/1/d/none", "", 0),
    (b"/1/d/b/c/x", "r", 0),
    (b"/1/dx", "r", 0),
]


@pytest.mark.parametrize(("path", "how", "times"), WRITE)
@pytest.mark.parametrize("action", ["set", "update", "compareAndSwap"])
def test_a_write_tells_its_key_and_the_recursive_above(
    tree: Tree, path: bytes, how: str, times: int, action: str
) -> None:
    watcher = watch(tree, path, how)
    if action == "set":
        tree.set(b"/1/d/b/c", now_ns=0)
    elif action == "update":
        tree.update(b"/1/d/b/c", now_ns=0)
    else:
        tree.compare_and_swap(b"/1/d/b/c", prev_value=b"1", now_ns=0)
    assert [event.action for event in watcher.take()] == [action] * times


REMOVAL = [
    (b"/1/d/b/c", "", 1),
    (b"/1/d/b/c", "s", 1),
    (b"/1/d/b", "", 1),
    (b"/1/d/e", "", 1),
    (b"/1/d/b", "rs", 1),
    (b"/1/d", "", 1),
    (b"/1/d", "s", 2),
    (b"/1/d", "rs", 2),
    (b"/1/d/_h", "", 1),
    (b"/1/d/_h/k", "r", 1),
    (b"/1", "r", 1),
    (b"/1", "rs", 1),
    (b"/1", "s", 0),
    (b"/1/d/none", "", 0),
    (b"/1/d/b/none", "r", 0),
    (b"/1/d/f/under", "", 0),
    (b"/1/dx", "r", 0),
]


@pytest.mark.parametrize("case", REMOVAL)
@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("action", ["delete", "expire"])
def test_a_removed_directory_tells_whoever_watches_what_is_gone(
    tree: Tree, case: tuple[bytes, str, int], is_large: bool, action: str
) -> None:
    path, how, times = case
    if is_large:  # too large to be walked: the watched paths are looked up instead
        for number in range(80):
            tree.set(b"/1/d/n/%d" % number, now_ns=0)
    tree.update(b"/1/d", expiration_ns=NOW_NS, now_ns=NOW_NS)
    watcher = watch(tree, path, how)
    if action == "delete":
        tree.delete(b"/1/d", is_dir=False, is_recursive=True, now_ns=NOW_NS)
    else:
        tree.expire(NOW_NS, 1)
    events = watcher.take()
    assert [event.node.key for event in events] == [b"/1/d"] * times
    for event in events:
        assert event.action == action
        assert event.node.is_dir
        assert event.prev_node is not None
        assert event.prev_node.is_dir
    assert watcher.is_registered == ("s" in how or not times)


@pytest.mark.parametrize("action", ["delete", "compareAndDelete", "expire"])
def test_a_stream_at_the_key_is_told_of_its_removal_twice(tree: Tree, action: str) -> None:
    tree.update(b"/1/d/f", value=b"1", expiration_ns=NOW_NS, now_ns=NOW_NS)
    exact, above = watch(tree, b"/1/d/f", "s"), watch(tree, b"/1/d", "rs")
    if action == "delete":
        tree.delete(b"/1/d/f", is_dir=False, is_recursive=False, now_ns=NOW_NS)
    elif action == "compareAndDelete":
        tree.compare_and_delete(b"/1/d/f", prev_value=b"1", now_ns=NOW_NS)
    else:
        tree.expire(NOW_NS, 1)
    assert [event.action for event in exact.take()] == [action, action]
    assert [event.action for event in above.take()] == [action]


@pytest.mark.parametrize(
    ("key", "path", "how", "times"),
    [
        (b"/1/h/_s/k", b"/1/h/_s/k", "", 1),
        (b"/1/h/_s/k", b"/1/h/_s", "r", 1),
        (b"/1/h/_s/k", b"/1/h", "r", 0),
        (b"/1/h/_s/k", b"/1", "r", 0),
        (b"/1/h/_s/k", b"/", "r", 0),
        (b"/1/h/_s/_t", b"/1/h/_s", "r", 0),
        (b"/1/h/_s/_t/k", b"/1/h/_s/_t", "r", 1),
        (b"/1/h/a_b", b"/1/h", "r", 1),
        (b"/1/_h", b"/1/_h", "r", 1),
        (b"/1/_h", b"/1", "r", 0),
    ],
)
def test_hidden_keys_are_kept_from_those_above(
    tree: Tree, key: bytes, path: bytes, how: str, times: int
) -> None:
    watcher = watch(tree, path, how)
    tree.set(key, now_ns=0)
    assert told(watcher) == times


def test_a_removed_hidden_directory_tells_those_inside_and_not_those_above(tree: Tree) -> None:
    inside, at, above = (
        watch(tree, b"/1/d/_h/k"),
        watch(tree, b"/1/d/_h"),
        watch(tree, b"/1/d", "r"),
    )
    tree.delete(b"/1/d/_h", is_dir=False, is_recursive=True, now_ns=0)
    assert (told(inside), told(at), told(above)) == (1, 1, 0)


def test_a_directory_watch_sees_its_own_ttl_change(tree: Tree) -> None:
    watcher = watch(tree, b"/1/d")
    tree.set(b"/1/d/new", now_ns=0)
    tree.update(b"/1/d", expiration_ns=NOW_NS, now_ns=NOW_NS)
    (event,) = watcher.take()
    assert event.action == "update"
    assert event.node.is_dir


def test_refreshes_notify_nobody(tree: Tree) -> None:
    watcher = watch(tree, b"/1", "rs")
    for write in (tree.set, tree.update, tree.compare_and_swap):
        write(b"/1/d/f", is_refresh=True, expiration_ns=NOW_NS, now_ns=NOW_NS)
    assert told(watcher) == 0


def test_implicit_parents_and_replaced_files_have_no_events(tree: Tree) -> None:
    watcher = watch(tree, b"/1", "rs")
    tree.set(b"/1/x/y/z", now_ns=0)
    tree.set(b"/1/x/y/z", now_ns=0)
    assert [event.node.key for event in watcher.take()] == [b"/1/x/y/z"] * 2


def test_events_before_since_are_skipped(tree: Tree) -> None:
    watcher = tree.watch(b"/1/d/f", is_recursive=False, is_stream=False, since=tree.index + 2)
    tree.set(b"/1/d/f", now_ns=0)
    assert told(watcher) == 0
    tree.set(b"/1/d/f", now_ns=0)
    assert [event.index for event in watcher.take()] == [6]


def test_a_one_shot_watch_ends_with_its_first_event(tree: Tree) -> None:
    watcher = watch(tree, b"/1/d/f")
    assert watcher.is_registered
    assert watcher.start_index == 4
    assert tree.hub.count == 1
    tree.set(b"/1/d/f", now_ns=0)
    tree.set(b"/1/d/f", now_ns=0)
    assert told(watcher) == 1
    assert not watcher.is_registered
    assert tree.hub.count == 0
    assert tree.hub.path_count == 0


def test_refused_writes_tell_nobody(tree: Tree) -> None:
    watcher = watch(tree, b"/1", "rs")
    with pytest.raises(Exception, match="107"):
        tree.set(b"/1", now_ns=0)
    with pytest.raises(Exception, match="108"):
        tree.delete(b"/1/d", is_dir=True, is_recursive=False, now_ns=0)
    assert told(watcher) == 0


def test_ready_lists_each_told_watcher_once_until_taken(tree: Tree) -> None:
    one, two, _ = watch(tree, b"/1", "rs"), watch(tree, b"/1/d/f"), watch(tree, b"/1/x", "r")
    assert not tree.hub.ready
    tree.set(b"/1/d/f", now_ns=0)
    tree.set(b"/1/d/f", now_ns=0)
    assert set(tree.hub.ready) == {one, two}
    assert len(tree.hub.take_ready()) == 2
    assert tree.hub.take_ready() == []
    tree.set(b"/1/d/f", now_ns=0)
    assert tree.hub.take_ready() == [one]
    assert (told(one), told(two)) == (3, 1)


def test_unwatch_is_harmless_after_the_end(tree: Tree) -> None:
    ended, waiting, neighbour = (watch(tree, b"/1/d/f"), watch(tree, b"/1/x"), watch(tree, b"/1/x"))
    tree.set(b"/1/d/f", now_ns=0)
    for watcher in (ended, waiting, waiting):
        tree.unwatch(watcher)
    assert tree.hub.count == 1
    assert told(ended) == 1
    tree.set(b"/1/x", now_ns=0)
    assert (told(waiting), told(neighbour)) == (0, 1)
    assert tree.hub.path_count == 0


def test_a_stream_that_is_not_read_is_dropped_after_a_hundred_events(tree: Tree) -> None:
    watcher = watch(tree, b"/1/d/f", "s")
    for _ in range(PENDING_MAX):
        tree.set(b"/1/d/f", now_ns=0)
    assert PENDING_MAX == 100
    assert watcher.is_registered
    tree.set(b"/1/d/f", now_ns=0)
    assert watcher.is_overflowed
    assert not watcher.is_registered
    assert tree.hub.count == 0
    tree.set(b"/1/d/f", now_ns=0)
    assert [event.index for event in watcher.take()] == list(range(5, 105))


def test_a_stream_that_is_read_goes_on(tree: Tree) -> None:
    watcher = watch(tree, b"/1/d/f", "s")
    for _ in range(3 * PENDING_MAX):
        tree.set(b"/1/d/f", now_ns=0)
        assert told(watcher) == 1
    assert not watcher.is_overflowed
    assert watcher.owner is None
