"""Many watches that wait on one key: what each costs, and how long until the last one is told."""

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator

from benchmarks import throughput
from benchmarks.memory import pss_bytes
from benchmarks.samples import Sample
from benchmarks.throughput import Case
from tests.harness.process import Member

KEY = "/v2/keys/watched"
DEADLINE_S = 60.0
CONNECTIONS = 64  # of the load beside idle watches
BATCH = 200  # connections opened at a time, below the usual accept backlog


class Crowd:
    """Keep-alive connections on which one watch at a time waits."""

    def __init__(self, member: Member, count: int, *, is_told_at_once: bool = True) -> None:
        """`is_told_at_once` says that a watch is answered with a head as soon as it waits."""
        self._is_told_at_once = is_told_at_once
        self._request = f"GET {KEY}?wait=true HTTP/1.1\r\nHost: {member.client_url[7:]}\r\n\r\n"
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        for start in range(0, count, BATCH):
            opened = [
                socket.create_connection(("127.0.0.1", member.client_port), DEADLINE_S)
                for _ in range(min(BATCH, count - start))
            ]
            for one in opened:
                self._selector.register(one, selectors.EVENT_READ)
            self._sockets += opened
            self._wait_on(opened)

    def _wait_on(self, sockets: list[socket.socket]) -> None:
        for one in sockets:
            one.sendall(self._request.encode())
        if self._is_told_at_once:
            self._receive(sockets, b"\r\n\r\n")

    def wait_again(self) -> None:
        """Send a watch on every connection; returns when all are registered, if they are told."""
        for start in range(0, len(self._sockets), BATCH):
            self._wait_on(self._sockets[start : start + BATCH])

    def receive_all(self) -> None:
        """Return when every watch has its event and its end."""
        self._receive(self._sockets, b"0\r\n\r\n" if self._is_told_at_once else b"}\n")

    def _receive(self, sockets: list[socket.socket], end: bytes) -> None:
        missing = {one.fileno(): bytearray() for one in sockets}
        deadline = time.monotonic() + DEADLINE_S
        while missing:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} of {len(sockets)} watches got nothing")
            for key, _ in self._selector.select(1.0):
                held = missing.get(key.fd)
                if held is None:
                    raise ConnectionError("a watch got more than it waited for")
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    raise ConnectionError("a watch was cut")
                held += data
                if held.endswith(end):
                    del missing[key.fd]

    def close(self) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()


def idle_counts(count: int) -> tuple[int, ...]:
    """Return how many watchers wait while others are measured."""
    return (0, count // 10, count)


def measure(member: Member, count: int, seconds: int, rounds: int) -> Iterator[Sample]:
    """Let `count` watches wait, write once, take the time to the last; `rounds` times over.

    Before that, single requests are measured beside fewer and as many watches that only wait; and
    before all, on a member that has nothing to use again, the memory of each.
    """
    member.request("PUT", KEY, {"value": "0"})
    case = f"{count:,} watchers"
    before = pss_bytes(member.pid)
    with contextlib.closing(Crowd(member, count)):
        per_watch = (pss_bytes(member.pid) - before) / count
        yield Sample(case, "kB each", member.kind, per_watch / 1000)
    throughput.prepare(member)
    for idle in idle_counts(count)[:-1]:
        with contextlib.closing(Crowd(member, idle)):
            yield from _beside(member, idle, seconds, rounds)
    with contextlib.closing(Crowd(member, count)) as crowd:
        yield from _beside(member, count, seconds, rounds)
        for number in range(rounds):
            if number:
                crowd.wait_again()
            yield Sample(case, "ms to last", member.kind, _tell_all(member, crowd, number) * 1000)


def _beside(member: Member, idle: int, seconds: int, rounds: int) -> Iterator[Sample]:
    for verb, requests in (("GET", throughput.GET), ("PUT", throughput.PUT_MANY)):
        case = Case(f"{verb} beside {idle:,} idle watchers", requests, CONNECTIONS)
        yield from throughput.measure(throughput.targets([member]), case, seconds, rounds)


def _tell_all(member: Member, crowd: Crowd, number: int) -> float:
    """Write the watched key; returns after how many seconds the last watch was told."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", member.client_port)) as writer:
        body = f"value={number}"
        writer.sendall(
            f"PUT {KEY} HTTP/1.1\r\nHost: x\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        crowd.receive_all()
    return time.perf_counter() - start
