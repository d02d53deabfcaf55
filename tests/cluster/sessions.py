"""Clients of a cluster under faults: each asks any member anything, and writes it all down.

They survive errors and time-outs, as clients should: what was not answered is left unknown in the
record.  Only an answer that the API does not have for such a request is a fault at once.
"""

import http.client
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from etcdpy.errors import COMPARE_FAILED, KEY_EXISTS, KEY_NOT_FOUND, RAFT_INTERNAL
from tests.cluster.record import LocalRead, Record
from tests.harness.client import Answer as HttpAnswer
from tests.harness.client import Connection, NotSentError
from tests.simulation.history import Answer, Ask, Operation, Seen

QUEUE = b"/q"
#: How long a client waits, and how often: shorter and longer than members do.
PATIENCE_S = {0.5: 5, 2.0: 4, 9.0: 1}
PAUSE_S = 0.02
REFUSALS = {KEY_NOT_FOUND: 404, COMPARE_FAILED: 412, KEY_EXISTS: 412}

WEIGHTS: dict[Ask | str, int] = {
    Ask.GET: 5,
    Ask.SET: 4,
    Ask.SWAP: 3,
    Ask.CREATE: 2,
    Ask.UPDATE: 2,
    Ask.DELETE: 1,
    Ask.COMPARE_DELETE: 1,
    "append": 2,
    "local": 4,
}


class Target(NamedTuple):
    """Where a request may go."""

    name: str
    url: str


Targets = Callable[[], Sequence[Target]]


class Session(threading.Thread):
    """One client: one request at a time, most of them to the same member."""

    def __init__(self, name: str, record: Record, targets: Targets, seed: str) -> None:
        super().__init__(name=name, daemon=True)
        self._record = record
        self._targets = targets
        self._random = random.Random(seed)
        self._count = 0
        self._target: Target | None = None
        self._connection: Connection | None = None

    def run(self) -> None:
        try:
            while not self._record.ending.wait(self._random.random() * PAUSE_S):
                self._act()
        finally:
            self._leave()

    def _act(self) -> None:
        self._choose_member()
        (what,) = self._random.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
        key = self._record.pick_key(self._random)
        if what == "local":
            self._read_locally(key)
        elif what == "append":
            value = self._unique()
            operation = self._record.call(Ask.CREATE, QUEUE + b"/" + value, value)
            self._send(operation, "POST", f"/v2/keys{QUEUE.decode()}", {"value": value.decode()})
        else:
            assert isinstance(what, Ask)
            self._ask(what, key)

    def _choose_member(self) -> None:
        if self._connection is None or self._random.random() < 0.1:
            self._leave()
            self._target = self._random.choice(self._targets())
            (patience_s,) = self._random.choices(list(PATIENCE_S), list(PATIENCE_S.values()))
            self._connection = Connection(self._target.url, patience_s)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unique(self) -> bytes:
        self._count += 1
        return f"{self.name}.{self._count}".encode()

    # What the cluster orders

    def _ask(self, ask: Ask, key: bytes) -> None:
        seen = self._record.last_seen(key)
        if seen is None and ask in (Ask.SWAP, Ask.COMPARE_DELETE):
            ask = Ask.GET
        path = f"/v2/keys{key.decode()}"
        if ask is Ask.GET:
            self._send(self._record.call(ask, key), "GET", path + "?quorum=true", None)
            return
        form: dict[str, str] = {}
        prev_value, prev_index = None, 0
        if seen is not None and ask in (Ask.SWAP, Ask.COMPARE_DELETE):
            choice = self._random.randrange(3)
            if choice != 1:
                prev_value = seen.value
                form["prevValue"] = seen.value.decode()
            if choice != 0:
                prev_index = seen.modified
                form["prevIndex"] = str(seen.modified)
        value = None if ask in (Ask.DELETE, Ask.COMPARE_DELETE) else self._unique()
        operation = self._record.call(ask, key, value, prev_value, prev_index)
        if value is None:
            query = "&".join(f"{name}={text}" for name, text in form.items())
            self._send(operation, "DELETE", f"{path}?{query}", None)
            return
        form["value"] = value.decode()
        if ask in (Ask.CREATE, Ask.UPDATE):
            form["prevExist"] = "true" if ask is Ask.UPDATE else "false"
        if self._random.random() < 0.1:
            form["ttl"] = str(self._random.randrange(1, 4))
            self._record.call(Ask.EXPIRE, key, None, value)
        self._send(operation, "PUT", path, form)

    def _send(
        self, operation: Operation, method: str, path: str, form: dict[str, str] | None
    ) -> None:
        assert self._connection is not None
        try:
            answer = self._connection.request(method, path, form)
        except NotSentError:
            self._record.withdraw(operation)
            self._leave()
        except (OSError, http.client.HTTPException):
            self._record.lose()
            self._leave()
        else:
            self._take(operation, answer)

    def _take(self, operation: Operation, answer: HttpAnswer) -> None:
        try:
            known = parse(operation, answer)
        except (ValueError, KeyError, TypeError):
            self._record.blame(f"{self._target} answered {operation} with {answer}")
            self._leave()
            return
        if known is None:
            self._record.lose()
            self._leave()
        else:
            self._record.answer(operation, known)

    # What one member shows

    def _read_locally(self, key: bytes) -> None:
        assert self._connection is not None
        assert self._target is not None
        member = self._target.name
        floor = self._record.shown_by(member)
        try:
            answer = self._connection.request("GET", f"/v2/keys{key.decode()}")
        except (NotSentError, OSError, http.client.HTTPException):
            self._record.lose()
            self._leave()
            return
        if answer.status == 200:
            node = seen_of(answer.json()["node"])
        elif answer.status == 404:
            node = None
        else:
            self._record.blame(f"{self._target} answered a plain GET with {answer}")
            return
        self._record.read_locally(LocalRead(member, key, answer.index, node), floor)


def seen_of(node: dict[str, Any]) -> Seen:
    """Return what a node of the API shows."""
    return Seen(node["value"].encode(), node["modifiedIndex"], node["createdIndex"])


def parse(operation: Operation, answer: HttpAnswer) -> Answer | None:
    """Return what the API says, None where it says that it does not know.

    Raises: ValueError, KeyError or TypeError for what it can't say to this.
    """
    body = answer.json()
    if answer.status in (200, 201):
        if operation.ask is Ask.GET:
            return Answer(0, answer.index, node=seen_of(body["node"]))
        index = int(body["node"]["modifiedIndex"])
        if operation.key.startswith(QUEUE) and body["node"]["key"] != f"/q/{index:020}":
            raise ValueError(body)
        prev = seen_of(body["prevNode"]) if "prevNode" in body else None
        node = seen_of(body["node"]) if operation.value is not None else None
        if node is not None and node.value != operation.value:
            raise ValueError(body)
        return Answer(0, index, node=node, prev=prev)
    code = int(body["errorCode"])
    if code == RAFT_INTERNAL and answer.status == 500:
        return None
    if REFUSALS.get(code) != answer.status:
        raise ValueError(body)
    return Answer(code, int(body["index"]))


def start_sessions(record: Record, targets: Targets, count: int, seed: str) -> list[Session]:
    """Start clients whose choices follow from `seed`."""
    sessions = [Session(f"s{i}", record, targets, f"{seed}.s{i}") for i in range(count)]
    for session in sessions:
        session.start()
    return sessions
