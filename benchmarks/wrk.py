"""The load generator: wrk, from the distribution's packages, driven by one script of ours."""

import json
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.harness.process import tied

STEP = 1.02
SCRIPT = Path(__file__).with_name("lua") / "requests.lua"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests: int
    duration_us: int
    max_us: int
    errors: int
    steps: dict[str, int]  # how many answers took 1.02 ** step microseconds

    @property
    def per_s(self) -> float:
        return self.requests / (self.duration_us / 1e6)


def pooled_ms(loads: Iterable[Load], share: float) -> float:
    """Return the latency below which `share` of all answers of all runs lie; 0 for none."""
    pool: Counter[int] = Counter()
    for load in loads:
        pool.update({int(step): count for step, count in load.steps.items()})
    left = share * pool.total()
    for step in sorted(pool):
        left -= pool[step]
        if left <= 0:
            return float(STEP**step / 1000)
    return 0.0


@dataclass(frozen=True, slots=True)
class Requests:
    """What wrk is to send; see lua/requests.lua."""

    mode: str
    keys: int = 1
    size: int = 256  # of the values, in bytes; of `expiring`, the TTL in seconds
    authorization: str = ""


def is_present() -> bool:
    return shutil.which("wrk") is not None


def command(url: str, connections: int, seconds: int, requests: Requests) -> list[str]:
    """Return the words of one run."""
    authorization = [requests.authorization] if requests.authorization else []
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
        requests.mode,
        str(requests.keys),
        str(_threads(connections)),
        str(requests.size),
        *authorization,
    ]


def run(url: str, connections: int, seconds: int, requests: Requests) -> Load:
    """Run wrk to its end and return what it saw."""
    done = subprocess.run(
        tied(command(url, connections, seconds, requests)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return parse(done.stdout)


def fill(url: str, connections: int, seconds_max: int, keys: int, ttl_s: int = 0) -> Load:
    """Set `keys` keys once each, all to expire in `ttl_s` unless that is 0.

    wrk knows no number of requests: each of its threads says when it has sent its share and
    stops, and an interrupt then ends the whole.
    """
    requests = Requests("expiring", keys, ttl_s) if ttl_s else Requests("fill", keys)
    words = tied(command(url, connections, seconds_max, requests))
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
