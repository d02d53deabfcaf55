"""Many writes in a short time, of which nothing acknowledged may be lost either.

Each connection writes one key of its own, one write after the other, so that the highest index that
it was told is what the key must show at the least.
"""

import http.client
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.harness.client import Connection, NotSentError

CONNECTIONS = 24
TRIES_MAX = 50
FOLDER = "/f"


class _Writer(threading.Thread):
    """One connection: writes its share, through another member when one fails."""

    def __init__(
        self, urls: Sequence[str], number: int, count: int, label: str, padding: str
    ) -> None:
        super().__init__(daemon=True)
        self.key = f"{FOLDER}/{label}.{number}"
        self.acknowledged = 0
        self.index = 0
        self.value = ""
        self.is_given_up = False
        self._urls = urls
        self._number = number
        self._count = count
        self._padding = padding

    def run(self) -> None:
        for attempt in range(TRIES_MAX):
            if self.acknowledged >= self._count or self.is_given_up:
                return
            url = self._urls[(self._number + attempt) % len(self._urls)]
            with Connection(url) as connection:
                try:
                    while self.acknowledged < self._count and not self.is_given_up:
                        self._write(connection, attempt)
                except (NotSentError, OSError, http.client.HTTPException):
                    pass

    def _write(self, connection: Connection, attempt: int) -> None:
        value = f"{attempt}.{self.acknowledged}{self._padding}"
        answer = connection.request("PUT", f"/v2/keys{self.key}", {"value": value})
        if answer.status not in (200, 201):
            raise ConnectionError(answer.status)
        self.acknowledged += 1
        self.index, self.value = answer.json()["node"]["modifiedIndex"], value


class Flood:
    """`count` writes through the members at `urls`; as a context, done at its end.

    `label` makes the keys its own; each value is at least `size_bytes` long.
    """

    def __init__(self, urls: Sequence[str], count: int, label: str, size_bytes: int = 0) -> None:
        share, padding = -(-count // CONNECTIONS), "x" * size_bytes
        self._writers = [_Writer(urls, i, share, label, padding) for i in range(CONNECTIONS)]

    @property
    def acknowledged(self) -> int:
        """How many writes were."""
        return sum(writer.acknowledged for writer in self._writers)

    @property
    def last(self) -> dict[str, tuple[int, str]]:
        """By key, the last acknowledged index and value."""
        return {w.key: (w.index, w.value) for w in self._writers if w.acknowledged}

    def __enter__(self) -> Self:
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers:
            writer.is_given_up = error is not None
            writer.join()
