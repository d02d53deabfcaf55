"""Many writes in a short time, of which nothing acknowledged may be lost either.

Each connection writes one key of its own, one write after the other, so that the highest index that
it was told is what the key must show at the least.
"""

import http.client
import threading
from collections.abc import Sequence

from tests.harness.client import Connection, NotSentError

CONNECTIONS = 24
TRIES_MAX = 50
FOLDER = "/f"


class _Writer(threading.Thread):
    """One connection: writes its share, through another member when one fails."""

    def __init__(self, urls: Sequence[str], number: int, count: int, label: str) -> None:
        super().__init__(daemon=True)
        self.key = f"{FOLDER}/{label}.{number}"
        self.acknowledged = 0
        self.index = 0
        self.value = ""
        self._urls = urls
        self._number = number
        self._count = count

    def run(self) -> None:
        for attempt in range(TRIES_MAX):
            if self.acknowledged >= self._count:
                return
            url = self._urls[(self._number + attempt) % len(self._urls)]
            with Connection(url) as connection:
                try:
                    while self.acknowledged < self._count:
                        self._write(connection, attempt)
                except (NotSentError, OSError, http.client.HTTPException):
                    pass

    def _write(self, connection: Connection, attempt: int) -> None:
        value = f"{attempt}.{self.acknowledged}"
        answer = connection.request("PUT", f"/v2/keys{self.key}", {"value": value})
        if answer.status not in (200, 201):
            raise ConnectionError(answer.status)
        self.acknowledged += 1
        self.index, self.value = answer.json()["node"]["modifiedIndex"], value


class Flood:
    """What one flood was told: by key, the last acknowledged index and value."""

    def __init__(self, writers: Sequence[_Writer]) -> None:
        self.acknowledged = sum(writer.acknowledged for writer in writers)
        self.last = {w.key: (w.index, w.value) for w in writers if w.acknowledged}


def flood(urls: Sequence[str], count: int, label: str) -> Flood:
    """Write `count` times through the members at `urls`; return what was acknowledged."""
    writers = [_Writer(urls, i, -(-count // CONNECTIONS), label) for i in range(CONNECTIONS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return Flood(writers)
