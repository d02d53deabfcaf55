"""A run as it is kept: the figures, and what a reader needs to judge them."""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.plan import Plan
from benchmarks.samples import Row, Sample, rows
from etcdpy.system import is_compiled
from tests.harness.process import ROOT

RESULTS = Path(__file__).with_name("results")
DIGITS = 6  # of a figure; more are noise


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmarks."""

    started: str
    took_s: int
    command: str
    machine: dict[str, Any]
    plan: dict[str, Any]
    rows: list[Row]

    @classmethod
    def of(
        cls, plan: Plan, arguments: Sequence[str], started_s: float, samples: Sequence[Sample]
    ) -> Self:
        """Return the run that has just ended."""
        return cls(
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_s)),
            round(time.time() - started_s),
            " ".join(["python -m benchmarks", *arguments]),
            machine(),
            {"seconds": plan.seconds, "rounds": plan.rounds, "keys": plan.keys},
            rows(samples),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return a run that was kept."""
        found = json.loads(path.read_text())
        return cls(**{**found, "rows": [Row(**row) for row in found["rows"]]})

    def keep(self, path: Path | None) -> Path:
        """Write the run as JSON, one row a line, and return where."""
        if path is None:
            RESULTS.mkdir(exist_ok=True)
            path = RESULTS / f"{self.started.replace(':', '')}.json"
        path.write_text(self.to_json())
        return path

    def to_json(self) -> str:
        """Return the text that is kept."""
        head = {name: value for name, value in asdict(self).items() if name != "rows"}
        lines = ",\n".join(json.dumps(_rounded(row)) for row in self.rows)
        return f'{json.dumps(head, indent=1)[:-2]},\n "rows": [\n{lines}\n]}}\n'


def _rounded(row: Row) -> dict[str, Any]:
    values = {
        server: [float(f"{value:.{DIGITS}g}") for value in found]
        for server, found in row.values.items()
    }
    return {"case": row.case, "unit": row.unit, "values": values}


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "build": "compiled" if is_compiled() else "plain Python",
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "etcd": _output("etcd", "--version").partition("\n")[0],
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return ""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
