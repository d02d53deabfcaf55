"""Both ways to find what lay below a removed directory do the same."""

import pytest

from etcdpy.tree import removal
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9


@pytest.mark.parametrize("walked_nodes_min", [0, 64])
def test_expirations_go_and_watchers_are_told(
    monkeypatch: pytest.MonkeyPatch, walked_nodes_min: int
) -> None:
    monkeypatch.setattr(removal, "WALKED_NODES_MIN", walked_nodes_min)
    tree = Tree()
    for path in (b"/1/d/a", b"/1/d/b/c", b"/1/d/_h/k", b"/1/dx", b"/1/d-"):
        tree.set(path, expiration_ns=NOW_NS + 1, now_ns=NOW_NS)
    watchers = {
        path: tree.watch(path, is_recursive=False, is_stream=True, since=0)
        for path in (b"/1/d/a", b"/1/d/b", b"/1/d/_h/k", b"/1/d/none", b"/1/d/a/x", b"/1/dx")
    }
    tree.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    told = {path for path, watcher in watchers.items() if watcher.take()}
    assert told == {b"/1/d/a", b"/1/d/b", b"/1/d/_h/k"}
    assert [event.node.key for event in tree.expire(NOW_NS + 1, 9)] == [b"/1/d-", b"/1/dx"]
