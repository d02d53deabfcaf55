"""What the tree was before: noted of each of its events while a picture of it is open.

Apart from `picture`, which reads it, because the tree itself writes it.  Notes lie in layers, one
for each picture, and only the newest is written to: taking a picture begins a new one.  So a write
costs the same however many pictures are open.  What a picture looks for is in its own layer or, if
it changed only later, in the next one that has it.
"""

from typing import NamedTuple, Protocol

from etcdpy.tree.event import Event, NodeView
from etcdpy.tree.node import Node

#: What a note takes without the value, and the nodes of a removed directory that wait with it.
NOTE_BYTES = 250
#: What is kept at once before the oldest picture is given up.
NOTES_BYTES_MAX = 1_000_000 * NOTE_BYTES


class Reader(Protocol):
    """A picture, as the notes see it."""

    is_void: bool


class Note(NamedTuple):
    """What was in a place before: how it is shown, and of a directory that is gone itself."""

    view: NodeView
    directory: Node | None


def born(shown: NodeView) -> int:
    """Return the index from which on a node was as it is shown."""
    return max(shown.created_index, shown.modified_index)


class Layer:
    """What was replaced between one picture and the next: the first replacement of each place."""

    __slots__ = ("directories", "index", "next")

    def __init__(self, index: int) -> None:
        self.index = index  # of the tree when the layer begins
        self.directories: dict[bytes, dict[bytes, Note]] = {}  # by path, by name
        self.next: Layer | None = None

    def add(self, event: Event, removed: Node | None) -> bool:
        """Note what `event` has replaced, `removed` if it was a directory; tells if that is new."""
        prev = event.prev_node
        if prev is None or born(prev) > self.index:
            return False  # it came after the picture, or is in the notes already
        above, _, name = prev.key.rpartition(b"/")
        notes = self.directories.setdefault(above, {})
        known = notes.get(name)
        if known is None:
            notes[name] = Note(prev, removed)
        elif removed is not None:  # its time to live was changed before
            notes[name] = Note(known.view, removed)
        return known is None

    def find(self, above: bytes, name: bytes) -> Note | None:
        """Return what is noted of a place."""
        notes = self.directories.get(above)
        return None if notes is None else notes.get(name)


class Notes:
    """The notes for the open pictures of one tree.

    `is_wanted` is the writer's sign that there are any.
    """

    __slots__ = ("_newest", "_noted_bytes", "_open", "is_wanted")

    def __init__(self) -> None:
        self.is_wanted = False
        # To its index, and to what was noted before it; oldest first.
        self._open: dict[Reader, tuple[int, int]] = {}
        self._newest = Layer(0)
        self._noted_bytes = 0

    def open(self, picture: Reader, index: int) -> Layer:
        """Begin a picture of the tree at `index`; returns its first layer."""
        layer = Layer(index)
        self._newest.next = layer
        self._newest = layer
        self._open[picture] = index, self._noted_bytes
        self.is_wanted = True
        return layer

    @property
    def oldest_index(self) -> int | None:
        """Where the tree was when the oldest open picture was taken, None without one."""
        return next(iter(self._open.values()))[0] if self._open else None

    def close(self, picture: Reader) -> None:
        """End a picture; harmless when it has ended already."""
        self._open.pop(picture, None)
        if not self._open:
            self.is_wanted = False
            self._newest = Layer(0)

    def add(self, event: Event, removed: Node | None) -> None:
        """Remember what `event` has replaced, and `removed`, the node that it has taken away."""
        if removed is not None and removed.children is None:
            removed = None
        if self._newest.add(event, removed):
            assert event.prev_node is not None
            self._noted_bytes += NOTE_BYTES + len(event.prev_node.value or b"")
        if removed is not None and removed.children:  # they are kept, be they shown or not
            self._noted_bytes += NOTE_BYTES * len(removed.children)
        oldest, (_, before_bytes) = next(iter(self._open.items()))
        if self._noted_bytes - before_bytes > NOTES_BYTES_MAX:
            oldest.is_void = True
            self.close(oldest)
