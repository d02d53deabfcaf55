"""WatchHub and Watcher: who is told of which event while it happens.

The hub decides and remembers, it calls nobody: told watchers gather in `ready`, and the caller,
after each applied command, takes them and passes the word to their owners.  What an event of the
past answers is `history`'s part, with rules of its own.
Source: spec/watch.md sections 3 (live) and 5.
"""

from collections.abc import Iterator
from typing import Any

from etcdpy.tree.event import Event

PENDING_MAX = 100  # events that a slow client's watcher holds; etcd's number


class Watcher:
    """One watch.  Made by `Tree.watch`; its events are drained by `take`.

    `since` is the least index that it is told of; `start_index` the store index when it was made.
    `is_registered` says that more events may come.  `is_overflowed` says that it was dropped
    because `PENDING_MAX` events waited; those can still be taken.  `owner` is the caller's.
    """

    __slots__ = (
        "_is_in_ready",
        "_pending",
        "is_overflowed",
        "is_recursive",
        "is_registered",
        "is_stream",
        "owner",
        "path",
        "since",
        "start_index",
    )

    def __init__(
        self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int, start_index: int
    ) -> None:
        self.path = path
        self.is_recursive = is_recursive
        self.is_stream = is_stream
        self.since = since
        self.start_index = start_index
        self.is_registered = False
        self.is_overflowed = False
        self.owner: Any = None
        self._pending: list[Event] | None = None  # None while empty: most watchers only wait
        self._is_in_ready = False

    def take(self) -> list[Event]:
        """Return the events that are pending, oldest first, and forget them."""
        pending = self._pending
        self._pending = None
        return pending if pending is not None else []

    def add(self, event: Event) -> bool:
        """Hold `event` until it is taken; False when there is no room.  The tree's part."""
        if self._pending is None:
            self._pending = [event]
            return True
        if len(self._pending) >= PENDING_MAX:
            return False
        self._pending.append(event)
        return True


class WatchHub:
    """The registered watchers by path.

    `count` is their number; 0 is the writer's sign to skip the hub.  `ready` lists each watcher
    that was told something since the last `take_ready`, once.
    """

    __slots__ = ("_by_path", "count", "ready")

    def __init__(self) -> None:
        self._by_path: dict[bytes, dict[Watcher, None]] = {}  # no empty ones; in order of arrival
        self.count = 0
        self.ready: list[Watcher] = []

    @property
    def path_count(self) -> int:
        """How many different paths are watched."""
        return len(self._by_path)

    def add(self, watcher: Watcher) -> None:
        """Register `watcher`."""
        watcher.is_registered = True
        self._by_path.setdefault(watcher.path, {})[watcher] = None
        self.count += 1

    def remove(self, watcher: Watcher) -> None:
        """Forget `watcher`; harmless when it has ended already.  Its pending events stay."""
        if watcher.is_registered:
            self._forget([watcher], self._by_path[watcher.path])

    def watchers(self) -> Iterator[Watcher]:
        """Yield all registered watchers; none may come or go meanwhile."""
        for watchers in self._by_path.values():
            yield from watchers

    def take_ready(self) -> list[Watcher]:
        """Return the watchers that were told something since the last call."""
        ready = self.ready
        self.ready = []
        for watcher in ready:
            watcher._is_in_ready = False
        return ready

    def paths_below(self, prefix: bytes) -> list[bytes]:
        """Return the watched paths that begin with `prefix`."""
        return [path for path in self._by_path if path.startswith(prefix)]

    def notify_removed(self, path: bytes, event: Event) -> None:
        """Tell all watchers at `path`, whose node `event` has removed."""
        watchers = self._by_path.get(path)
        if watchers is not None:
            self._tell(watchers, event, is_everyone=True)

    def notify(self, event: Event) -> None:
        """Tell all watchers at the event's key, and the recursive ones above it.

        A watcher above is passed over when a component between its path and the key is hidden.
        """
        by_path = self._by_path
        key = event.node.key
        hidden = key.rfind(b"/_")  # the ancestors up to here do not see the key
        if hidden < 0 and b"/" in by_path:
            self._tell(by_path[b"/"], event, is_everyone=False)
        cut = key.find(b"/", max(hidden, 0) + 1)
        while cut > 0:
            watchers = by_path.get(key[:cut])
            if watchers is not None:
                self._tell(watchers, event, is_everyone=False)
            cut = key.find(b"/", cut + 1)
        watchers = by_path.get(key)
        if watchers is not None:
            self._tell(watchers, event, is_everyone=True)

    def _tell(self, watchers: dict[Watcher, None], event: Event, *, is_everyone: bool) -> None:
        """Give `event` to the watchers of one path: everyone, or only the recursive ones."""
        index = event.index
        ready = self.ready
        ended: list[Watcher] = []
        for watcher in watchers:
            if index < watcher.since or not (is_everyone or watcher.is_recursive):
                continue
            if not watcher.add(event):
                watcher.is_overflowed = True
                ended.append(watcher)
                continue
            if not watcher._is_in_ready:
                watcher._is_in_ready = True
                ready.append(watcher)
            if not watcher.is_stream:
                ended.append(watcher)
        if ended:
            self._forget(ended, watchers)

    def _forget(self, ended: list[Watcher], watchers: dict[Watcher, None]) -> None:
        """Unregister `ended`, which all are in `watchers`, the container of their path."""
        self.count -= len(ended)
        for watcher in ended:
            watcher.is_registered = False
            del watchers[watcher]
        if not watchers:
            del self._by_path[ended[0].path]
