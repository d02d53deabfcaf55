"""A directory as it was at one index, shown little by little while the tree goes on changing.

Apart from `node` because it is about time: a listing of a million nodes takes seconds, and nobody
shall wait for it.  Nodes are walked as they are when their turn comes.  What has changed since the
picture was taken shows by its index, or by its absence; what it was before is in the notes.
"""

from collections.abc import Iterator
from heapq import merge

from etcdpy.tree.event import NodeView
from etcdpy.tree.node import Node, ttl_s, view
from etcdpy.tree.notes import Layer, Note, born
from etcdpy.tree.tree import Tree

#: So many names are sorted at once; then the runs are merged one by one.
_RUN_MAX = 2_000

_Children = dict[bytes, Node]
#: One step of a picture: a node, and whether the nodes in it follow, up to an `END`.
Row = tuple[NodeView | None, bool]
END: Row = (None, False)
#: Nothing to show, but time to look at the clock.
PAUSE: Row = (None, True)


class Picture:
    """A directory and what is visible below it, as it was when this was made.

    Take `rows`, as slowly as need be, until `is_void` tells that too much has changed meanwhile:
    what came before is right, what comes after is not.  End with `close`.
    """

    def __init__(
        self, tree: Tree, path: bytes, *, is_recursive: bool, is_sorted: bool, now_ns: int
    ) -> None:
        """Begin a picture of the directory at `path`, which is there; counted as a read."""
        top = tree.find_node(path)
        assert top is not None
        assert top.children is not None
        tree.stats.gets_success += 1
        self.index = tree.index
        self.is_void = False
        self._children = top.children
        self._shown = view(top, path, now_ns)
        self._now_ns = now_ns
        self._is_recursive = is_recursive
        self._is_sorted = is_sorted
        self._notes = tree.notes
        self._layer = tree.notes.open(self, tree.index)

    def close(self) -> None:
        """Let the tree forget what it was."""
        self._notes.close(self)

    def rows(self) -> Iterator[Row]:
        """Yield the top, then all that is shown below it, parents first."""
        index, now_ns = self.index, self._now_ns
        yield self._shown, True
        opened = [self._open(self._children, self._shown.key)]
        while opened:
            names, children, above = opened[-1]
            for name in names:
                if not name:
                    yield PAUSE
                    continue
                if name[:1] == b"_":
                    continue
                node = children.get(name)
                if node is not None and node.children is None and node.modified_index <= index:
                    yield view(node, above + b"/" + name, now_ns), False  # most are such files
                    continue
                shown, directory = self._look(node, above, name)
                if shown is None:
                    continue
                if self._is_recursive and directory is not None and directory.children is not None:
                    yield shown, True
                    opened.append(self._open(directory.children, shown.key))
                    break
                yield shown, False
            else:
                opened.pop()
                yield END

    def _open(self, children: _Children, path: bytes) -> tuple[Iterator[bytes], _Children, bytes]:
        above = b"" if path == b"/" else path
        return self._names(children, above), children, above

    def _names(self, children: _Children, above: bytes) -> Iterator[bytes]:
        """Yield the names of what is, or was, in a directory, and an empty one to pause at."""
        names = list(children)
        names.extend({name: None for name in self._noted_names(above) if name not in children})
        if not self._is_sorted or len(names) < 2:
            yield from names
            return
        runs = []
        for start in range(0, len(names), _RUN_MAX):
            runs.append(sorted(names[start : start + _RUN_MAX]))
            yield b""
        yield from merge(*runs)

    def _noted_names(self, above: bytes) -> Iterator[bytes]:
        for layer in self._layers():
            yield from layer.directories.get(above, ())

    def _look(
        self, node: Node | None, above: bytes, name: bytes
    ) -> tuple[NodeView | None, Node | None]:
        """Return what was at a name where now `node` is, as it is shown and itself.

        `node` is a directory, or has changed since.  Of a file only the first is of interest.
        """
        note = self._find(above, name)
        if note is None:
            if node is None or node.modified_index > self.index:
                return None, None  # it was not there yet
            return view(node, above + b"/" + name, self._now_ns), node
        was = note.view
        shown = was._replace(ttl_s=ttl_s(was.expiration_ns, self._now_ns))
        if was.is_dir and note.directory is None:  # only its time to live is another
            return shown, node
        return shown, note.directory

    def _find(self, above: bytes, name: bytes) -> Note | None:
        """Return what was at a place, None if nothing of this picture's time is noted."""
        found: Note | None = None
        for layer in self._layers():
            note = layer.find(above, name)
            if note is None:
                continue
            if found is None:
                if born(note.view) > self.index:
                    return None
                found = note
            elif note.view.created_index == found.view.created_index:
                found = Note(found.view, note.directory)
            if found.directory is not None or not found.view.is_dir:
                return found
        return found

    def _layers(self) -> Iterator[Layer]:
        layer: Layer | None = self._layer
        while layer is not None:
            yield layer
            layer = layer.next
