"""Watching clients of a cluster under faults: they resume as clients should, and keep all they see.

A stream that finds its first event in the history gives that one and no more, and one that is too
slow is dropped in silence, as in etcd.  So who wants a stream polls until it is told of something
that happened while it waited, and gives a stream up after a while without events; it goes on from
the first index that it has not seen.
Source: spec/watch.md sections 3, 4 and 6.
"""

import http.client
import json
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.cluster.record import Record
from tests.cluster.sessions import Target, Targets
from tests.harness.client import Answer, Connection, NotSentError

#: How long a watch may be silent before the client asks again.
IDLE_S = 3.0
RETRY_S = 0.05
#: The index steps that every member's history reaches back.
HISTORY_COUNT = 1000
REMOVALS = ("delete", "compareAndDelete", "expire")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as any member tells it; indexes are those of the node."""

    index: int
    created: int
    action: str
    key: str
    value: str | None
    replaced: int  # modifiedIndex of what was there, 0 if nothing was


def parse_event(body: dict[str, Any]) -> Event:
    """Return the event that an object of the API is.  Raises: KeyError if it is none."""
    node, before = body["node"], body.get("prevNode", {})
    return Event(
        node["modifiedIndex"],
        node["createdIndex"],
        body["action"],
        node["key"],
        node.get("value"),
        before.get("modifiedIndex", 0),
    )


class Watch(threading.Thread):
    """One client that watches a path, from the first moment that a member has it registered.

    `seen` holds what it was told, `gaps` the [low, high) ranges that a 401 excused; `expected` is
    the first index that it has not seen, 0 until it was registered once.
    """

    def __init__(
        self,
        name: str,
        record: Record,
        targets: Targets,
        path: str,
        *,
        is_recursive: bool,
        is_stream: bool,
        seed: str,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.path = path
        self.is_recursive = is_recursive
        self.is_stream = is_stream
        self.began = 0
        self.expected = 0
        self.seen: list[Event] = []
        self.gaps: list[tuple[int, int]] = []
        self.ending = threading.Event()
        self._is_behind = False  # there may be events after `expected` in the history
        self._record = record
        self._targets = targets
        self._random = random.Random(seed)

    def run(self) -> None:
        while not self.ending.wait(RETRY_S * self._random.random()):
            target = self._random.choice(self._targets())
            self._is_behind = self.expected > 0
            with Connection(target.url, IDLE_S) as connection:
                try:
                    while not self.ending.is_set() and self._watch_once(target, connection):
                        pass
                except (NotSentError, OSError, http.client.HTTPException):
                    pass

    def matches(self, key: str) -> bool:
        """Tell whether an event at `key` is for this watch."""
        return key == self.path or (self.is_recursive and key.startswith(self.path + "/"))

    def has_seen(self, index: int) -> bool:
        """Tell whether it was told of everything up to `index`."""
        return self.expected > index

    def _watch_once(self, target: Target, connection: Connection) -> bool:
        """Ask once and take what comes; tell whether the connection can be used again."""
        query = ["wait=true"]
        if self.is_recursive:
            query.append("recursive=true")
        streams = self.is_stream and not self._is_behind
        if streams:
            query.append("stream=true")
        if self.expected:
            query.append(f"waitIndex={self.expected}")
        response = connection.open("GET", f"/v2/keys{self.path}?{'&'.join(query)}")
        start = int(response.getheader("X-Etcd-Index", "0"))
        if response.status != 200:
            self._take_refusal(target, Answer(response.status, {}, response.read()))
            return True
        if not self.expected:
            self.began = self.expected = start + 1
        if not streams:
            return self._take_one(response, start)
        while (event := self._read_event(response)) is not None:
            self._see(event)
            if event.index <= start or self.ending.is_set():
                break
        return False

    def _take_one(self, response: http.client.HTTPResponse, start: int) -> bool:
        event = self._read_event(response)
        if event is None:
            return False
        self._see(event)
        self._is_behind = event.index <= start
        return not response.read()

    def _read_event(self, response: http.client.HTTPResponse) -> Event | None:
        """Return the next event, None where the body ends."""
        line = response.readline()
        if not line.endswith(b"\n"):
            return None
        return parse_event(json.loads(line))

    def _see(self, event: Event) -> None:
        is_repeat = bool(self.seen) and self.seen[-1] == event
        if is_repeat and self.is_stream and event.action in REMOVALS:
            return  # the API's own oddity: a removal comes twice to a stream at that very key
        if not self.matches(event.key):
            self._record.blame(f"{self} was told of {event}, which is not its matter")
        if event.index < self.expected:
            self._record.blame(f"{self} was told of {event}, it had asked for {self.expected}")
            return
        self.seen.append(event)
        self.expected = event.index + 1

    def _take_refusal(self, target: Target, answer: Answer) -> None:
        body = answer.json()
        if answer.status != 400 or body.get("errorCode") != 401:
            self._record.blame(f"{self} was refused by {target}: {answer}")
            self.ending.wait(1)
            return
        index = int(body["index"])
        if index - self.expected < HISTORY_COUNT:
            self._record.blame(f"{self} at {self.expected} was refused by {target}: {body}")
        self.gaps.append((self.expected, index + 1))
        self.expected = index + 1

    def __str__(self) -> str:
        kind = "stream" if self.is_stream else "watch"
        return f"{kind} {self.name} of {self.path} from {self.began}"


def start_watches(record: Record, targets: Targets, names: Sequence[str], seed: str) -> list[Watch]:
    """Start watches that go from member to member, and one stream that stays at each of `names`."""
    watches = [
        Watch(
            f"w{i}",
            record,
            targets,
            path,
            is_recursive=True,
            is_stream=is_stream,
            seed=f"{seed}.w{i}",
        )
        for i, (path, is_stream) in enumerate(
            [("/k", False), ("/k", True), ("/q", False), ("/q", True)]
        )
    ]
    watches += [
        Watch(
            f"w-{name}",
            record,
            _only(targets, name),
            "/k",
            is_recursive=True,
            is_stream=True,
            seed=f"{seed}.{name}",
        )
        for name in names
    ]
    for watch in watches:
        watch.start()
    return watches


def _only(targets: Targets, name: str) -> Targets:
    """Return the one member's address; anybody's once it has left the cluster."""

    def chosen() -> Sequence[Target]:
        everybody = targets()
        return [target for target in everybody if target.name == name] or everybody

    return chosen
