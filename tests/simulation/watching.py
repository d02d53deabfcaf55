"""What a watching client must see, and the client itself: one that resumes as clients should.

The truth is the list of events by index that the members agree on (`world` checks that they do).
A session sees of it each event that matches, once and in order, from the index at which it began
to the last it could know of; a gap is allowed only where a member told it 401.
Source: spec/watch.md sections 3, 4 and 6.
"""

from collections.abc import Sequence

from etcdpy.errors import EVENT_INDEX_CLEARED, EtcdError
from etcdpy.tree.event import COMPARE_AND_DELETE, DELETE, EXPIRE, Event
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher
from tests.simulation.violation import Violation

WATCHERS = "watchers see each event once and in order"
REMOVALS = (DELETE, COMPARE_AND_DELETE, EXPIRE)


def matches(path: bytes, is_recursive: bool, event: Event) -> bool:
    """Whether a watch on `path`, which has no hidden part and no file above it, sees `event`."""
    if event.is_refresh:
        return False
    key = event.node.key
    if key == path or (is_recursive and key.startswith(path + b"/")):
        return True
    return event.action in REMOVALS and event.node.is_dir and path.startswith(key + b"/")


def is_optional(path: bytes, event: Event) -> bool:
    """Whether `event` is hidden from a watch on `path` while it happens, and not afterwards."""
    key = event.node.key
    return key.startswith(path) and b"/_" in key[len(path) :]


class Session:
    """One watching client.  `expected` is the next index that it has not seen.

    `seen` holds what it was told, `gaps` the [low, high) ranges that a 401 excused.
    """

    def __init__(self, number: int, path: bytes, *, is_recursive: bool, is_stream: bool) -> None:
        self.number = number
        self.path = path
        self.is_recursive = is_recursive
        self.is_stream = is_stream
        self.began = 0  # the first index that it must see; 0 until connected
        self.expected = 0
        self.seen: list[tuple[int, bytes]] = []  # index and key, in order of arrival
        self.gaps: list[tuple[int, int]] = []
        self.watcher: Watcher | None = None
        self._tree: Tree | None = None
        self.is_repeat_due = False  # the same removal may come twice on one stream

    def connect(self, tree: Tree) -> None:
        """Watch on `tree`, from where it stopped; a 401 is noted as a gap and started over."""
        assert self.watcher is None
        while True:
            try:
                self.watcher = tree.watch(
                    self.path,
                    is_recursive=self.is_recursive,
                    is_stream=self.is_stream,
                    since=self.expected,
                )
                break
            except EtcdError as refusal:
                if refusal.code != EVENT_INDEX_CLEARED:
                    raise
                self.gaps.append((self.expected, refusal.index + 1))
                self.expected = refusal.index + 1
        self.watcher.owner = self
        self._tree = tree
        if not self.began:
            self.began = self.expected = self.watcher.start_index + 1
        self.take()

    def wake(self) -> None:
        """Be told that there is something to take; as `owner` of a watcher."""
        self.take()

    def cut(self) -> None:
        """Be cut off, since the member can't tell it all; as `owner` of a watcher."""
        self.disconnect()

    def disconnect(self) -> None:
        """Lose the connection; what the member still held for it is lost too."""
        if self.watcher is not None and self._tree is not None:
            self._tree.unwatch(self.watcher)
        self.watcher = None
        self._tree = None

    def take(self) -> None:
        """Take what the member has for it.  Raises: Violation for what may not come now."""
        watcher = self.watcher
        if watcher is None:
            return
        for event in watcher.take():
            self._see(event)
        if not watcher.is_registered:
            self.disconnect()

    def _see(self, event: Event) -> None:
        index = event.index
        if not matches(self.path, self.is_recursive, event):
            raise Violation(WATCHERS, f"{self} was told of {event}, which is not its matter")
        is_repeat = bool(self.seen) and self.seen[-1] == (index, event.node.key)
        if is_repeat and self.is_stream and event.action in REMOVALS:
            return  # the API's own oddity: a removal comes twice to a stream at that very key
        if index < self.expected:
            raise Violation(
                WATCHERS, f"{self} was told of {event} after it had seen {self.expected - 1}"
            )
        self.seen.append((index, event.node.key))
        self.expected = index + 1

    def check(self, truth: Sequence[Event], last_index: int) -> None:
        """Compare with all events, `truth[0]` having index 1, up to `last_index`.

        Raises: Violation naming the first difference.
        """
        if not self.began:
            return
        wanted = [
            (event.index, event.node.key)
            for event in truth[self.began - 1 : last_index]
            if matches(self.path, self.is_recursive, event)
            and not is_optional(self.path, event)
            and not self._is_excused(event.index)
        ]
        seen = [
            place
            for place in self.seen
            if place[0] <= last_index and not is_optional(self.path, truth[place[0] - 1])
        ]
        if seen == wanted:
            return
        missed = [place for place in wanted if place not in seen]
        extra = [place for place in seen if place not in wanted]
        raise Violation(WATCHERS, f"{self} missed {missed[:3]}, had {extra[:3]} too many")

    def _is_excused(self, index: int) -> bool:
        return any(low <= index < high for low, high in self.gaps)

    def __str__(self) -> str:
        kind = "stream" if self.is_stream else "watch"
        return f"{kind} {self.number} of {self.path.decode()} from {self.began}"
