"""Deep, wide and many: nothing recurses, and nothing takes a time that grows with its square."""

import sys

import pytest

from etcdpy.errors import EtcdError
from etcdpy.tree.capture import rows
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9
LEVELS = 10_000
DEEP = b"/1" + b"/d" * LEVELS


@pytest.fixture
def deep() -> Tree:
    tree = Tree()
    tree.set(DEEP, value=b"bottom", expiration_ns=NOW_NS + 1, now_ns=NOW_NS)
    return tree


def test_levels_are_more_than_the_interpreter_would_recurse() -> None:
    assert sys.getrecursionlimit() < LEVELS


def test_deep_get_and_recursive_get(deep: Tree) -> None:
    node = deep.get(DEEP, is_recursive=False, is_sorted=False, now_ns=NOW_NS).node
    assert node.value == b"bottom"
    node = deep.get(b"/1", is_recursive=True, is_sorted=True, now_ns=NOW_NS).node
    depth = 0
    while node.nodes is not None:
        (node,) = node.nodes
        depth += 1
    assert (depth, node.key, node.value) == (LEVELS, DEEP, b"bottom")


def test_deep_delete_tells_the_watcher_at_the_bottom(deep: Tree) -> None:
    watcher = deep.watch(DEEP, is_recursive=False, is_stream=False, since=0)
    above = deep.watch(b"/1", is_recursive=True, is_stream=False, since=0)
    deep.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    assert [event.node.key for event in watcher.take()] == [b"/1/d"]
    assert [event.node.key for event in above.take()] == [b"/1/d"]
    assert not deep.has_expiring
    with pytest.raises(EtcdError):
        deep.get(DEEP, is_recursive=False, is_sorted=False, now_ns=NOW_NS)


def test_deep_write_and_expiry_tell_the_watcher_at_the_top(deep: Tree) -> None:
    above = deep.watch(b"/1", is_recursive=True, is_stream=True, since=0)
    deep.update(DEEP, expiration_ns=NOW_NS + 1, now_ns=NOW_NS)
    deep.expire(NOW_NS + 1, 1)
    assert [event.action for event in above.take()] == ["update", "expire"]


def test_deep_snapshot_and_digest(deep: Tree) -> None:
    restored = restore(rows(deep))
    assert restored.digest() == deep.digest()
    assert restored.next_expiration_ns == NOW_NS + 1
    restored.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    assert restored.digest() != deep.digest()


def test_many_expiries_are_taken_in_limited_steps() -> None:
    tree = Tree()
    count, limit = 101_000, 10_000
    for number in range(count):
        path = b"/1/ttl/%d/%d" % (number % 100, number)
        tree.set(path, expiration_ns=NOW_NS + number % 7, now_ns=NOW_NS)
    sizes = []
    last = (0, b"")
    while tree.has_expiring:
        events = tree.expire(NOW_NS + 7, limit)
        sizes.append(len(events))
        for event in events:
            assert event.prev_node is not None
            expiration_ns = event.prev_node.expiration_ns
            assert expiration_ns is not None
            assert last < (expiration_ns, event.node.key)
            last = (expiration_ns, event.node.key)
    assert sizes == [limit] * 10 + [1000]
    assert tree.expire(NOW_NS + 7, limit) == []
    assert tree.index == 2 * count
    assert tree.stats.expire_count == count


def test_one_write_tells_ten_thousand_watchers() -> None:
    tree = Tree()
    watchers = [
        tree.watch(b"/1/a", is_recursive=False, is_stream=False, since=0) for _ in range(10_000)
    ]
    tree.set(b"/1/a", now_ns=0)
    assert tree.hub.count == 0
    assert tree.hub.take_ready() == watchers  # in the order in which they came
    assert all(len(watcher.take()) == 1 for watcher in watchers)


def test_removal_with_many_expirations_elsewhere() -> None:
    tree = Tree()
    for number in range(5000):
        path = b"/1/%s/%d" % (b"gone" if number % 2 else b"kept", number)
        tree.set(path, expiration_ns=NOW_NS + 1, now_ns=NOW_NS)
    watcher = tree.watch(b"/1/gone/4999", is_recursive=False, is_stream=False, since=0)
    missing = tree.watch(b"/1/gone/4998", is_recursive=False, is_stream=False, since=0)
    tree.delete(b"/1/gone", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    assert (len(watcher.take()), len(missing.take())) == (1, 0)
    events = tree.expire(NOW_NS + 1, 5000)
    assert len(events) == 2500
    assert all(event.node.key.startswith(b"/1/kept/") for event in events)
