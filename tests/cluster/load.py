"""Writers that remember what they were told: the load of the durability tests.

Each writer keeps every write that was acknowledged, with what the answer said, and every write
whose outcome nobody knows because the connection broke after it was sent.  A refused write (404,
412) is neither: it changed nothing.
"""

import http.client
import random
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.harness.client import Answer, Connection, NotSentError

SHARED_KEYS = 6
COUNTERS = 3
QUEUE = "/q"


class Action(StrEnum):
    """What a write does, and how often it is drawn."""

    SET = "set"
    CREATE = "create"
    CAS = "compareAndSwap"
    APPEND = "append"
    DELETE = "delete"


WEIGHTS = {Action.SET: 4, Action.CREATE: 2, Action.CAS: 3, Action.APPEND: 3, Action.DELETE: 1}


@dataclass(frozen=True, slots=True)
class File:
    """A key's content as the API shows it."""

    value: str
    modified: int
    created: int
    expiration: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One write that was acknowledged (`index` set) or whose outcome is unknown (`index` None)."""

    action: Action
    key: str  # for APPEND: of the child, once acknowledged; else the directory
    value: str | None  # None for DELETE
    index: int | None
    file: File | None = None  # what the acknowledgement showed; None for DELETE and unknown


def parse_file(node: dict[str, Any]) -> File:
    """Return the content that a `node` object of the API shows."""
    return File(node["value"], node["modifiedIndex"], node["createdIndex"], node.get("expiration"))


class Writer(threading.Thread):
    """One connection that writes until it breaks, which it may do once `ending` is set."""

    def __init__(self, url: str, name: str, seed: str, ending: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.writes: list[Write] = []
        self.faults: list[str] = []
        self._connection = Connection(url)
        self._random = random.Random(seed)
        self._ending = ending  # set just before the member is ended
        self._count = 0
        self._index = 0
        self._own_keys: list[str] = []

    def run(self) -> None:
        try:
            while not self.faults:
                self._write_once()
        except (NotSentError, OSError, http.client.HTTPException) as error:
            if not self._ending.is_set():
                self.faults.append(f"{self.name}: connection lost while serving: {error!r}")
        finally:
            self._connection.close()

    def _write_once(self) -> None:
        self._count += 1
        (action,) = self._random.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
        unique = f"{self.name}.{self._count}"
        if action is Action.SET:
            self._send(action, "PUT", self._shared_key(), unique, self._maybe_ttl())
        elif action is Action.CREATE:
            key = f"/c/{unique}"
            self._own_keys.append(key)
            self._send(action, "PUT", key, unique, {"prevExist": "false"})
        elif action is Action.APPEND:
            self._send(action, "POST", QUEUE, unique, {})
        elif action is Action.DELETE:
            self._send(action, "DELETE", self._key_to_delete(), None, {})
        else:
            self._increment()

    def _shared_key(self) -> str:
        return f"/s/{self._random.randrange(SHARED_KEYS)}"

    def _maybe_ttl(self) -> dict[str, str]:
        return {"ttl": "3600"} if self._random.random() < 0.2 else {}

    def _key_to_delete(self) -> str:
        if self._own_keys and self._random.random() < 0.7:
            return self._own_keys.pop(self._random.randrange(len(self._own_keys)))
        return self._shared_key()

    def _increment(self) -> None:
        key = f"/n/{self._random.randrange(COUNTERS)}"
        answer = self._connection.request("GET", f"/v2/keys{key}")
        if answer.status != 200:
            raise ConnectionError(f"GET {key}: {answer.status} {answer.body!r}")
        node = answer.json()["node"]
        following = str(int(node["value"]) + 1)
        self._send(Action.CAS, "PUT", key, following, {"prevIndex": str(node["modifiedIndex"])})

    def _send(
        self, action: Action, method: str, key: str, value: str | None, form: dict[str, str]
    ) -> None:
        body = None if value is None else {"value": value, **form}
        try:
            answer = self._connection.request(method, f"/v2/keys{key}", body)
        except (OSError, http.client.HTTPException):
            self.writes.append(Write(action, key, value, None))
            raise
        self._take(action, key, value, answer)

    def _take(self, action: Action, key: str, value: str | None, answer: Answer) -> None:
        if answer.status in (404, 412):
            return
        if answer.status not in (200, 201):
            # A member that is told to stop may say so; what becomes of the write is then unknown.
            self.writes.append(Write(action, key, value, None))
            raise ConnectionError(f"{action} {key}: {answer.status} {answer.body!r}")
        node = answer.json()["node"]
        index = int(node["modifiedIndex"])
        if not self._index < index <= answer.index:
            self.faults.append(
                f"{self.name}: {action} {key} got index {index}, header {answer.index},"
                f" after {self._index}"
            )
        self._index = index
        file = None if action is Action.DELETE else parse_file(node)
        self.writes.append(Write(action, node["key"], value, index, file))


def start_writers(url: str, count: int, seed: str, ending: threading.Event) -> list[Writer]:
    """Start `count` writers whose choices follow from `seed`; names are unique for a seed."""
    writers = [Writer(url, f"{seed}.w{i}", f"{seed}.{i}", ending) for i in range(count)]
    for writer in writers:
        writer.start()
    return writers
