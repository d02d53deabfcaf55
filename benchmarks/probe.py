"""A client that asks again and again and keeps how long each answer took: pauses show here."""

import http.client
import time
from dataclasses import dataclass, field

from tests.harness.background import Background
from tests.harness.client import Connection, NotSentError

PAUSE_S = 0.002


@dataclass(slots=True)
class Delays:
    """Milliseconds that each answer took, in order."""

    get_ms: list[float] = field(default_factory=list)
    put_ms: list[float] = field(default_factory=list)


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` of all lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Probe(Background):
    """GETs and PUTs one small key by turns in a thread while the block runs."""

    def __init__(self, url: str) -> None:
        self.delays = Delays()
        self.failures = 0
        self._connection = Connection(url, deadline_s=60.0)
        super().__init__()

    def _run(self) -> None:
        while not self._ending.wait(PAUSE_S):
            try:
                self.delays.put_ms.append(self._ask("PUT", {"value": "1"}))
                self.delays.get_ms.append(self._ask("GET", None))
            except (NotSentError, OSError, http.client.HTTPException):
                self.failures += 1

    def _ask(self, method: str, form: dict[str, str] | None) -> float:
        start = time.perf_counter()
        self._connection.request(method, "/v2/keys/probe", form)
        return (time.perf_counter() - start) * 1000

    def _ended(self) -> None:
        self._connection.close()
