"""A watch that many share: the events that one upstream watch was told, and who is told of them.

A file of its own because it is the rule by which a watcher sees each event once and in order, or is
cut so that it comes back and asks: pure, without sockets or time.  It knows every event from `low`
on, up to what upstream has told so far, and a watcher only has a position in that history.  What is
older than `low` may be known to another one that ends here (`absorb`).
Source: spec/watch.md sections 1 to 4.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from etcdpy.http import wire

#: As many events as a member remembers, and no more than so many bytes of them.
EVENTS_MAX = 1000
HISTORY_BYTES_MAX = 256 * 1024


class Told:
    """One event as it stands in a body, made once for all watchers."""

    __slots__ = ("chunk", "index", "last")

    def __init__(self, index: int, body: bytes) -> None:
        self.index = index
        self.chunk = wire.chunk(body)
        self.last = self.chunk + wire.LAST_CHUNK  # where the body ends with it


class Watcher(Protocol):
    """A client's watch.  It was told, or does not want, all that is below its `position`."""

    position: int
    is_stream: bool
    is_paused: bool
    home: "SharedWatch | None"

    def tell(self, events: Sequence[Told]) -> None:
        """Take events in order; one that is no stream takes one, and is done with that."""

    def cut(self) -> None:
        """Hear that events may be missing from now on."""


class SharedWatch:
    """The history of one upstream watch, and its watchers.

    Invariant: all events with `low <= index < next` are in the history, ascending.
    """

    def __init__(self, start_index: int) -> None:
        """Upstream tells all events after `start_index`."""
        self.low = self.next = start_index + 1
        self._indexes: list[int] = []
        self._events: list[Told] = []
        self._bytes = 0
        self._watchers: dict[Watcher, None] = {}

    def __len__(self) -> int:
        """Return how many watchers there are."""
        return len(self._watchers)

    def covers(self, position: int) -> bool:
        """Tell whether a watcher from there on misses nothing here."""
        return position >= self.low

    def add(self, index: int, body: bytes) -> int:
        """Take an event that upstream tells, and tell it; return how many were told.

        One that upstream tells twice counts once.
        """
        if index < self.next:
            return 0
        event = Told(index, body)
        self.next = index + 1
        self._indexes.append(index)
        self._events.append(event)
        self._bytes += len(event.chunk)
        told = self._tell_all(event)
        self._trim()
        return told

    def join(self, watcher: Watcher) -> None:
        """Take a watcher whose position is covered; it is told at once what is known already."""
        assert self.covers(watcher.position)
        self._watchers[watcher] = None
        watcher.home = self
        if not watcher.is_paused:
            self._catch_up(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.pop(watcher, None)
        watcher.home = None

    def resume(self, watcher: Watcher) -> None:
        """Tell a watcher that takes events again what it was not told; cut it if that is gone."""
        if self.covers(watcher.position):
            self._catch_up(watcher)
        else:
            self.leave(watcher)
            watcher.cut()

    def absorb(self, older: "SharedWatch") -> None:
        """Take over the history and the watchers of one that knows all up to where this begins."""
        if older.low < self.low:
            end = bisect_left(older._indexes, self.low)
            self._indexes[:0] = older._indexes[:end]
            self._events[:0] = older._events[:end]
            self._bytes = sum(len(event.chunk) for event in self._events)
            self.low = older.low
        watchers, older._watchers = older._watchers, {}
        for watcher in watchers:
            self.join(watcher)
        self._trim()

    def cut(self) -> int:
        """Cut all watchers, for events may be missing; return how many there were."""
        watchers, self._watchers = self._watchers, {}
        for watcher in watchers:
            watcher.home = None
            watcher.cut()
        return len(watchers)

    def _tell_all(self, event: Told) -> int:
        watchers, self._watchers = self._watchers, {}  # whoever is told may join again meanwhile
        staying: dict[Watcher, None] = {}
        told, events = 0, (event,)
        for watcher in watchers:
            if watcher.position > event.index or watcher.is_paused:
                staying[watcher] = None
                continue
            watcher.position = event.index + 1
            told += 1
            if watcher.is_stream:
                staying[watcher] = None
            else:
                watcher.home = None
            watcher.tell(events)
        self._watchers = {**staying, **self._watchers}
        return told

    def _catch_up(self, watcher: Watcher) -> None:
        """Tell what is in the history from the watcher's position on."""
        at = bisect_left(self._indexes, watcher.position)
        if at == len(self._indexes):
            return
        if watcher.is_stream:
            events = self._events[at:]
        else:
            events = self._events[at : at + 1]
            self.leave(watcher)
        watcher.position = events[-1].index + 1
        watcher.tell(events)

    def _trim(self) -> None:
        """Forget the oldest events that are too many."""
        gone = max(0, len(self._events) - EVENTS_MAX)
        size = self._bytes - sum(len(event.chunk) for event in self._events[:gone])
        while size > HISTORY_BYTES_MAX:
            size -= len(self._events[gone].chunk)
            gone += 1
        if gone:
            self.low = self._indexes[gone - 1] + 1
            del self._indexes[:gone], self._events[:gone]
            self._bytes = size
