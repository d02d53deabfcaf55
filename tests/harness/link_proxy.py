"""The process between members: `python -m tests.harness.link_proxy SEED`, one listener per member.

A process of its own, so that a loaded cluster does not wait for the test that loads it.  Commands
come as JSON lines on standard input, each is answered by a line; it ends with its input.  Who
dials is read from `X-Server-From` in the first request of a connection, which etcd and etcdpy both
send; what has no such header is nobody's (`""`).

A rule is for an ordered pair (from, to), and it is that of the member that *speaks* on the
connection: in etcdpy the one that dialled, as in etcd's POSTs; but etcd's `GET /raft/stream/...`
asks for the other one's messages, so there the pair is (listener, dialler).  All bytes of a
connection obey its pair's rule in both directions, because TCP's own acknowledgements would be
lost with them.  Messages that the accepting side of an etcdpy stream says there also obey the cut
of their own pair: they stall while the connection goes on, or reset it, after which the next ones
are taken for those of an older release, on which only the dialling side speaks.
"""

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import uvloop

from tests.harness.answers import Answers

HEAD_BYTES_MAX = 16 << 10
#: Bytes that wait in one direction before the side that sends them is not read any more.
WAITING_BYTES_MAX = 1 << 20
#: What a lost packet costs before TCP sends it again: Linux's least time-out.
RETRANSMISSION_S = 0.2
ANYBODY = ""  # the name of who has not said who it is

_SENDER = re.compile(rb"\r\nx-server-from: *([0-9a-f]+)\r\n", re.IGNORECASE)
_TWO_WAY_STREAM = re.compile(rb"GET /raft/stream/etcdpy/")
_PROTOCOLS = re.compile(rb"(?<=\r\nX-Etcdpy-Protocols: )[^\r]*", re.IGNORECASE)
_ETCD_STREAM = re.compile(rb"GET /raft/stream/(?:message|msgapp)/")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing resets


class Cut(StrEnum):
    """How a link is cut."""

    RESET = "reset"  # connections are reset, new ones as soon as they say who dials
    STALL = "stall"  # nothing passes, nobody is told; what waits goes on when the link is healed


@dataclass(frozen=True, slots=True)
class Rule:
    """What one member's words to another suffer."""

    cut: Cut | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0  # up to so much more, without reordering
    bytes_s: int = 0  # 0: unlimited
    loss: float = 0.0  # the chance of a piece to come late by a retransmission
    reset: float = 0.0  # the chance of a piece to reset its connection


CLEAR = Rule()
Pair = tuple[str, str]  # names: who speaks, to whom


