"""What must hold of all that clients of a cluster under faults were told: faults in sentences.

Pure.  The order of events is put together from every watch and every acknowledgement; where two
of them tell different things of one index, two members do.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.cluster.record import LocalRead
from tests.cluster.sessions import QUEUE
from tests.cluster.watchers import REMOVALS, Event, Watch
from tests.simulation.history import Answer, Ask, History, Operation, Seen
from tests.simulation.linearizability import Undecided, check_indexes, check_key
from tests.simulation.violation import Violation

Truth = dict[int, Event]  # events by index
REMOVERS = (Ask.DELETE, Ask.COMPARE_DELETE, Ask.EXPIRE)
FAULTS_MAX = 20


def read_back(history: History, index: int, found: Mapping[bytes, Seen]) -> None:
    """Add a read of every key, after all that happened: what was found at `index`."""
    for key in list(history.by_key):
        operation = history.call(Ask.GET, key)
        node = found.get(key)
        history.answer(operation, Answer(0 if node else 100, index, node=node))


def find_faults(
    history: History, watches: Sequence[Watch], local_reads: Sequence[LocalRead]
) -> list[str]:
    """Return what is wrong, in sentences; the history ends with `read_back`."""
    faults: list[str] = []
    truth = gather(watches, history, faults)
    faults += _ordering_faults(history)
    for watch in watches:
        faults += watch_faults(watch, truth)
    faults += local_faults(local_reads, truth, history)
    return faults


def find_lost(history: History) -> list[str]:
    """Return the acknowledged writes that the reads at the end don't show the effect of."""
    lost = []
    for key, operations in history.by_key.items():
        last = _last_write(operations)
        if last is None or last.answer is None:
            continue
        final = operations[-1].answer
        assert final is not None
        expected = None if last.ask in REMOVERS else last.value
        found = final.node
        if (found.value if found else None) == expected:
            continue
        unknown = [one for one in operations if one.is_write and one.answer is None]
        if not any(_explains(one, found, last.answer.index) for one in unknown):
            lost.append(f"{key!r}: {last} was the last, {found} is there")
    return lost


def _last_write(operations: Sequence[Operation]) -> Operation | None:
    writes = [one for one in operations if one.is_write and one.answer and not one.answer.code]
    return max(writes, key=lambda one: one.answer.index if one.answer else 0, default=None)


def _explains(operation: Operation, found: Seen | None, since: int) -> bool:
    """Tell whether an unknown write can have left `found` after index `since`."""
    if found is None:
        return operation.ask in REMOVERS
    return found.value == operation.value and found.modified > since


def _ordering_faults(history: History) -> Iterator[str]:
    for key, operations in history.by_key.items():
        try:
            check_key(key, operations)
        except (Violation, Undecided) as error:
            yield f"{error!r}: {_story(operations)}"
    try:
        check_indexes(history.operations())
    except Violation as error:
        yield repr(error)


def _story(operations: Sequence[Operation]) -> str:
    return "\n    ".join(["", *(str(operation) for operation in operations[-40:])])


# Events


def gather(watches: Iterable[Watch], history: History, faults: list[str]) -> Truth:
    """Return the events by index, and add to `faults` what was told in two ways."""
    truth: Truth = {}
    for watch in watches:
        for event in watch.seen:
            if truth.setdefault(event.index, event) != event:
                faults.append(f"{watch} was told {event}, another {truth[event.index]}")
    for operation in history.operations():
        if operation.answer is None or operation.answer.code or not operation.is_write:
            continue
        made = _event_of(operation, operation.answer)
        if truth.setdefault(made.index, made) != made:
            faults.append(f"{operation} was acknowledged, watchers saw {truth[made.index]}")
    faults += _repeat_faults(truth)
    return truth


def _repeat_faults(truth: Truth) -> Iterator[str]:
    """Yield values that took effect twice: each was sent once."""
    first: dict[str, Event] = {}
    for _, event in sorted(truth.items()):
        if event.value is not None and first.setdefault(event.value, event) != event:
            yield f"{first[event.value]} was done again as {event}"


ACTIONS: Mapping[Ask, str] = {
    Ask.SET: "set",
    Ask.CREATE: "create",
    Ask.UPDATE: "update",
    Ask.SWAP: "compareAndSwap",
    Ask.DELETE: "delete",
    Ask.COMPARE_DELETE: "compareAndDelete",
}


def _event_of(operation: Operation, answer: Answer) -> Event:
    """Return the event that watchers must have seen of an acknowledged write."""
    index, prev = answer.index, answer.prev
    key = f"{QUEUE.decode()}/{index:020}"
    if not operation.key.startswith(QUEUE):
        key = operation.key.decode()
    value = None if operation.value is None else operation.value.decode()
    keeps_creation = operation.ask not in (Ask.SET, Ask.CREATE)
    created = prev.created if prev is not None and keeps_creation else index
    return Event(
        index, created, ACTIONS[operation.ask], key, value, 0 if prev is None else prev.modified
    )


def watch_faults(watch: Watch, truth: Truth) -> Iterator[str]:
    """Yield what `watch` missed or saw out of order, up to the last that it saw."""
    wanted = [
        index
        for index, event in sorted(truth.items())
        if watch.began <= index < watch.expected
        and watch.matches(event.key)
        and not any(low <= index < high for low, high in watch.gaps)
    ]
    seen = [event.index for event in watch.seen]
    if seen == wanted:
        return
    missed, extra = sorted(set(wanted) - set(seen)), sorted(set(seen) - set(wanted))
    shown = [truth[index] for index in missed[:3]]
    yield f"{watch} missed {len(missed)}: {shown}; had {extra[:3]} too many; gaps {watch.gaps[:3]}"


# Plain reads


def local_faults(reads: Iterable[LocalRead], truth: Truth, history: History) -> Iterator[str]:
    """Yield plain GETs that don't show what the key held at the index that they name.

    An event that nobody saw and whose writer was not answered leaves a doubt: then the read is
    held against what is known only.
    """
    by_key: dict[str, list[int]] = {}
    for index, event in sorted(truth.items()):
        by_key.setdefault(event.key, []).append(index)
    for read in reads:
        indexes = by_key.get(read.key.decode(), [])
        at = bisect_right(indexes, read.index)
        last = truth[indexes[at - 1]] if at else None
        unknown = [one for one in history.by_key.get(read.key, []) if one.answer is None]
        if not _is_explained(read, last, unknown):
            yield f"{read} does not show {last}"


def _is_explained(read: LocalRead, last: Event | None, unknown: Sequence[Operation]) -> bool:
    node = read.node
    if last is None or last.action in REMOVALS:
        if node is None:
            return True
    elif node is not None and node.modified == last.index:
        return node.value.decode() == last.value and node.created == last.created
    since = 0 if last is None else last.index
    return any(_explains(one, node, since) for one in unknown)
