"""Random requests, the same to a fresh etcdpy and a fresh etcd, until an answer differs.

    python -m tests.conformance.differential --seed 7 --steps 2000

Where the recordings hold what somebody thought of, this holds what nobody did.  `Generator` makes
requests from a seed and from the store index of the last answer, over few keys, so that requests
meet each other's effects; `Duel` sends each to both servers and compares what comes back, to the
byte but for what `comparable` takes out.  Watches are opened between the requests, and what they
delivered is compared when they are closed.  Nodes that expire soon are waited for, so that no
answer depends on when a tick came.  Every request is right HTTP: its edges have tables of cases.
"""

import argparse
import json
import random
import re
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.conformance.side_by_side import Pair, running_pair
from tests.harness.process import Member

T = TypeVar("T")

DEADLINE_S = 20.0
#: How long an open watch must be silent to have nothing more to say.
QUIET_S = 0.15
#: Both members' expirations and remaining seconds may be this far apart: they are asked in turn.
SLACK_S = 3

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


# ---- what is asked


class Ask(NamedTuple):
    """One request on the connection that all share; the head without framing, and the body."""

    method: str
    target: bytes
    headers: bytes = b""
    body: bytes | None = None

    def encode(self) -> bytes:
        head = b"%b %b HTTP/1.1\r\nHost: x\r\n%b" % (
            self.method.encode(),
            self.target,
            self.headers,
        )
        if self.body is not None and b"Transfer-Encoding" not in self.headers:
            head += b"Content-Length: %d\r\n" % len(self.body)
        return head + b"\r\n" + (self.body or b"")


class Open(NamedTuple):
    """A watch on a connection of its own."""

    target: bytes


class Close(NamedTuple):
    """Compare what the watch opened as number `position` of those still open has delivered."""

    position: int


class Settle(NamedTuple):
    """Wait until what expires within seconds has expired on both."""


Step = Ask | Open | Close | Settle

NAMES = (b"a", b"b", b"aa", b"d", b"_h", b"%C3%A9", b"x%20y", b"10", b"9", b"a%2Fb", b"%FF", b"%3C")
NAME_WEIGHTS = (30, 25, 15, 10, 10, 2, 2, 3, 3, 2, 2, 2)
ODD_PATHS = (
    b"/v2/keys//a",
    b"/v2/keys/a//b",
    b"/v2/keys/a/../b",
    b"/v2/keys/./a",
    b"/v2/keys/a/%2e%2e/b",
    b"/v2/keys/../members",
    b"/v2/keys/%2Fa",
    b"/v2/keysx",
    b"/v2/key%73/a",
    b"/V2/keys/a",
    b"http://h/v2/keys/a",
    b"/v2/keys/a/...",
    b"/v2/keys/a%00b",
    b"/v2/keys/%zz",
    b"/v2/keys/(a)'*!",
    b"/v2/keys/a;b",
    b"/v2/keys/a/b/",
    b"/v2/keys/a+b",
    b"/v2/keys/%E2%80%A8",
)
VALUES = (b"1", b"2", b"3", b"", b"%22%5C", b"%3C%26%3E", b"%E2%80%A8", b"%FF%00", b"a+b", b"%0A")
PREV_VALUES = (b"1", b"2", b"3", b"1", b"2", b"3", b"")
LONG_VALUES_BYTES = (1900, 2048, 5000, 70_000)
BOOLS = (b"true", b"true", b"true", b"false", b"1", b"0", b"T")
TRUE = (b"true", b"1", b"T")
BAD_BOOLS = (b"", b"yes", b"tRUE", b"%20true", b"2")
BAD_NUMBERS = (b"x", b"-1", b"%2B1", b"1.0", b"18446744073709551616", b"0x1", b"%201")
TTLS = (b"1000", b"5000", b"01000", b"4294967296", b"7000000000", b"8000000000", b"")
SHORT_TTLS = (b"0", b"1", b"300000000000", b"18446744073709551615", b"9223372037")
MEDIA_TYPES = (
    b"",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n",
    b"Content-Type: APPLICATION/X-WWW-FORM-URLENCODED;\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Type: foo bar\r\n",
    b"Content-Type: ;\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n",
)
FACES = {
    b"/version": 3,
    b"/health": 1,
    b"/v2/machines": 2,
    b"/v2/members": 2,
    b"/v2/members/leader": 1,
    b"/v2/stats/self": 1,
    b"/v2/stats/leader": 1,
    b"/v2/stats/store": 1,
}
READ_METHODS = {"GET": 12, "HEAD": 3, "OPTIONS": 1, "PATCH": 1, "TRACE": 1}
KEY_METHODS = {"PUT": 90, "POST": 16, "GET": 50, "DELETE": 32, "HEAD": 10, "PATCH": 1}

