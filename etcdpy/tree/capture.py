"""Rows of a tree that goes on changing: how a snapshot is taken without holding anybody up.

Apart from `snapshot` because it is about time.  Nodes are walked as they are when their turn comes,
so the rows alone are a mixture of many indexes.  But while the walk goes on the tree keeps a
journal of its events, and of each path in it the rows then say what is there now.  That is
idempotent: whatever the walk has seen of a path that changed is corrected, and a path that did not
change was seen as it is.  So rows and changes together are exactly the tree at the last row.
"""

from collections.abc import Iterator

from etcdpy.tree.event import COMPARE_AND_DELETE, DELETE, EXPIRE, Event, NodeView
from etcdpy.tree.node import Node
from etcdpy.tree.snapshot import END, EVENT, FORMAT_VERSION, HEADER, NODE, PLACED, REMOVED, Row
from etcdpy.tree.tree import Tree

#: So few changes are left for the end, when the tree must stand still: a millisecond's.
CHANGES_LEFT_MAX = 200
#: So many events of the journal are looked at before the first row of them is told.
CHANGES_AT_ONCE_MAX = 1_000

_REMOVALS = (DELETE, COMPARE_AND_DELETE, EXPIRE)


def rows(tree: Tree) -> Iterator[Row]:
    """Yield all rows of `tree`, lazily; it must not change until the last one is taken."""
    capture = Capture(tree)
    try:
        yield capture.header()
        yield from capture.moving_rows()
        yield from capture.last_rows()
    finally:
        capture.close()


class Capture:
    """One taking of all rows.  At most one of a tree at a time; ends with `close`.

    The caller takes `moving_rows`, during which the tree may change between any two of them, then
    in one go `header` and `last_rows`; the header comes first in the snapshot.
    """

    def __init__(self, tree: Tree) -> None:
        assert tree.journal is None
        self._tree = tree
        self._journal: list[Event] = []
        tree.journal = self._journal
        self._node_count = 0
        self._change_count = 0

    @property
    def is_void(self) -> bool:
        """Whether another tree's state was put into this one: the rows so far are of neither."""
        return self._tree.journal is not self._journal

    def close(self) -> None:
        """End the journal."""
        if not self.is_void:
            self._tree.journal = None

    def moving_rows(self) -> Iterator[Row]:
        """Yield the nodes, and what changes meanwhile until little of that is left."""
        for depth, name, node in _walk(self._tree.root):
            self._node_count += 1
            value = node.value if node.children is None else None
            modified, created = node.modified_index, node.created_index
            yield (NODE, depth, name, value, modified, created, node.expiration_ns)
        while len(self._journal) > CHANGES_LEFT_MAX and not self.is_void:
            yield from self._changes()

    def header(self) -> Row:
        """Return the first row: the tree's place as it is now."""
        return (HEADER, FORMAT_VERSION, self._tree.index, self._tree.stats.counts())

    def last_rows(self) -> Iterator[Row]:
        """Yield the changes that are left, the events and the end; the tree must stand still."""
        while self._journal:
            yield from self._changes()
        history = self._tree.history
        for event in history:
            prev = None if event.prev_node is None else _flat(event.prev_node)
            yield (EVENT, event.action, _flat(event.node), prev, event.index, event.is_refresh)
        yield (END, self._node_count, self._change_count, len(history))

    def _changes(self) -> Iterator[Row]:
        """Yield what is now at each path of the journal's first events, and take them out.

        Removals come first: what a directory held before it was removed must not come back with
        it.  A directory may have been made on the way to a path, so all above it are told too.
        """
        events = self._journal[:CHANGES_AT_ONCE_MAX]
        del self._journal[:CHANGES_AT_ONCE_MAX]
        removed = {event.node.key for event in events if event.action in _REMOVALS}
        for path in sorted(removed):
            self._change_count += 1
            yield (REMOVED, path)
        directories = {b""}
        for path in sorted(_with_ancestors({event.node.key for event in events})):
            node = self._tree.find_node(path)
            # What lies in a directory that came after its turn here is in the next journal whole.
            if node is None or path[: path.rfind(b"/")] not in directories:
                continue
            value: bytes | None = node.value
            if node.children is not None:
                directories.add(path)
                value = None
            self._change_count += 1
            modified, created = node.modified_index, node.created_index
            yield (PLACED, path, value, modified, created, node.expiration_ns)


def _walk(top: Node) -> Iterator[tuple[int, bytes, Node]]:
    """Yield depth, name and node of all below `top`, parents first, while they come and go.

    Each directory's names are noted when it is entered, 8 bytes each.
    """
    opened = [(top.children or {}, iter(list(top.children or {})))]
    while opened:
        children, names = opened[-1]
        depth = len(opened)
        for name in names:
            node = children.get(name)
            if node is None:
                continue
            below = node.children  # what it is when it is told of is what counts
            yield depth, name, node
            if below:
                opened.append((below, iter(list(below))))
                break
        else:
            opened.pop()


def _with_ancestors(paths: set[bytes]) -> set[bytes]:
    """Return `paths` and all directories above them but the root."""
    found: set[bytes] = set()
    for path in paths:
        above = path
        while above and above not in found:
            found.add(above)
            above = above[: above.rfind(b"/")]
    found.discard(b"/")
    return found


def _flat(view: NodeView) -> Row:
    """Return an event's node as a row field; it has no listing."""
    assert view.nodes is None
    key, value, is_dir, expiration_ns, ttl_s, _, modified, created = view
    return (key, value, is_dir, expiration_ns, ttl_s, modified, created)
