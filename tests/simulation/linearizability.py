"""Is a history of one key linearizable?  And do the indexes of all keys agree with real time?

Two ways, one result.  `search` is the algorithm of Wing and Gong with Lowe's memory of visited
configurations: it looks for any order that respects real time and in which every answer is what
the sequential model gives.  `find_witness` first tries the one order that the answers' own
indexes suggest; if that order respects real time and the model, it is a linearization, and its
existence is the proof.  Only its failure means nothing, so then `search` decides.

The model is etcd's keys API on one key.  The index is part of the answers, so it is part of the
model: it grows with each write, and no answer may show one that is older than what came before.
Hence the order of all that shows an index is forced, and what remains to be searched is where
the operations without an answer took effect, if they did.
"""

from collections.abc import Sequence
from typing import NamedTuple

from etcdpy.errors import COMPARE_FAILED, KEY_EXISTS, KEY_NOT_FOUND
from tests.simulation.history import Answer, Ask, Operation, Seen
from tests.simulation.violation import Violation

LINEARIZABILITY = "linearizability"
INDEXES = "indexes follow real time"

#: Configurations that one search may visit before it gives up undecided.
VISITS_MAX = 200_000

#: Unanswered operations that may take effect one after the other with nothing seen between.  To
#: get from any state to any that an answer can tell apart takes three at most: a write with a
#: TTL that nobody saw, its expiry, another write.
CHAIN_MAX = 4


class State(NamedTuple):
    """One key.  `node` None: absent.  `floor`: the highest index that any answer so far shows.

    A node written by an operation without an answer has the indexes that others saw of it, 0
    where nobody did.
    """

    node: Seen | None
    floor: int


ABSENT = State(None, 0)

# Indexes by value, as anybody saw them: (modified, created).
Known = dict[bytes, tuple[int, int]]


class Undecided(Exception):
    """The search gave up: too much is concurrent."""


def learn(operations: Sequence[Operation]) -> Known:
    """Return what all answers say of each value's indexes.

    Raises: Violation when two of them say different things: one write has one index.
    """
    known: Known = {}
    for operation in operations:
        answer = operation.answer
        if answer is None:
            continue
        for seen in (answer.node, answer.prev):
            if seen is None:
                continue
            indexes = (seen.modified, seen.created)
            if known.setdefault(seen.value, indexes) != indexes:
                raise Violation(
                    LINEARIZABILITY,
                    f"{seen.value!r} was seen with indexes {known[seen.value]} and {indexes}",
                )
    return known


def step(state: State, operation: Operation, known: Known) -> State | None:
    """Return the state after `operation`, None if its answer is not what the model gives."""
    answer = operation.answer
    if answer is None:
        return _step_unknown(state, operation, known)
    node = state.node
    if answer.index < state.floor or answer.code != _refusal(node, operation):
        return None
    if answer.code:
        return State(node, answer.index)
    if operation.ask is Ask.GET:
        return State(node, answer.index) if _is_same(answer.node, node) else None
    replaced = None if operation.ask is Ask.CREATE else node
    if answer.index == state.floor or not _is_same(answer.prev, replaced):
        return None
    return _checked(State(_written(node, operation, answer.index), answer.index), known)


def _step_unknown(state: State, operation: Operation, known: Known) -> State | None:
    """An operation without an answer takes effect, if it would; a refusal leaves no trace.

    Where nobody saw its index, nothing is asked of it: only of what others were answered.
    """
    if operation.ask is Ask.GET or _refusal(state.node, operation):
        return None
    index = 0
    if operation.value is not None and operation.value in known:
        index = known[operation.value][0]
        if index <= state.floor:
            return None
    return _checked(State(_written(state.node, operation, index), index or state.floor), known)


def _checked(state: State, known: Known) -> State | None:
    """Return `state`, None if somebody saw its node with other indexes."""
    node = state.node
    if node is not None and node.value in known:
        modified, created = known[node.value]
        if node.modified != modified or node.created not in (0, created):
            return None
    return state


def _refusal(node: Seen | None, operation: Operation) -> int:
    """Return the code with which the model refuses, 0 if it does not."""
    ask = operation.ask
    if ask is Ask.SET:
        return 0
    if ask is Ask.CREATE:
        return 0 if node is None else KEY_EXISTS
    if node is None:
        return KEY_NOT_FOUND
    if ask in (Ask.SWAP, Ask.COMPARE_DELETE, Ask.EXPIRE):
        if operation.prev_value is not None and operation.prev_value != node.value:
            return COMPARE_FAILED
        if operation.prev_index and operation.prev_index != node.modified:
            return COMPARE_FAILED
    return 0


def _written(node: Seen | None, operation: Operation, index: int) -> Seen | None:
    if operation.ask in (Ask.DELETE, Ask.COMPARE_DELETE, Ask.EXPIRE):
        return None
    assert operation.value is not None
    if operation.ask in (Ask.UPDATE, Ask.SWAP):
        assert node is not None
        return Seen(operation.value, index, node.created)
    return Seen(operation.value, index, index)


def _is_same(seen: Seen | None, node: Seen | None) -> bool:
    """Whether what was seen is the model's node; an index of 0 in the model is one unknown."""
    if seen is None or node is None:
        return seen is node
    return (
        seen.value == node.value
        and node.modified in (0, seen.modified)
        and node.created in (0, seen.created)
    )


