"""How much clients keep in the tree: how many nodes, and how many bytes these hold.

A file of its own because it is counted while the tree changes, for a quota and for metrics, and is
no part of what is replicated: members whose trees are equal count the same.  Every operation adds
or takes away what it changes.  What lay below a removed directory takes as long to count as it took
to write, and long to free: beyond a few nodes it is debris, which the owner has swept in slices.
"""

from collections import deque

from etcdpy.tree.node import Node
from etcdpy.tree.notes import Notes
from etcdpy.tree.paths import KEYS_PART

#: The first name of the paths that are counted: what the cluster keeps for itself is not.
KEYS_NAME = KEYS_PART[1:]

#: What a removed directory held is counted at once up to so many nodes: 0.1 ms.
SWEPT_AT_ONCE = 256

# Behind the index of any picture.
_UNTIL_NONE_IS_OPEN = 1 << 64


class Usage:
    """What the nodes below `KEYS_PART` take.

    `keys` are files and directories; `size_bytes` are the bytes of their names, each by itself,
    and of their values.  Debris counts until it is swept, for which it waits until no picture is
    open that was taken before it was removed.
    """

    __slots__ = ("_debris", "_former", "_notes", "_shown", "keys", "size_bytes")

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.keys = 0
        self.size_bytes = 0
        self._debris: list[dict[bytes, Node]] = []  # children of nodes that are gone
        # The same with the index of their removal, oldest first: pictures may show them.
        self._shown: deque[tuple[int, dict[bytes, Node]]] = deque()
        self._former: Usage | None = None  # of a tree that is gone, until it is swept

    @property
    def has_debris(self) -> bool:
        """Whether `sweep` has something to do."""
        return bool(self._debris or self._shown) or self._former is not None

    def replace(self, former: "Usage", root: Node) -> None:
        """Take the place of `former`, of another tree, whose nodes are debris that counts nowhere.

        The first call of `sweep` is the owner's: nothing is freed here.
        """
        former._shown.append((_UNTIL_NONE_IS_OPEN, root.children or {}))
        self._former = former

    def add(self, names: list[bytes]) -> None:
        """Count new nodes, which hold nothing yet."""
        self.keys += len(names)
        self.size_bytes += sum(map(len, names))

    def remove(self, name: bytes, node: Node, index: int) -> None:
        """Take away a node, and all that is below it, which is nobody else's any more.

        `index` is that of its removal.
        """
        self.keys -= 1
        self.size_bytes -= len(name) + len(node.value)
        if node.children:
            self._shown.append((index, node.children))
            self.sweep(SWEPT_AT_ONCE)

    def sweep(self, nodes_max: int) -> None:
        """Count, and free, at most so many nodes of the debris that no picture can show."""
        if self._former is not None:
            self._former.sweep(nodes_max)
            if not self._former.has_debris:
                self._former = None
        oldest_index = self._notes.oldest_index
        shown, debris = self._shown, self._debris
        while shown and (oldest_index is None or shown[0][0] <= oldest_index):
            debris.append(shown.popleft()[1])
        left = nodes_max
        while debris and left > 0:
            children = debris.pop()
            count = min(len(children), left)
            left -= count
            self.keys -= count
            size_bytes = 0
            for _ in range(count):
                name, node = children.popitem()
                size_bytes += len(name) + len(node.value)
                if node.children:
                    debris.append(node.children)
            self.size_bytes -= size_bytes
            if children:
                debris.append(children)
