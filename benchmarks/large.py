"""What one large operation does to the others: listings and removals of very many keys.

While each goes on, a separate client asks and writes one key again and again: its longest wait is
the pause that everybody felt.
"""

import signal
import socket
import time
from collections.abc import Iterator

from benchmarks import wrk
from benchmarks.memory import MIB, PeakMemory
from benchmarks.probe import Probe, quantile
from benchmarks.samples import Sample
from tests.harness.process import Kind, Member, wait_until

TOP = "/v2/keys/fill"
DEADLINE_S = 300.0
SLOW_READERS = 10
EXPIRING_KEYS = 100_000
#: Longer than it takes to write them.
TTL_S = 30
CONNECTIONS = 64
LAST_CHUNK = b"0\r\n\r\n"


class Reader:
    """One listing on a connection of its own; it is asked for at once and read when it is told."""

    def __init__(self, member: Member, target: str, method: str = "GET") -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(("127.0.0.1", member.client_port))
        self._socket.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def read(self, bytes_max: int | None = None) -> int:
        """Read to the end of the answer, or so many bytes; returns how many it were."""
        size = 0
        tail = b""
        while not tail.endswith(LAST_CHUNK) and (bytes_max is None or size < bytes_max):
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError(f"the answer broke off after {size:,} bytes")
            size += len(data)
            tail = (tail + data)[-16:]
            if size == len(data) and b"\r\nContent-Length:" in data:
                break  # a short answer comes at once
        return size

    def close(self) -> None:
        self._socket.close()


def measure(member: Member, keys: int, *, is_filled: bool = False) -> Iterator[Sample]:
    """Do each operation once on a member that holds `keys` keys, which are written first."""
    if not is_filled:
        wrk.fill(member.client_url, CONNECTIONS, int(DEADLINE_S), keys)
    case = f"{keys:,} keys"
    yield from _one(member, f"{case}: recursive GET", f"{TOP}?recursive=true")
    yield from _one(member, f"{case}: recursive GET, sorted", f"{TOP}?recursive=true&sorted=true")
    yield from _slow_readers(member, f"{case}: {SLOW_READERS} slow readers and a recursive DELETE")
    yield from _expiry(member, min(EXPIRING_KEYS, keys))


def _one(member: Member, case: str, target: str) -> Iterator[Sample]:
    with Probe(member.client_url) as probe, PeakMemory(member.pid) as memory:
        began_s = time.perf_counter()
        reader = Reader(member, target)
        reader.read()
        took_s = time.perf_counter() - began_s
        reader.close()
    yield Sample(case, "s", member.kind, took_s)
    yield from _felt(case, member.kind, probe)
    yield Sample(case, "MiB at peak", member.kind, memory.peak_bytes / MIB)


def _slow_readers(member: Member, case: str) -> Iterator[Sample]:
    """Let clients that do not read ask for everything, and another one remove it all."""
    with Probe(member.client_url) as probe, PeakMemory(member.pid) as memory:
        readers = [Reader(member, f"{TOP}?recursive=true") for _ in range(SLOW_READERS)]
        for reader in readers:
            reader.read(1)
        began_s = time.perf_counter()
        remover = Reader(member, f"{TOP}?recursive=true", "DELETE")
        remover.read()
        took_s = time.perf_counter() - began_s
        for reader in [*readers, remover]:
            reader.close()
        time.sleep(2.0)  # what is gone is freed
    yield Sample(case, "s to the answer", member.kind, took_s)
    yield from _felt(case, member.kind, probe)
    yield Sample(case, "MiB at peak", member.kind, memory.peak_bytes / MIB)


def _expiry(member: Member, keys: int) -> Iterator[Sample]:
    """Have keys expire at one moment: the server is stopped until the last one is due."""
    case = f"{keys:,} keys expire at once"
    wrk.fill(member.client_url, CONNECTIONS, int(DEADLINE_S), keys, TTL_S)
    last_s = time.monotonic()
    member.send_signal(signal.SIGSTOP)
    time.sleep(max(0.0, last_s + TTL_S + 1 - time.monotonic()))
    member.send_signal(signal.SIGCONT)
    with Probe(member.client_url) as probe:
        began_s = time.perf_counter()
        wait_until(lambda: _is_gone(member, keys), DEADLINE_S, "all keys are gone")
        took_s = time.perf_counter() - began_s
    yield Sample(case, "s until all are gone", member.kind, took_s)
    yield from _felt(case, member.kind, probe)


def _is_gone(member: Member, keys: int) -> bool:
    last = (f"{TOP}/{number % 1000:03}/{number}" for number in (0, keys // 2, keys - 1))
    return all(member.request("GET", path).status == 404 for path in last)


def _felt(case: str, kind: Kind, probe: Probe) -> Iterator[Sample]:
    for name, values in (("GET", probe.delays.get_ms), ("PUT", probe.delays.put_ms)):
        yield Sample(f"{case}, {name} probe", "p99 ms", kind, quantile(values, 0.99))
        yield Sample(f"{case}, {name} probe", "worst ms", kind, max(values, default=0.0))
    if probe.failures:
        yield Sample(f"{case}, probe", "errors", kind, probe.failures)
