"""A client that writes at an even pace, whatever becomes of the writes before.

A client that waits for each answer asks less while the server pauses, and so hides the pause.
Here every write is begun when it is due and its time counts from then: a pause is felt by all the
writes that fall into it.
"""

import asyncio
import re
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.harness.background import Background

PATH = "/v2/keys/paced"
VALUE = "v" * 256
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)


class Write(NamedTuple):
    """An acknowledged write, by `time.perf_counter`."""

    due_s: float
    acknowledged_s: float


class Pool:
    """Keep-alive connections to one server: as many as there are writes without an answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        body = f"value={VALUE}"
        self._request = (
            f"PUT {PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def put(self) -> int:
        """Write the key and return the answer's status.

        Raises: OSError or EOFError when the answer does not come.
        """
        reader, writer = await self._connection()
        try:
            writer.write(self._request)
            head = await reader.readuntil(HEAD_END)
            length = LENGTH.search(head)
            if length is None:
                raise ConnectionError("an answer without a length")
            await reader.readexactly(int(length[1]))
        except BaseException:
            writer.close()  # what is still to come on it would answer another write
            raise
        self._idle.append((reader, writer))
        return int(head[9:12])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class Pacer(Background):
    """Writes one key through each of `urls`, `per_s` times a second, while the block runs.

    `writes` holds what was acknowledged, in the order of the answers; read it at any time.
    """

    def __init__(self, urls: list[str], per_s: int, drain_s: float = 0.0) -> None:
        """At the block's end the last writes have `drain_s` to be answered."""
        self.writes: list[Write] = []
        self.failures = 0  # refused, broken off, or without an answer at the end
        self._urls = urls
        self._pause_s = 1 / per_s
        self._drain_s = drain_s
        super().__init__()

    def _run(self) -> None:
        asyncio.run(self._write_until_ended())

    async def _write_until_ended(self) -> None:
        pools = [Pool(url) for url in self._urls]
        waiting: set[asyncio.Task[None]] = set()
        due_s = time.perf_counter()
        while not self._ending.is_set():
            for pool in pools:
                task = asyncio.create_task(self._write(pool, due_s))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            due_s += self._pause_s
            await asyncio.sleep(due_s - time.perf_counter())
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self._drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            self.failures += len(late)
        for pool in pools:
            pool.close()

    async def _write(self, pool: Pool, due_s: float) -> None:
        try:
            status = await pool.put()
        except (OSError, EOFError):
            self.failures += 1
            return
        if status in {200, 201}:
            self.writes.append(Write(due_s, time.perf_counter()))
        else:
            self.failures += 1


def delays_ms(writes: list[Write], from_s: float, to_s: float) -> list[float]:
    """Return how long the writes took that were due in `[from_s, to_s)`."""
    return [
        (acknowledged_s - due_s) * 1000
        for due_s, acknowledged_s in writes
        if from_s <= due_s < to_s
    ]
