"""What must hold between two states of the tree and the writes that were sent in between.

Pure: `find_faults(before, writes, after)` says in sentences what is wrong.  The rules allow a write
of unknown outcome to have been applied or not, once, and nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.cluster.load import QUEUE, Action, File, Write, parse_file
from tests.harness.client import Connection


@dataclass(frozen=True, slots=True)
class Tree:
    """Every file below the root, and the store index at which it was read."""

    index: int
    files: dict[str, File]


def read_tree(url: str) -> Tree:
    """Read the whole tree of the member at `url`."""
    with Connection(url, deadline_s=30.0) as connection:
        answer = connection.request("GET", "/v2/keys/?recursive=true&sorted=true")
    return Tree(answer.index, dict(_files(answer.json()["node"])))


def _files(top: dict[str, Any]) -> Iterator[tuple[str, File]]:
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if node.get("dir"):
            waiting.extend(node.get("nodes", []))
        else:
            yield node["key"], parse_file(node)


def find_faults(
    before: Tree, writes: Sequence[Write], after: Tree, restarts: range = range(1, 2)
) -> list[str]:
    """Return what is wrong, in sentences.

    `restarts` is how often the member may have announced itself in between: each costs one index.
    """
    return [
        *_index_faults(before, writes, after, restarts),
        *_key_faults(before, writes, after),
        *_queue_faults(before, writes, after),
        *_counter_faults(before, writes, after),
    ]


def _index_faults(
    before: Tree, writes: Sequence[Write], after: Tree, restarts: range
) -> Iterator[str]:
    acked = [write.index for write in writes if write.index is not None]
    unknown = len(writes) - len(acked)
    for index, count in Counter(acked).items():
        if count > 1:
            yield f"index {index} was acknowledged {count} times"
        if not before.index < index <= after.index:
            yield f"acknowledged index {index} is outside ({before.index}, {after.index}]"
    moved = after.index - before.index
    low, high = len(acked) + restarts[0], len(acked) + unknown + restarts[-1]
    if not low <= moved <= high:
        yield f"the index moved by {moved}; {low} to {high} writes can have moved it"
    for index, count in Counter(file.modified for file in after.files.values()).items():
        if count > 1:
            yield f"{count} files have modifiedIndex {index}"


def _key_faults(before: Tree, writes: Sequence[Write], after: Tree) -> Iterator[str]:
    acked_indexes = {write.index for write in writes if write.index is not None}
    last: dict[str, Write] = {}
    unknown: dict[str, list[Write]] = {}
    for write in writes:
        if write.index is None:
            if write.action is not Action.APPEND:
                unknown.setdefault(write.key, []).append(write)
        elif write.key not in last or write.index > (last[write.key].index or 0):
            last[write.key] = write
    appended = _unacknowledged_children(before, writes, after)
    for key in {*before.files, *after.files, *last, *unknown} - appended:
        expected = last[key].file if key in last else before.files.get(key)
        found = after.files.get(key)
        if found == expected:
            continue
        known = last[key].index if key in last else None
        since = known or before.index
        if not any(_explains(write, found, since, acked_indexes) for write in unknown.get(key, ())):
            yield f"{key}: expected {expected}, found {found}, unknown {unknown.get(key, [])}"


def _explains(write: Write, found: File | None, since: int, acked: set[int]) -> bool:
    """Tell whether `write`, of unknown outcome, can have left `found` after index `since`."""
    if found is None:
        return write.action is Action.DELETE
    return found.value == write.value and found.modified > since and found.modified not in acked


def _unacknowledged_children(before: Tree, writes: Iterable[Write], after: Tree) -> set[str]:
    acked = {write.key for write in writes if write.index is not None}
    return {
        key
        for key in after.files
        if key.startswith(f"{QUEUE}/") and key not in before.files and key not in acked
    }


def _queue_faults(before: Tree, writes: Sequence[Write], after: Tree) -> Iterator[str]:
    """In-order children: named by their index; what nobody was told of was sent, once."""
    possible = Counter(
        write.value for write in writes if write.action is Action.APPEND and write.index is None
    )
    for key in _unacknowledged_children(before, writes, after):
        value = after.files[key].value
        possible[value] -= 1
        if possible[value] < 0:
            yield f"{key}: {value!r} was appended more often than it was sent"
    children = {k: f for k, f in after.files.items() if k.startswith(f"{QUEUE}/")}
    for key, file in children.items():
        if key != f"{QUEUE}/{file.created:020}":
            yield f"{key}: was created at {file.created}"
    for value, count in Counter(file.value for file in children.values()).items():
        if count > 1:
            yield f"{QUEUE}: {value!r} is there {count} times"


def _counter_faults(before: Tree, writes: Sequence[Write], after: Tree) -> Iterator[str]:
    """Each step of a counter was made once, and every step to where it stands was sent."""
    for key in (key for key in before.files if key.startswith("/n/")):
        steps = [write for write in writes if write.action is Action.CAS and write.key == key]
        acked = sorted((w for w in steps if w.index is not None), key=lambda w: w.index or 0)
        values = [int(write.value or 0) for write in acked]
        if values != sorted(set(values)):
            yield f"{key}: acknowledged steps are {values}"
        if key not in after.files:
            yield f"{key}: is gone"
            continue
        start, end = int(before.files[key].value), int(after.files[key].value)
        sent = {int(write.value or 0) for write in steps}
        missing = set(range(start + 1, end + 1)) - sent
        if missing:
            yield f"{key}: stands at {end} but nobody made {sorted(missing)[:5]}"
        if values and end < values[-1]:
            yield f"{key}: stands at {end}, {values[-1]} was acknowledged"
