"""The load generator: wrk, from the distribution's packages, driven by one script of ours."""

import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness.process import tied

SCRIPT = Path(__file__).with_name("lua") / "requests.lua"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    max_us: int
    errors: int

    @property
    def per_s(self) -> float:
        return self.requests / (self.duration_us / 1e6)


def is_present() -> bool:
    return shutil.which("wrk") is not None


def command(url: str, connections: int, seconds: int, mode: str, count: int) -> list[str]:
    """Return the words of one run; see lua/requests.lua for `mode` and `count`."""
    return [
        "wrk",
        f"-t{_threads(connections)}",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "30s",
        "-s",
        str(SCRIPT),
        url,
        "--",
        mode,
        str(count),
        str(_threads(connections)),
    ]


def run(url: str, connections: int, seconds: int, mode: str, count: int = 1) -> Load:
    """Run wrk to its end and return what it saw."""
    done = subprocess.run(
        tied(command(url, connections, seconds, mode, count)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return parse(done.stdout)


def fill(url: str, connections: int, seconds_max: int, keys: int) -> Load:
    """Set `keys` keys once each.

    wrk knows no number of requests: each of its threads says when it has sent its share and
    stops, and an interrupt then ends the whole.
    """
    words = tied(command(url, connections, seconds_max, "fill", keys))
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for _ in range(_threads(connections)):
            process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    if "RESULT " not in output:
        raise RuntimeError(f"wrk ended with {process.returncode}: {errors}")
    return parse(output)


def _threads(connections: int) -> int:
    return min(2, connections)


def parse(output: str) -> Load:
    (line,) = (line for line in output.splitlines() if line.startswith("RESULT "))
    return Load(**json.loads(line.removeprefix("RESULT ")))
