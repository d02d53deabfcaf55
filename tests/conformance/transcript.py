"""The recordings: what one line of `keys.jsonl` holds, and how a file of them is read and written.

One JSON object per line, a scenario's lines together and in order, `step` from 1.  The requests
are the script, the responses what etcd 3.4.23 answered; a line without a response is a new
request that `record` has not run yet.

| `op` | fields | meaning |
|---|---|---|
| absent | `request`, `response` | a request on a connection of its own |
| `watch_open` | `id`, `request`, `response` | complete when the head is here; the body stays open |
| `watch_collect` | `id`, `response` | the events since the last one, and whether the body ended |
| `watch_close` | `id` | the client closes |
| `repeat` | `count`, `request`, `response` | `{i}` in the body counts from 0; the last response |
| `sleep` | `seconds` | wait |

`body` of a response is parsed JSON or raw text; `body_raw` has the exact text where bytes matter;
`unordered` marks steps whose `nodes` come in any order.  What is replaced or left out: `normal`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEYS = Path(__file__).with_name("keys.jsonl")

Step = dict[str, Any]
Scenarios = dict[str, list[Step]]


def load(path: Path = KEYS) -> Scenarios:
    """Return the scenarios of a file, in its order."""
    scenarios: Scenarios = {}
    for line in path.read_text("ascii").splitlines():
        step: Step = json.loads(line)
        scenarios.setdefault(step["scenario"], []).append(step)
    return scenarios


def has_sleep(steps: Iterable[Step]) -> bool:
    """Tell whether a scenario waits for what a server does by itself."""
    return any(step.get("op") == "sleep" for step in steps)


def render(step: Step) -> str:
    """Return a step as its line; equal lines mean equal values and equal field order."""
    return json.dumps(step, ensure_ascii=True, separators=(",", ":"))


def save(scenarios: Iterable[list[Step]], path: Path) -> None:
    """Write scenarios as a file."""
    lines = [render(step) + "\n" for steps in scenarios for step in steps]
    path.write_text("".join(lines), "ascii")
