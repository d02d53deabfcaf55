"""The tree as rows, and the tree from rows.

Rows are flat tuples of ints, bytes, str, bool and None (events nest one level more), so that
msgpack packs them as they are.  They come lazily, one per step, so that a caller can write them in
slices; nothing here recurses.  Their order: one header, the nodes (depth first, parents before
children), the changes that came while the nodes were walked, the events (ascending), one end row
with the counts, without which rows are incomplete.

A node's row has its depth and name, not its path: a tree of 10,000 levels would otherwise write
its names ten thousand times.  Row kinds and the format version are a disk format: a new meaning
takes a new number.  How rows are taken from a tree that goes on changing is `capture`'s.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

from etcdpy.errors import ContentError
from etcdpy.tree.event import ACTIONS, Event, NodeView
from etcdpy.tree.expiry import Expiry
from etcdpy.tree.history import EVENTS_MAX, History
from etcdpy.tree.node import Node, find_below, new_directory
from etcdpy.tree.stats import STAT_NAMES, Stats
from etcdpy.tree.tree import Tree
from etcdpy.tree.usage import KEYS_NAME

FORMAT_VERSION = 2

Row = tuple[Any, ...]

# The index and the counters go on from here, and must fit into a row again.
_COUNT_MAX = 2**62


class RowKind(IntEnum):
    """A row's first field."""

    HEADER = 0  # kind, format version, index, counters
    NODE = 1  # kind, depth, name, value (None: directory), modified, created, expiration
    EVENT = 2  # kind, action, node, prev_node, index, is_refresh
    END = 3  # kind, counts of nodes, changes and events
    REMOVED = 4  # kind, path: nothing is there, or below, any more
    PLACED = 5  # kind, path, value (None: directory), modified, created, expiration


# Plain ints: what msgpack gives back, and what is compared a million times.
HEADER, NODE, EVENT, END, REMOVED, PLACED = map(int, RowKind)
_CHANGES = (REMOVED, PLACED)
# What the row before one of that kind may be.
_BEFORE_CHANGE = (NODE, *_CHANGES)
_BEFORE_EVENT = (NODE, *_CHANGES, EVENT)


def restore(source: Iterable[Sequence[Any]]) -> Tree:
    """Return the tree whose rows `source` gives.

    Raises: ContentError when the rows are of another format version, damaged or incomplete.
    """
    restorer = Restorer()
    for row in source:
        restorer.feed(row)
    return restorer.finish()


