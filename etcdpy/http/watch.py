"""Watches on the wire: from a watcher's events to one client's body, in order and within bounds.

A file of its own because its rules are about time: the head goes out once the watcher is
registered, an event is one chunk, and a client that does not read is not written for: its events
then stay in the watcher, whose own bound ends it.  A feed owns neither socket nor watcher; it is
told what happens to either.
Source: spec/watch.md sections 1 and 5.
"""

from collections.abc import Callable

from etcdpy.http import wire
from etcdpy.http.events import render_event
from etcdpy.tree.event import Event
from etcdpy.tree.watch import Watcher


class EventRenderer:
    """Renders an event once, however many watchers are told of it one after the other."""

    __slots__ = ("_body", "_event")

    def __init__(self) -> None:
        self._event: Event | None = None
        self._body = b""

    def __call__(self, event: Event) -> bytes:
        """Return the event's JSON line."""
        if event is not self._event:
            self._event = event
            self._body = render_event(event)
        return self._body


class WatchFeed:
    """One watch of one client: takes events from the watcher and writes them as body.

    `write` sends bytes; `on_end` is called once, with whether the body was ended properly (the
    connection can then be used again).  The feed is the watcher's owner: `wake` is called when
    the watcher was told something, `pause` and `resume` when the client stops and starts reading.
    """

    __slots__ = (
        "_is_chunked",
        "_is_ended",
        "_is_paused",
        "_on_end",
        "_render",
        "_write",
        "watcher",
    )

    def __init__(
        self,
        watcher: Watcher,
        render: Callable[[Event], bytes],
        write: Callable[[bytes], None],
        on_end: Callable[[bool], None],
        *,
        is_chunked: bool,
    ) -> None:
        self.watcher = watcher
        self._render = render
        self._write = write
        self._on_end = on_end
        self._is_chunked = is_chunked
        self._is_paused = False
        self._is_ended = False

    def start(self, head: bytes) -> None:
        """Send the head, and with it what is known already, if the client reads."""
        self.watcher.owner = self
        self._write(head if self._is_paused else head + self._take())
        self._end_if_done()

    def wake(self) -> None:
        """Send what the watcher was told, unless the client does not read."""
        if self._is_paused or self._is_ended:
            return
        data = self._take()
        if data:
            self._write(data)
            self._end_if_done()

    def pause(self) -> None:
        """Stop taking events: the client's socket is full."""
        self._is_paused = True

    def resume(self) -> None:
        """Take events again."""
        self._is_paused = False
        self.wake()

    def finish(self) -> None:
        """End the body properly, events or not: the client has closed its sending side."""
        if not self._is_ended:
            if self._is_chunked:
                self._write(wire.LAST_CHUNK)
            self._end(is_whole=True)

    def cut(self) -> None:
        """End without ending the body: the client is gone, or shall notice that we are."""
        if not self._is_ended:
            self._end(is_whole=False)

    def _take(self) -> bytes:
        """Return the bytes of all waiting events; a one-shot's last ones end the body."""
        events = self.watcher.take()
        if not events:
            return b""
        if self.watcher.is_stream:
            return b"".join(self._frame(event) for event in events)
        self._is_ended = True
        return self._frame(events[0]) + (wire.LAST_CHUNK if self._is_chunked else b"")

    def _frame(self, event: Event) -> bytes:
        """Return one event as it stands in the body."""
        body = self._render(event)
        return wire.chunk(body) if self._is_chunked else body

    def _end_if_done(self) -> None:
        """Tell of the end that `_take` has written."""
        if self._is_ended:
            self._end(is_whole=True)

    def _end(self, *, is_whole: bool) -> None:
        self._is_ended = True
        self.watcher.owner = None
        self._on_end(is_whole)
