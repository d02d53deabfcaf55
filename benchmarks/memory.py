"""How much memory a server takes: proportional set size of all its processes."""

import contextlib
from pathlib import Path

from tests.harness.background import Background

MIB = 1024 * 1024
SAMPLE_EVERY_S = 0.5


def session_pids(leader: int) -> list[int]:
    """Return the processes of `leader`'s session: the harness gives each server its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append(int(entry.name))
    return found


def pss_bytes(leader: int) -> int:
    """Return the proportional set size of all processes of a server."""
    total = 0
    for pid in session_pids(leader):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class PeakMemory(Background):
    """Samples a server's memory in a thread while the block runs; `peak_bytes` is the highest."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        super().__init__()

    def _run(self) -> None:
        while not self._ending.wait(SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, pss_bytes(self._pid))

    def _ended(self) -> None:
        self._sample()