def index_of(operation: Operation, known: Known) -> int | None:
    """Return the index that shows where `operation` took place, None if nothing does."""
    if operation.answer is not None:
        return operation.answer.index
    if operation.value is not None and operation.value in known:
        return known[operation.value][0]
    return None


def _split(
    operations: Sequence[Operation], known: Known
) -> tuple[list[Operation], list[Operation]]:
    """Return those that certainly took place, in the order of their indexes, and the others.

    No other order of the former can be right: a write needs an index above all before it, what
    only looks must not show one below.  Those that looked at the same index commute.
    """
    placed: list[tuple[int, bool, int, Operation]] = []
    others: list[Operation] = []
    for operation in operations:
        index = index_of(operation, known)
        if index is None:
            others.append(operation)
            continue
        answer = operation.answer
        is_reader = answer is not None and (operation.ask is Ask.GET or answer.code != 0)
        placed.append((index, is_reader, operation.called, operation))
    placed.sort(key=lambda place: place[:3])
    return [place[3] for place in placed], [one for one in others if one.is_write]


def _respects_time(order: Sequence[Operation]) -> bool:
    """Whether nothing in `order` had returned before something that precedes it was called."""
    latest_call = 0
    for operation in order:
        if operation.returned < latest_call:
            return False
        latest_call = max(latest_call, operation.called)
    return True


def find_witness(operations: Sequence[Operation], known: Known) -> list[Operation] | None:
    """Return the order of the indexes if it is a linearization, else None: that proves nothing.

    Operations of which nobody saw anything are taken for such that never took place.
    """
    order, _ = _split(operations, known)
    if not _respects_time(order):
        return None
    state = ABSENT
    for operation in order:
        after = step(state, operation, known)
        if after is None:
            return None
        state = after
    return order


def search(operations: Sequence[Operation], known: Known) -> bool:
    """Tell whether any order linearizes `operations`.

    Depth first over configurations (how many of the certain ones, which of the others, state).
    The others, of which nobody saw an index or a value, are tried only where a certain one does
    not fit: whatever else they could precede fits after them as well, so they can wait.
    Raises: Undecided after `VISITS_MAX` configurations.
    """
    order, others = _split(operations, known)
    if not _respects_time(order):
        return False
    earliest = _earliest_places(order, others)
    seen: set[tuple[int, int, State]] = set()
    work: list[tuple[int, int, int, State]] = [(0, 0, 0, ABSENT)]
    while work:
        position, used, chain, state = work.pop()
        if position == len(order):
            return True
        after = step(state, order[position], known)
        if after is not None:
            work.append((position + 1, used, 0, after))
            continue
        if chain == CHAIN_MAX:
            continue
        for number, other in enumerate(others):
            if used >> number & 1 or position < earliest[number]:
                continue
            changed = step(state, other, known)
            if changed is None:
                continue
            configuration = (position, used | 1 << number, changed)
            if configuration not in seen:
                seen.add(configuration)
                work.append((*configuration[:2], chain + 1, changed))
        if len(seen) > VISITS_MAX:
            raise Undecided(f"{len(seen)} configurations of {len(operations)} operations")
    return False


def _earliest_places(order: Sequence[Operation], others: Sequence[Operation]) -> list[int]:
    """Return for each of `others` the first position of `order` that it may stand before.

    Not before one that had returned when it was called.
    """
    places: list[int] = []
    for other in others:
        earliest = 0
        for position, operation in enumerate(order):
            if operation.returned < other.called:
                earliest = position + 1
        places.append(earliest)
    return places


def check_key(key: bytes, operations: Sequence[Operation]) -> None:
    """Check the operations of one key.

    Raises: Violation if no order explains them, Undecided if that can't be found out.
    """
    known = learn(operations)
    if find_witness(operations, known) is not None:
        return
    if not search(operations, known):
        raise Violation(
            LINEARIZABILITY, f"the {len(operations)} operations on {key!r} are not linearizable"
        )


def check_indexes(operations: Sequence[Operation]) -> None:
    """Check the indexes of all keys together, against each other and against real time.

    No two writes share an index, and who was called after an answer had shown index i is
    answered with i at least, a write with more.
    Raises: Violation.
    """
    moments: list[tuple[int, bool, Operation, Answer]] = []
    writers: dict[int, Operation] = {}
    for operation in operations:
        answer = operation.answer
        if answer is None:
            continue
        if operation.is_write and not answer.code:
            other = writers.setdefault(answer.index, operation)
            if other is not operation:
                raise Violation(INDEXES, f"writes {other} and {operation} share an index")
        moments.append((operation.called, True, operation, answer))
        moments.append((operation.returned, False, operation, answer))
    moments.sort(key=lambda moment: moment[0])
    highest = 0
    floors: dict[int, int] = {}
    for _, is_call, operation, answer in moments:
        if is_call:
            floors[operation.number] = highest
            continue
        floor = floors.pop(operation.number)
        is_new = operation.is_write and not answer.code
        if answer.index < floor + int(is_new):
            raise Violation(
                INDEXES, f"index {floor} had been answered before the call of {operation}"
            )
        highest = max(highest, answer.index)
