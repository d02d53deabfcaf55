"""Which events of the past answer a watch: spec/watch.md sections 2, 3 (history) and 4."""

import pytest

from etcdpy.errors import EVENT_INDEX_CLEARED, EtcdError
from etcdpy.tree.history import EVENTS_MAX
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9


@pytest.fixture
def tree() -> Tree:
    return Tree()


def found(tree: Tree, path: bytes, since: int = 1, *, is_recursive: bool = False) -> int | None:
    """Return the index of the event that answers, None if the watch waits."""
    watcher = tree.watch(path, is_recursive=is_recursive, is_stream=False, since=since)
    events = watcher.take()
    assert watcher.is_registered == (not events)
    tree.unwatch(watcher)
    return events[0].index if events else None


def test_search_goes_upward_from_since_itself(tree: Tree) -> None:
    for _ in range(3):
        tree.set(b"/1/a", now_ns=0)
    assert found(tree, b"/1/a", 2) == 2
    tree.set(b"/1/b", now_ns=0)
    assert found(tree, b"/1/b", 2) == 4
    assert found(tree, b"/1/a", 4) is None
    assert found(tree, b"/1/a", 5) is None
    assert found(tree, b"/1/a", 99) is None
    assert found(tree, b"/1/a", 2**64 - 1) is None


def test_recursive_matches_below_and_the_key_itself(tree: Tree) -> None:
    tree.set(b"/1/ab", now_ns=0)
    tree.set(b"/1/a/b", now_ns=0)
    assert found(tree, b"/1/a", is_recursive=True) == 2
    assert found(tree, b"/1/a/b", is_recursive=True) == 2
    assert found(tree, b"/1/a") is None
    assert found(tree, b"/1", is_recursive=True) == 1
    assert found(tree, b"/", is_recursive=True) == 1
    assert found(tree, b"/1") is None


def test_hidden_keys_match_in_history(tree: Tree) -> None:
    tree.set(b"/1/p/_h/k", now_ns=0)
    assert found(tree, b"/1/p", is_recursive=True) == 1
    assert found(tree, b"/1", is_recursive=True) == 1


def test_refreshes_never_match(tree: Tree) -> None:
    tree.set(b"/1/a", now_ns=0)
    tree.set(b"/1/a", is_refresh=True, expiration_ns=NOW_NS, now_ns=NOW_NS)
    tree.update(b"/1/a", is_refresh=True, expiration_ns=NOW_NS, now_ns=NOW_NS)
    assert found(tree, b"/1/a", 2) is None
    assert len(tree.history) == 3


@pytest.mark.parametrize("is_expiry", [False, True])
def test_removal_of_a_directory_matches_by_string_prefix(tree: Tree, is_expiry: bool) -> None:
    tree.set(b"/1/d", is_dir=True, expiration_ns=NOW_NS, now_ns=NOW_NS)
    if is_expiry:
        tree.expire(NOW_NS, 1)
    else:
        tree.delete(b"/1/d", is_dir=True, is_recursive=False, now_ns=NOW_NS)
    for path in (b"/1/d", b"/1/d/none", b"/1/dx", b"/1/dx/y"):
        assert found(tree, path, 2) == 2
    assert found(tree, b"/1/c", 2) is None
    assert found(tree, b"/1", 2) is None


def test_removal_of_a_file_matches_only_its_key(tree: Tree) -> None:
    for delete in (tree.delete, tree.compare_and_delete):
        tree.set(b"/1/f", now_ns=0)
        since = tree.index + 1
        if delete == tree.delete:
            tree.delete(b"/1/f", is_dir=False, is_recursive=False, now_ns=0)
        else:
            tree.compare_and_delete(b"/1/f", now_ns=0)
        assert found(tree, b"/1/f", since) == since
        assert found(tree, b"/1/f/x", since) is None
        assert found(tree, b"/1/fx", since) is None


def test_a_stream_answered_from_history_gets_one_event_and_no_more(tree: Tree) -> None:
    tree.set(b"/1/a", now_ns=0)
    tree.set(b"/1/a", now_ns=0)
    watcher = tree.watch(b"/1/a", is_recursive=False, is_stream=True, since=1)
    tree.set(b"/1/a", now_ns=0)
    assert [event.index for event in watcher.take()] == [1]
    assert tree.hub.count == 0
    assert not watcher.is_registered
    assert watcher.start_index == 2


def test_window_is_the_last_thousand_steps(tree: Tree) -> None:
    for _ in range(EVENTS_MAX):
        tree.set(b"/1/a", now_ns=0)
    assert EVENTS_MAX == 1000
    assert found(tree, b"/1/a", 1) == 1
    for _ in range(331):
        tree.set(b"/1/a", now_ns=0)
    assert tree.index == 1331
    assert found(tree, b"/1/a", 332) == 332
    with pytest.raises(EtcdError) as caught:
        tree.watch(b"/1/never", is_recursive=False, is_stream=False, since=331)
    assert caught.value.code == EVENT_INDEX_CLEARED
    assert caught.value.cause == b"the requested history has been cleared [332/331]"
    assert caught.value.index == 1331
    assert tree.hub.count == 0


def test_events_keep_the_ttl_of_their_time(tree: Tree) -> None:
    tree.set(b"/1/a", expiration_ns=NOW_NS + 9 * 10**9, now_ns=NOW_NS)
    watcher = tree.watch(b"/1/a", is_recursive=False, is_stream=False, since=1)
    assert watcher.take()[0].node.ttl_s == 9