class Restorer:
    """Takes rows one by one; for a caller that restores in slices."""

    def __init__(self) -> None:
        self._tree = Tree()
        self._tree.root = new_directory(0)
        self._usage = self._tree.usage
        self._path = [self._tree.root]  # the directories that a next node may lie in, by depth
        self._names: list[bytes] = []  # of _path, without the root's
        self._expirations: list[tuple[int, bytes]] = []
        self._events: list[Event] = []
        self._node_count = 0
        self._change_count = 0
        self._row_count = 0
        self._phase = -1  # the kind of the last row
        self._is_counted = False  # the last node belongs to what is counted as used

    def feed(self, row: Sequence[Any]) -> None:
        """Take the next row.

        Raises: ContentError when it can't be the next row of a tree.
        """
        self._row_count += 1
        try:
            kind = row[0] if row else None
            if not isinstance(kind, int) or isinstance(kind, bool):  # 1.0 and True are equal to 1
                raise self._damage(f"a row of kind {kind!r} is out of place")
            if kind == NODE and self._phase in (HEADER, NODE):
                self._add_node(row)
            elif kind == EVENT and self._phase in _BEFORE_EVENT:
                self._add_event(row)
            elif kind in _CHANGES and self._phase in _BEFORE_CHANGE:
                self._change(row)
            elif kind == HEADER and self._phase < 0:
                self._begin(row)
            elif kind == END and self._phase in _BEFORE_EVENT:
                self._check_end(row)
            else:
                raise self._damage(f"a row of kind {kind!r} is out of place")
        except (LookupError, TypeError, ValueError) as error:
            raise self._damage(str(error)) from error
        self._phase = kind

    def finish(self) -> Tree:
        """Return the restored tree.

        Raises: ContentError when rows are missing.
        """
        if self._phase != END:
            raise self._damage("the end row is missing")
        if self._change_count:
            self._forget_changed_expirations()
        self._usage.sweep(self._node_count + self._change_count)
        self._tree.expiry = Expiry(self._expirations)
        self._tree.history = History(self._events)
        return self._tree

    def _damage(self, reason: str) -> ContentError:
        return ContentError(f"snapshot of the tree is damaged at row {self._row_count}: {reason}")

    def _begin(self, row: Sequence[Any]) -> None:
        _, version, index, counts = row
        if version != FORMAT_VERSION:
            raise ContentError(
                f"snapshot of the tree has format version {version!r}, "
                f"this program reads version {FORMAT_VERSION}"
            )
        _check_ints(index, *counts)
        if len(counts) != len(STAT_NAMES):
            raise ValueError(f"{len(counts)} counters instead of {len(STAT_NAMES)}")
        if not 0 <= min(index, *counts) <= max(index, *counts) <= _COUNT_MAX:
            raise ValueError("it is counted beyond all that anybody does")
        self._tree.index = index
        self._tree.stats = Stats(*counts)

    def _add_node(self, row: Sequence[Any]) -> None:
        _, depth, name, value, modified, created, expiration_ns = row
        if type(name) is not bytes or not name or b"/" in name:
            raise ValueError(f"a node's name is {name!r}")
        if not type(depth) is type(modified) is type(created) is int:
            _check_ints(depth, modified, created)
        if not 1 <= depth <= len(self._path):
            raise ValueError(f"a node of depth {depth} has no parent")
        siblings = self._path[depth - 1].children
        assert siblings is not None
        if name in siblings:
            raise ValueError(f"the name {name!r} comes twice")
        if value is not None and type(value) is not bytes:
            raise ValueError(f"a node's value is of type {type(value).__name__}")
        if expiration_ns is not None:
            _check_ints(expiration_ns)
        node = Node(value or b"", {} if value is None else None, created, expiration_ns)
        if modified != created:  # else the two share one int object
            node.modified_index = modified
        siblings[name] = node
        self._node_count += 1
        if depth == 1:
            self._is_counted = name == KEYS_NAME
        elif self._is_counted:
            self._usage.keys += 1
            self._usage.size_bytes += len(name) + len(node.value)
        if value is None or expiration_ns is not None:
            self._enter(depth, name, node)

    def _enter(self, depth: int, name: bytes, node: Node) -> None:
        """Note a directory as the place of what follows, and an expiration with its path."""
        del self._names[depth - 1 :]
        if node.expiration_ns is not None:
            path = b"/" + b"/".join([*self._names, name])
            self._expirations.append((node.expiration_ns, path))
        del self._path[depth:]
        if node.children is not None:
            self._names.append(name)
            self._path.append(node)

    def _change(self, row: Sequence[Any]) -> None:
        """Do again what was done to the tree while its nodes were walked."""
        path = row[1]
        if type(path) is not bytes or not path.startswith(b"/"):
            raise ValueError(f"the path of a change is {path!r}")
        *above, name = path[1:].split(b"/")
        parent = find_below(self._tree.root, above)
        self._change_count += 1
        if row[0] == REMOVED:
            if parent is not None and parent.children is not None:
                self._remove(parent.children, name, above)
            return
        if parent is None or parent.children is None:
            raise ValueError(f"the node at {path!r} has no parent")
        former = parent.children.get(name)
        if row[2] is not None and former is not None and former.children is not None:
            self._remove(parent.children, name, above)  # that it was is told only later
        if above[:1] == [KEYS_NAME]:
            self._count_placed(parent.children.get(name), name, row)
        self._place(parent.children, name, row)

    def _remove(self, siblings: dict[bytes, Node], name: bytes, above: list[bytes]) -> None:
        node = siblings.pop(name, None)
        if node is not None and above[:1] == [KEYS_NAME]:
            self._usage.remove(name, node, self._tree.index)

    def _count_placed(self, former: Node | None, name: bytes, row: Sequence[Any]) -> None:
        if former is None:
            self._usage.add([name])
        else:
            self._usage.size_bytes -= len(former.value)
        self._usage.size_bytes += len(row[2] or b"")

    def _place(self, siblings: dict[bytes, Node], name: bytes, row: Sequence[Any]) -> None:
        _, path, value, modified, created, expiration_ns = row
        _check_ints(modified, created)
        if expiration_ns is not None:
            _check_ints(expiration_ns)
        if value is not None and type(value) is not bytes:
            raise ValueError(f"a node's value is of type {type(value).__name__}")
        former = siblings.get(name)
        children: dict[bytes, Node] | None = None
        if value is None:  # what lies in a directory that stays is not said again
            children = {} if former is None or former.children is None else former.children
        node = Node(value or b"", children, created, expiration_ns)
        node.modified_index = modified
        siblings[name] = node
        if expiration_ns is not None:
            self._expirations.append((expiration_ns, path))

    def _forget_changed_expirations(self) -> None:
        """Keep the expirations that nodes still have."""
        root = self._tree.root
        kept: dict[tuple[int, bytes], None] = {}
        for expiration_ns, path in self._expirations:
            node = find_below(root, path[1:].split(b"/"))
            if node is not None and node.expiration_ns == expiration_ns:
                kept[expiration_ns, path] = None
        self._expirations = list(kept)

    def _add_event(self, row: Sequence[Any]) -> None:
        _, action, node, prev_node, index, is_refresh = row
        if action not in ACTIONS:
            raise ValueError(f"an event's action is {action!r}")
        _check_ints(index)
        if self._events and index != self._events[-1].index + 1:
            raise ValueError(f"event {index} follows event {self._events[-1].index}")
        prev = None if prev_node is None else _unflat(prev_node)
        event = Event(ACTIONS[action], _unflat(node), prev, index, bool(is_refresh))
        self._events.append(event)

    def _check_end(self, row: Sequence[Any]) -> None:
        _, *counts = row
        found = [self._node_count, self._change_count, len(self._events)]
        if counts != found:
            raise ValueError(f"{found} nodes, changes and events instead of {counts}")
        event_count = len(self._events)
        if event_count > EVENTS_MAX or (event_count and self._events[-1].index != self._tree.index):
            raise ValueError(f"the events do not end at index {self._tree.index}")


def _check_ints(*values: object) -> None:
    for value in values:
        if type(value) is not int:
            raise ValueError(f"{value!r} is not a number")


def _unflat(fields: Sequence[Any]) -> NodeView:
    key, value, is_dir, expiration_ns, ttl_s, modified, created = fields
    if type(key) is not bytes or not (value is None or type(value) is bytes):
        raise ValueError("an event's key or value is not bytes")
    _check_ints(ttl_s, modified, created)
    if expiration_ns is not None:
        _check_ints(expiration_ns)
    return NodeView(key, value, bool(is_dir), expiration_ns, ttl_s, None, modified, created)