#: How often a parameter is given, once and then again: rarely where it means nothing.
ODD_CHANCES = dict.fromkeys(
    (
        b"value",
        b"ttl",
        b"dir",
        b"prevExist",
        b"prevValue",
        b"prevIndex",
        b"refresh",
        b"noValueOnSuccess",
        b"recursive",
        b"sorted",
        b"quorum",
        b"stream",
        b"waitIndex",
    ),
    0.02,
)
WRITE_CHANCES = {
    b"value": 0.7,
    b"ttl": 0.15,
    b"dir": 0.15,
    b"noValueOnSuccess": 0.05,
    b"prevExist": 0.25,
    b"prevValue": 0.12,
    b"prevIndex": 0.12,
    b"refresh": 0.07,
}
DELETE_CHANCES = {b"recursive": 0.3, b"dir": 0.25, b"prevValue": 0.15, b"prevIndex": 0.15}
READ_CHANCES = {b"recursive": 0.4, b"sorted": 0.5, b"quorum": 0.15}
WATCH_CHANCES = {
    b"recursive": 0.5,
    b"stream": 0.4,
    b"waitIndex": 0.5,
    b"sorted": 0.05,
    b"quorum": 0.02,
    b"ttl": 0.02,
    b"prevValue": 0.01,
    b"refresh": 0.01,
}
AGAIN_CHANCE = 0.04
OPEN_WATCHES_MAX = 12


def is_short(text: bytes) -> bool:
    """Tell whether a `ttl` may end within seconds, or has ended when it begins."""
    number = int(text) if text.isdigit() else 100
    if number >= 2**64:
        return False
    wrapped = (number * 10**9 + time.time_ns() + 2**63) % 2**64 - 2**63
    return wrapped < time.time_ns() + 60 * 10**9