class Pipe:
    """One direction of a connection: bytes that wait for their time."""

    def __init__(self, link: "Link", source: asyncio.Transport, sink: asyncio.Transport) -> None:
        self._link = link
        self._source = source
        self._sink = sink
        self._waiting: deque[tuple[float, bytes]] = deque()  # due times ascend
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_sink_full = False
        self._is_paused = False
        self._has_ended = False

    def take(self, data: bytes) -> None:
        """Pass `data` on, now or later."""
        if self._sink.is_closing() or not data:
            return
        rule = self._link.rule
        if rule is CLEAR and not self._waiting:
            self._sink.write(data)
            return
        proxy = self._link.proxy
        if rule.reset and proxy.random.random() < rule.reset:
            self._link.reset()
            return
        due = proxy.loop.time() + rule.delay_s + proxy.random.random() * rule.jitter_s
        if rule.loss and proxy.random.random() < rule.loss:
            due += RETRANSMISSION_S
        if self._waiting:
            due = max(due, self._waiting[-1][0])
        if rule.bytes_s:
            due += len(data) / rule.bytes_s
        self._waiting.append((due, data))
        self._waiting_bytes += len(data)
        self.run()

    def end(self) -> None:
        """Close the other side once all has been passed on."""
        self._has_ended = True
        self.run()

    def set_full(self, is_full: bool) -> None:
        """Note whether the sink wants to be left alone."""
        self._is_sink_full = is_full
        self._throttle()

    def run(self) -> None:
        """Pass on what is due, unless the link is cut."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sink.is_closing():
            self._waiting.clear()
        elif self._link.rule.cut is None:
            loop = self._link.proxy.loop
            now = loop.time()
            while self._waiting and self._waiting[0][0] <= now:
                _, data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._sink.write(data)
            if self._waiting:
                self._timer = loop.call_at(self._waiting[0][0], self.run)
            elif self._has_ended:
                self._sink.close()
        self._throttle()

    def _throttle(self) -> None:
        wants_pause = self._is_sink_full or self._waiting_bytes > WAITING_BYTES_MAX
        if wants_pause == self._is_paused or self._source.is_closing():
            return
        self._is_paused = wants_pause
        if wants_pause:
            self._source.pause_reading()
        else:
            self._source.resume_reading()


class Link:
    """One connection from a member to another: two pipes under one rule."""

    def __init__(
        self, proxy: "Proxy", dialler: asyncio.Transport, listener: str, port: int
    ) -> None:
        self.proxy = proxy
        self.listener = listener
        self.port = port
        self.rule = CLEAR
        self._dialler = dialler
        self._target: asyncio.Transport | None = None
        self._forth: Pipe | None = None
        self._back: Pipe | None = None
        self._head = b""  # what waits for a connection to the listener's member
        self._is_known = False  # the first head is here
        self._is_connecting = False
        self._sender_id = ""
        self._is_reversed = False  # who dialled listens, and the other one speaks
        self._answers: Answers | None = None  # of a stream on which both speak

    def dialler_said(self, data: bytes) -> None:
        """Take bytes from who dialled."""
        if self._forth is not None:
            self._forth.take(data)
            return
        self._head += data
        if self._is_known:
            return
        if b"\r\n\r\n" in self._head or len(self._head) > HEAD_BYTES_MAX:
            found = _SENDER.search(self._head)
            self._sender_id = found.group(1).decode().lower() if found else ""
            self._is_reversed = _ETCD_STREAM.match(self._head) is not None
            if _TWO_WAY_STREAM.match(self._head):
                self._answers = Answers()
            self._is_known = True
            self.obey()

    def obey(self) -> None:
        """Look up the rule and obey it from now on."""
        if not self._is_known:
            return
        name = self.proxy.name_of(self._sender_id)
        pair = (self.listener, name) if self._is_reversed else (name, self.listener)
        self.rule = self.proxy.rule(pair)
        cut = self.rule.cut
        if cut is Cut.RESET:
            self.reset()
        elif self._forth is not None and self._back is not None:
            self._forth.run()
            self._back.run()
            if self._answers is not None and self._cut_of_answers is None:
                self._back.take(self._answers.release())
        elif cut is None and not self._is_connecting:
            self._is_connecting = True
            if self._cut_of_answers is Cut.RESET:
                self._head = _PROTOCOLS.sub(b"1", self._head)
            self.proxy.connect(self)

    def connected(self, target: asyncio.Transport) -> None:
        """Begin to forward: the listener's member has accepted."""
        if self._dialler.is_closing():
            target.abort()
            return
        self._target = target
        self._forth = Pipe(self, self._dialler, target)
        self._back = Pipe(self, target, self._dialler)
        head, self._head = self._head, b""
        self._forth.take(head)

    def target_said(self, data: bytes) -> None:
        """Take bytes from who was dialled."""
        if self._back is None:
            return
        if self._answers is not None:
            cut, count = self._cut_of_answers, self._answers.message_count
            data = self._answers.take(data, is_held=cut is Cut.STALL)
            if cut is Cut.RESET and self._answers.message_count > count:
                self.reset()
                return
        self._back.take(data)

    @property
    def _cut_of_answers(self) -> Cut | None:
        """What is done to what the listener says to who dialled."""
        return self.proxy.rule((self.listener, self.proxy.name_of(self._sender_id))).cut

    def set_full(self, is_full: bool, *, is_target: bool) -> None:
        """Note that a side does not take more, or does again."""
        pipe = self._forth if is_target else self._back
        if pipe is not None:
            pipe.set_full(is_full)

    def dialler_ended(self) -> None:
        """Tell the member that was dialled, after all that was said before."""
        if self._forth is not None:
            self._forth.end()
        self._forget()

    def target_ended(self) -> None:
        """Tell the member that dialled, after all that was said before."""
        if self._back is not None:
            self._back.end()
        self._forget()

    def reset(self) -> None:
        """End it as a reset does."""
        for transport in (self._dialler, self._target):
            if transport is not None and not transport.is_closing():
                sock: socket.socket = transport.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                transport.abort()
        self._forget()

    def _forget(self) -> None:
        target = self._target
        if self._dialler.is_closing() and (target is None or target.is_closing()):
            self.proxy.links.discard(self)


