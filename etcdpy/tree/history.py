"""The last 1000 events, and the search of them that answers a watch with a waitIndex.

Each step of the store index is exactly one event, refreshes included, so the events' indexes have
no gaps and the newest event's index is the store index.
Source: spec/watch.md sections 3 (history) and 4.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from etcdpy.errors import EVENT_INDEX_CLEARED, EtcdError
from etcdpy.tree.event import DELETE, EXPIRE, Event
from etcdpy.tree.paths import below

EVENTS_MAX = 1000  # index steps that etcd keeps; clients rely on the window


class History:
    """A ring of events, ascending by index without gaps."""

    __slots__ = ("_events", "append")

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: deque[Event] = deque(events, maxlen=EVENTS_MAX)
        self.append = self._events.append  # the ring's own method: one call less per write

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def scan(self, path: bytes, *, is_recursive: bool, since: int, index: int) -> Event | None:
        """Return the first event with an index of at least `since` that a watch on `path` sees.

        `index` is the store index.  The rules are wider than those of live events: hidden keys
        match, and the removal of a directory matches by string prefix, without regard to where
        a component ends.

        Raises: EtcdError 401 when `since` is older than the oldest event kept.
        """
        oldest = index - len(self._events) + 1
        if since < oldest:
            cause = b"the requested history has been cleared [%d/%d]" % (oldest, since)
            raise EtcdError(EVENT_INDEX_CLEARED, cause, index)
        if since > index:
            return None
        prefix = below(path) if is_recursive else None
        for event in islice(self._events, since - oldest, None):
            if not event.is_refresh and _matches(event, path, prefix):
                return event
        return None


def _matches(event: Event, path: bytes, prefix: bytes | None) -> bool:
    key = event.node.key
    if key == path or (prefix is not None and key.startswith(prefix)):
        return True
    is_directory_gone = event.action in (DELETE, EXPIRE) and event.node.is_dir
    return is_directory_gone and path.startswith(key)