class Generator:
    """Makes the next step from a seed and the newest store index."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._open = 0
        self._owed: list[Step] = []

    def next(self, index: int) -> Step:
        """Return a step; `index` is the store index in the last answer."""
        if self._owed:
            return self._owed.pop(0)
        chance = self._random.random()
        if chance < 0.12 and self._open < OPEN_WATCHES_MAX:
            self._open += 1
            return self._watch(index)
        if chance < 0.14 and self._open:
            self._open -= 1
            return Close(self._random.randrange(self._open + 1))
        if chance < 0.16:
            return Ask(self._weighted(READ_METHODS), self._weighted(FACES))
        return self._request(index)

    def _weighted(self, weights: dict[T, int]) -> T:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _path(self, *, is_watched: bool = False) -> bytes:
        chance = self._random.random()
        if is_watched and chance > 0.6:
            return b"/v2/keys/" + self._random.choice((b"", *NAMES[:3]))
        if chance < 0.05:
            return self._random.choice(ODD_PATHS)
        if chance < 0.08:
            return self._random.choice((b"/v2/keys", b"/v2/keys/"))
        depth = self._random.choices((1, 2, 3, 4), (40, 35, 18, 7))[0]
        names = self._random.choices(NAMES, NAME_WEIGHTS, k=depth)
        return b"/v2/keys/" + b"/".join(names) + (b"/" if self._random.random() < 0.05 else b"")

    def _bool(self) -> bytes:
        return self._random.choice(BOOLS if self._random.random() < 0.97 else BAD_BOOLS)

    def _number(self, index: int) -> bytes:
        chance = self._random.random()
        if chance < 0.03:
            return self._random.choice(BAD_NUMBERS)
        if chance < 0.1:
            return b"0"
        return b"%d" % max(1, index + 1 - int(self._random.expovariate(0.15)))

    def _old(self, index: int) -> bytes:
        chance = self._random.random()
        if chance < 0.03:
            return self._random.choice(BAD_NUMBERS)
        if chance < 0.25:
            return b"%d" % self._random.randrange(max(1, index - 1010), index + 6)
        if chance < 0.45:
            return b"%d" % (index + self._random.randrange(1, 8))
        return b"%d" % max(0, index + 3 - int(self._random.expovariate(0.05)))

    def _joined(self, pairs: list[tuple[bytes, bytes]]) -> bytes:
        self._random.shuffle(pairs)
        text = b"&".join(
            name if not value and self._random.random() < 0.3 else name + b"=" + value
            for name, value in pairs
        )
        if self._random.random() < 0.01:
            text += self._random.choice((b";", b"&%zz=1", b"&&", b"&=x", b"&value=%", b"%"))
        return text

    def _some(self, chances: dict[bytes, float], index: int) -> list[tuple[bytes, bytes]]:
        pairs = []
        for name, first_chance in chances.items():
            chance = first_chance
            while self._random.random() < chance:
                pairs.append((name, self._value_of(name, index)))
                chance = AGAIN_CHANCE
        return pairs

    def _value_of(self, name: bytes, index: int) -> bytes:
        pick = self._random.choice
        chance = self._random.random()
        if name == b"value":
            return pick(VALUES) if chance < 0.98 else b"v" * pick(LONG_VALUES_BYTES)
        if name == b"prevValue":
            return pick(PREV_VALUES)
        if name == b"ttl":
            return pick(BAD_NUMBERS if chance < 0.04 else SHORT_TTLS if chance < 0.06 else TTLS)
        if name == b"prevIndex":
            return self._number(index)
        return self._old(index) if name == b"waitIndex" else self._bool()

    def _watch(self, index: int) -> Open:
        pairs = [(b"wait", b"true"), *self._some(WATCH_CHANCES, index)]
        return Open(self._path(is_watched=True) + b"?" + self._joined(pairs))

    def _request(self, index: int) -> Ask:
        verb = self._weighted(KEY_METHODS)
        usual = {"PUT": WRITE_CHANCES, "POST": WRITE_CHANCES, "DELETE": DELETE_CHANCES}
        chances = ODD_CHANCES | usual.get(verb, READ_CHANCES)
        pairs = self._some(chances, index)
        if verb != "GET" and self._random.random() < 0.01:
            pairs.append((b"wait", self._bool()))
        if self._random.random() < 0.02:
            pairs.append((self._random.choice((b"TTL", b"pretty", b"x", b"", b"prevvalue")), b"1"))
        ask = self._placed(verb, pairs)
        if any(name == b"ttl" and is_short(value) for name, value in pairs):
            self._owed.append(Settle())
        return ask

    def _placed(self, verb: str, pairs: list[tuple[bytes, bytes]]) -> Ask:
        """Put parameters into query and body, mostly where clients put them."""
        path = self._path()
        has_form = verb in ("PUT", "POST") or self._random.random() < 0.02
        in_query = [pair for pair in pairs if not has_form or self._random.random() < 0.2]
        in_body = [pair for pair in pairs if pair not in in_query]
        query = self._joined(in_query)
        if query or self._random.random() < 0.01:
            path += b"?" + query
        if not has_form:
            return Ask(verb, path)
        headers = FORM if self._random.random() < 0.96 else self._random.choice(MEDIA_TYPES)
        body = self._joined(in_body)
        is_read = headers == FORM and verb in ("PUT", "POST")
        if body and is_read and path.partition(b"?")[0] not in ODD_PATHS:
            headers += b"Expect: 100-continue\r\n" if self._random.random() < 0.02 else b""
        if self._random.random() < 0.04:
            middle = len(body) // 2
            parts = [part for part in (body[:middle], body[middle:]) if part]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            headers += b"Transfer-Encoding: chunked\r\n"
            return Ask(verb, path, headers, chunks + b"0\r\n\r\n")
        return Ask(verb, path, headers, body)


# ---- what comes back


class Reply(NamedTuple):
    """One response, or the part of it that has come."""

    head: bytes
    body: bytes
    is_ended: bool = True

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1]) if self.head else 0

    def field(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b": ")
            if found == name:
                return value
        return None


class Stream:
    """A connection that is read as bytes come."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._data = b""

    def close(self) -> None:
        self.sock.close()

    def read(self, method: str, *, is_watch: bool = False) -> Reply:
        """Read one response; of a watch that goes on only its head.

        That a 100 came before it stands in its head.
        """
        head = self._read_head()
        reply = Reply(head, b"")
        if method == "HEAD":
            return reply
        if reply.field(b"Transfer-Encoding") == b"chunked":
            if is_watch:
                return Reply(head, b"", is_ended=False)
            return Reply(head, b"".join(iter(self._read_chunk, b"")))
        length = reply.field(b"Content-Length")
        if length is None:
            return Reply(head, self._rest())
        return Reply(head, self._exactly(int(length)))

    def _read_head(self) -> bytes:
        head = self._until(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            return self._until(b"\r\n\r\n") + b"\r\nContinued: yes"
        return head

    def _read_chunk(self) -> bytes:
        size = int(self._until(b"\r\n"), 16)
        return self._exactly(size + 2)[:-2]

    def read_chunks(self, quiet_s: float) -> tuple[list[bytes], bool]:
        """Return the chunks that come until there is silence, and whether the body ended."""
        chunks: list[bytes] = []
        self.sock.settimeout(quiet_s)
        try:
            while True:
                chunks.append(self._read_chunk())
                if not chunks[-1]:
                    return chunks[:-1], True
        except TimeoutError:
            if self._data:
                chunks.append(b"PARTIAL " + self._data)
            return chunks, False

    def _fill(self) -> None:
        part = self.sock.recv(1 << 18)
        if not part:
            raise ConnectionError(f"closed after {self._data!r}")
        self._data += part

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            self._fill()
        found, _, self._data = self._data.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._fill()
        found, self._data = self._data[:size], self._data[size:]
        return found

    def _rest(self) -> bytes:
        found, self._data = self._data, b""
        while part := self.sock.recv(1 << 18):
            found += part
        return found


_EXPIRATION = re.compile(rb'"expiration":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{0,8}[1-9])?Z"')
_VARYING_HEADERS = (b"Date", b"X-Etcd-Cluster-Id", b"X-Raft-Index", b"X-Raft-Term")
_SORTED = re.compile(rb"[?&]sorted=([^&]*)")
_TTL = re.compile(rb'"ttl":(-?\d+)')


class Comparable(NamedTuple):
    """What must be equal, and the numbers that may be a little apart."""

    head: tuple[bytes, ...]
    body: Any
    moments: tuple[float, ...]

    def is_like(self, other: "Comparable") -> bool:
        return (
            self.head == other.head
            and self.body == other.body
            and len(self.moments) == len(other.moments)
            and all(
                abs(mine - its) <= SLACK_S
                for mine, its in zip(self.moments, other.moments, strict=True)
            )
        )


def comparable(reply: Reply, *, is_sorted: bool, has_length: bool = True) -> Comparable:
    """Return a response without date, ids, raft's numbers, and the order that is arbitrary."""
    body, moments = reply.body, []
    for match in _EXPIRATION.finditer(body):
        moments.append(time.mktime(time.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S")))
    moments += [float(match[1]) for match in _TTL.finditer(body)]
    body = _TTL.sub(b'"ttl":0', _EXPIRATION.sub(b'"expiration":"T"', body))
    first, *lines = reply.head.split(b"\r\n")
    kept = [first]
    for line in sorted(lines):
        name, _, value = line.partition(b": ")
        if name in _VARYING_HEADERS:
            kept.append(name)
        elif name != b"Content-Length" or (has_length and not moments):
            kept.append(name + b": " + value)
    if not is_sorted and body.count(b'"key"') > 1:
        return Comparable(tuple(kept), (_in_order(body), sorted(body)), tuple(sorted(moments)))
    return Comparable(tuple(kept), body, tuple(moments))


def _in_order(body: bytes) -> str:
    """Return a body with its nodes in an order of our own, fields in theirs."""

    def canonical(pairs: list[tuple[str, Any]]) -> str:
        parts = []
        for name, value in pairs:
            text = sorted(value) if isinstance(value, list) else value
            parts.append(f"{name!r}={text!r}")
        return "{" + ",".join(parts) + "}"

    lines = [json.loads(line, object_pairs_hook=canonical) for line in body.splitlines()]
    return "\n".join(map(str, lines))


# ---- the duel


class DifferenceError(AssertionError):
    """The two answered otherwise; the text has all steps that led there."""


@dataclass
class Both:
    """The same connection to either, ours first."""

    step: Step
    streams: list[Stream]
    replies: list[Reply] = field(default_factory=list)


class Duel:
    """Sends each step to both and compares."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._members: tuple[Member, Member] = (pair.etcdpy, pair.etcd)
        self._main = [Stream(member.client_port) for member in self._members]
        self._watches: list[Both] = []
        self._raft: list[int | None] = [None, None]
        self._has_ttl = False
        self.index = pair.etcdpy.request("GET", "/v2/keys/").index
        self._stats = [self._read_stats(member) for member in self._members]
        self.steps: list[Step] = []

    def close(self) -> None:
        for stream in [*self._main, *(s for watch in self._watches for s in watch.streams)]:
            stream.close()

    def do(self, step: Step) -> None:
        """Do one step on both.  Raises: DifferenceError."""
        self.steps.append(step)
        if isinstance(step, Ask):
            self._ask(step)
        elif isinstance(step, Open):
            self._open(step)
        elif isinstance(step, Close):
            if self._watches:
                self._close(self._watches.pop(step.position % len(self._watches)))
        else:
            self._settle()

    def finish(self) -> None:
        """Compare what all open watches have delivered, and the counters."""
        while self._watches:
            self._close(self._watches.pop(0))
        end = time.monotonic() + 3
        while True:
            now = [self._read_stats(member) for member in self._members]
            moved = [
                {name: new[name] - old[name] for name in new}
                for old, new in zip(self._stats, now, strict=True)
            ]
            if moved[0] == moved[1]:
                return
            if time.monotonic() > end:
                raise self._differs("counters", moved[0], moved[1])
            time.sleep(0.1)

    def _ask(self, step: Ask) -> None:
        data = step.encode()
        replies = []
        for number, member in enumerate(self._members):
            stream = self._main[number]
            stream.sock.sendall(data)
            try:
                reply = stream.read(step.method)
            except (ConnectionError, TimeoutError) as error:
                reply = Reply(b"HTTP/1.1 0 " + str(error).encode() + b"\r\nConnection: close", b"")
            replies.append(reply)
            if reply.field(b"Connection") == b"close":
                stream.close()
                self._main[number] = Stream(member.client_port)
        self._compare(step, replies)

    def _compare(self, step: Ask | Open, replies: list[Reply]) -> None:
        path = step.target.partition(b"?")[0]
        if path in FACES:
            if path == b"/v2/stats/store" and replies[0].body.startswith(b"{"):
                return  # the counters are compared at the end
            texts = [
                self._pair.shown(member, path.decode(), reply.head + b"\r\n\r\n" + reply.body)
                for member, reply in zip(self._members, replies, strict=True)
            ]
            if texts[0] != texts[1]:
                raise self._differs("face", texts[0], texts[1])
            return
        first = _SORTED.search(step.target)
        is_sorted = first is not None and first[1] in TRUE
        is_head = isinstance(step, Ask) and step.method == "HEAD"
        has_length = not (is_head and self._has_ttl)
        ours, theirs = (
            comparable(reply, is_sorted=is_sorted, has_length=has_length) for reply in replies
        )
        if not ours.is_like(theirs):
            raise self._differs("answer", replies[0], replies[1])
        self._follow(step, replies)

    def _follow(self, step: Ask | Open, replies: list[Reply]) -> None:
        """Take the store index; compare how far raft's has moved, where only we move it."""
        index = replies[0].field(b"X-Etcd-Index")
        if index and index != b"0":
            self.index = int(index)
        body = step.body or b"" if isinstance(step, Ask) else b""
        self._has_ttl = self._has_ttl or b"ttl=" in step.target + b"&" + body
        raft = [reply.field(b"X-Raft-Index") for reply in replies]
        if b"quorum=" in step.target or self._has_ttl:
            self._raft = [None, None]
        elif raft[0] is not None and raft[1] is not None:
            now = [int(raft[0]), int(raft[1])]
            if self._raft[0] is not None and self._raft[1] is not None:
                moved = [now[0] - self._raft[0], now[1] - self._raft[1]]
                if moved[0] != moved[1]:
                    raise self._differs("raft index", moved[0], moved[1])
            self._raft = [*now]

    def _open(self, step: Open) -> None:
        both = Both(step, [Stream(member.client_port) for member in self._members])
        data = Ask("GET", step.target).encode()
        for stream in both.streams:
            stream.sock.sendall(data)
            both.replies.append(stream.read("GET", is_watch=True))
        if both.replies[0].is_ended != both.replies[1].is_ended:
            raise self._differs("watch head", both.replies[0], both.replies[1])
        self._compare(step, both.replies)
        if both.replies[0].is_ended:
            for stream in both.streams:
                stream.close()
        else:
            self._watches.append(both)

    def _close(self, both: Both) -> None:
        """Compare what a watch has delivered, chunk by chunk, and how it ended."""
        assert isinstance(both.step, Open)
        found = []
        for stream, quiet_s in zip(both.streams, (QUIET_S, 0.05), strict=True):
            chunks, is_ended = stream.read_chunks(quiet_s)
            shown = [comparable(Reply(b"", chunk), is_sorted=False) for chunk in chunks]
            found.append((shown, is_ended, chunks))
            stream.close()
        ours, theirs = found
        is_alike = ours[1] == theirs[1] and len(ours[0]) == len(theirs[0])
        if not is_alike or not all(
            mine.is_like(its) for mine, its in zip(ours[0], theirs[0], strict=True)
        ):
            raise self._differs(f"delivered to {both.step}", ours[1:], theirs[1:])

    def _settle(self) -> None:
        """Wait until nothing is due: both have had two ticks after the last of the short TTLs."""
        time.sleep(1.0)
        end = time.monotonic() + 5
        quiet_since = time.monotonic()
        before: list[int] = []
        while time.monotonic() < end:
            now = [self._read_stats(member)["expireCount"] for member in self._members]
            if now != before:
                before, quiet_since = now, time.monotonic()
            elif now[0] == now[1] and time.monotonic() - quiet_since > 0.7:
                return
            time.sleep(0.1)
        raise self._differs("expired", before[0], before[1])

    def _read_stats(self, member: Member) -> dict[str, int]:
        stats: dict[str, int] = member.request("GET", "/v2/stats/store").json()
        return stats

    def _differs(self, what: str, ours: object, theirs: object) -> DifferenceError:
        last = "\n".join(f"  {step}"[:400] for step in self.steps[-12:])
        return DifferenceError(
            f"step {len(self.steps)}: {what}\nlast steps:\n{last}\n"
            f"ours:   {ours!r:.6000}\ntheirs: {theirs!r:.6000}"
        )


def run(pair: Pair, seed: int, step_count: int) -> None:
    """Send the steps of a seed to fresh members.  Raises: DifferenceError."""
    duel, generator = Duel(pair), Generator(seed)
    try:
        for _ in range(step_count):
            duel.do(generator.next(duel.index))
        duel.finish()
    finally:
        duel.close()


def main() -> int:
    """Run seeds and print what differs; return how many did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as directory, running_pair(Path(directory)) as pair:
            began_s = time.monotonic()
            try:
                run(pair, seed, arguments.steps)
                print(f"seed {seed}: alike, {time.monotonic() - began_s:.1f} s", flush=True)
            except DifferenceError as difference:
                failed += 1
                print(f"seed {seed}: {difference}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