class _Dialler(asyncio.Protocol):
    """The side of a link that has dialled."""

    def __init__(self, proxy: "Proxy", listener: str, port: int) -> None:
        self._proxy = proxy
        self._listener = listener
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._link = Link(self._proxy, transport, self._listener, self._port)
        self._proxy.links.add(self._link)

    def data_received(self, data: bytes) -> None:
        self._link.dialler_said(data)

    def pause_writing(self) -> None:
        self._link.set_full(True, is_target=False)

    def resume_writing(self) -> None:
        self._link.set_full(False, is_target=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.dialler_ended()


class _Target(asyncio.Protocol):
    """The side of a link that the proxy has dialled."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._link.connected(transport)

    def data_received(self, data: bytes) -> None:
        self._link.target_said(data)

    def pause_writing(self) -> None:
        self._link.set_full(True, is_target=True)

    def resume_writing(self) -> None:
        self._link.set_full(False, is_target=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.target_ended()


class Proxy:
    """All listeners, links and rules, and the commands that change them."""

    def __init__(self, seed: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.random = random.Random(seed)
        self.links: set[Link] = set()
        self._rules: dict[Pair, Rule] = {}
        self._names: dict[str, str] = {}  # by hex id
        self._targets: dict[str, int] = {}  # ports by name
        self._servers: dict[int, asyncio.Server] = {}  # by port
        self._dialling: set[asyncio.Task[None]] = set()

    def rule(self, pair: Pair) -> Rule:
        """Return the rule of a pair."""
        return self._rules.get(pair, CLEAR)

    def name_of(self, member_id: str) -> str:
        """Return the name of a member, `ANYBODY` for a stranger."""
        return self._names.get(member_id, ANYBODY)

    def connect(self, link: Link) -> None:
        """Dial the member behind a listener for a link that may pass."""
        task = self.loop.create_task(self._connect(link))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, link: Link) -> None:
        port = self._targets[link.listener]
        try:
            await self.loop.create_connection(lambda: _Target(link), "127.0.0.1", port)
        except OSError:
            link.reset()

    async def obey(self, command: dict[str, Any]) -> None:
        """Carry out one command.  Raises: OSError when a port is taken."""
        does: dict[str, Callable[..., Any]] = {
            "listen": self._listen,
            "close": self._close,
            "identify": self._identify,
            "rules": self._set_rules,
        }
        result = does[command.pop("do")](**command)
        if result is not None:
            await result

    async def _listen(self, name: str, port: int, target: int) -> None:
        """Listen for the peers of a member; on further ports as well."""
        self._servers[port] = await self.loop.create_server(
            lambda: _Dialler(self, name, port), "127.0.0.1", port
        )
        self._targets[name] = target

    def _close(self, port: int) -> None:
        """Listen there no more, and reset what came that way."""
        self._servers.pop(port).close()
        for link in list(self.links):
            if link.port == port:
                link.reset()

    def _identify(self, name: str, member_id: str) -> None:
        """Say whose id one is; links of it that are there already are put under its rules."""
        self._names[member_id] = name
        for link in list(self.links):
            link.obey()

    def _set_rules(self, rules: list[tuple[str, str, dict[str, Any]]]) -> None:
        """Replace all rules."""
        self._rules = {}
        for sender, to, fields in rules:
            cut = fields.pop("cut")
            self._rules[sender, to] = Rule(cut=None if cut is None else Cut(cut), **fields)
        for link in list(self.links):
            link.obey()


async def serve(seed: str) -> None:
    """Obey the commands on standard input until it ends."""
    proxy = Proxy(seed)
    reader = asyncio.StreamReader(limit=1 << 20)
    await proxy.loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    while line := await reader.readline():
        answer = {"error": ""}
        try:
            await proxy.obey(json.loads(line))
        except OSError as error:
            answer["error"] = str(error) or repr(error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
