"""What expires when, in an order that every member computes alike.

Ordered by (expiration, path): where two nodes expire in the same nanosecond the path decides, so a
directory goes before what is below it.  The node holds its expiration too; whoever changes one
changes the other.
"""

from collections.abc import Iterable

from sortedcontainers import SortedList


class Expiry:
    """The nodes that are not permanent."""

    __slots__ = ("_order",)

    def __init__(self, entries: Iterable[tuple[int, bytes]] = ()) -> None:
        self._order = SortedList(entries)  # (expiration_ns, path), ascending

    def __len__(self) -> int:
        return len(self._order)

    def add(self, expiration_ns: int, path: bytes) -> None:
        """Note that the node at `path` expires; it must not be noted yet."""
        self._order.add((expiration_ns, path))

    def remove(self, expiration_ns: int, path: bytes) -> None:
        """Forget the node at `path`, which was noted with this expiration."""
        self._order.remove((expiration_ns, path))

    def move(self, path: bytes, former_ns: int | None, expiration_ns: int | None) -> None:
        """Note another expiration of the node at `path`; None is none."""
        if former_ns is not None:
            self.remove(former_ns, path)
        if expiration_ns is not None:
            self.add(expiration_ns, path)

    def remove_below(self, prefix: bytes) -> None:
        """Forget all nodes whose path begins with `prefix`: one pass over everything."""
        self._order = SortedList(entry for entry in self._order if not entry[1].startswith(prefix))

    def find_due(self, now_ns: int) -> bytes | None:
        """Return the path that expires first, None when none has expired at `now_ns`."""
        if not self._order:
            return None
        expiration_ns, path = self._order[0]
        return path if expiration_ns <= now_ns else None

    @property
    def next_ns(self) -> int | None:
        """The earliest expiration, None when all nodes are permanent."""
        return self._order[0][0] if self._order else None
