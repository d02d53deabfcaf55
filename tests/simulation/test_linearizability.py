"""Linearizability: the fast way and the complete way agree, with each other and with the truth."""

from itertools import permutations
from random import Random

import pytest

from etcdpy.errors import COMPARE_FAILED, KEY_EXISTS, KEY_NOT_FOUND
from tests.simulation.history import NEVER, Answer, Ask, History, Operation, Seen
from tests.simulation.linearizability import (
    ABSENT,
    check_indexes,
    check_key,
    find_witness,
    index_of,
    learn,
    search,
    step,
)
from tests.simulation.violation import Violation

KEY = b"/1/k"


def test_a_read_that_follows_a_write_sees_it() -> None:
    history = History()
    write = history.call(Ask.SET, KEY, b"a")
    history.answer(write, Answer(0, 4))
    read = history.call(Ask.GET, KEY)
    history.answer(read, Answer(0, 4, node=Seen(b"a", 4, 4)))
    check_key(KEY, history.by_key[KEY])


def test_a_stale_read_is_caught() -> None:
    history = History()
    for index, value in ((4, b"a"), (5, b"b")):
        write = history.call(Ask.SET, KEY, value)
        previous = Seen(b"a", 4, 4) if index == 5 else None
        history.answer(write, Answer(0, index, prev=previous))
    read = history.call(Ask.GET, KEY)
    history.answer(read, Answer(0, 4, node=Seen(b"a", 4, 4)))
    with pytest.raises(Violation, match="not linearizable"):
        check_key(KEY, history.by_key[KEY])


def test_a_lost_write_is_caught() -> None:
    history = History()
    write = history.call(Ask.SET, KEY, b"a")
    history.answer(write, Answer(0, 4))
    read = history.call(Ask.GET, KEY)
    history.answer(read, Answer(KEY_NOT_FOUND, 5))
    with pytest.raises(Violation):
        check_key(KEY, history.by_key[KEY])


def test_a_write_without_an_answer_may_take_effect_late_or_never() -> None:
    for is_seen in (False, True):
        history = History()
        history.call(Ask.SET, KEY, b"late")
        write = history.call(Ask.SET, KEY, b"a")
        history.answer(write, Answer(0, 4))
        read = history.call(Ask.GET, KEY)
        seen = Seen(b"late", 5, 5) if is_seen else Seen(b"a", 4, 4)
        history.answer(read, Answer(0, 6, node=seen))
        check_key(KEY, history.by_key[KEY])


def test_a_write_without_an_answer_takes_effect_once() -> None:
    history = History()
    history.call(Ask.SET, KEY, b"late")
    for index, value in ((5, b"a"), (7, b"b")):
        write = history.call(Ask.SET, KEY, value)
        history.answer(write, Answer(0, index, prev=Seen(b"late", index - 1, index - 1)))
    with pytest.raises(Violation, match="was seen with indexes"):
        check_key(KEY, history.by_key[KEY])


def test_a_deletion_without_an_answer_explains_an_absence() -> None:
    history = History()
    write = history.call(Ask.SET, KEY, b"a")
    history.answer(write, Answer(0, 4))
    history.call(Ask.DELETE, KEY)
    create = history.call(Ask.CREATE, KEY, b"b")
    history.answer(create, Answer(0, 6))
    operations = history.by_key[KEY]
    assert find_witness(operations, learn(operations)) is None  # needs the search
    check_key(KEY, operations)


def test_a_ttl_may_run_out_but_only_of_the_node_that_has_it() -> None:
    for expires, is_right in ((4, True), (3, False)):
        history = History()
        write = history.call(Ask.SET, KEY, b"a")
        history.answer(write, Answer(0, 4))
        history.call(Ask.EXPIRE, KEY, prev_index=expires)
        read = history.call(Ask.GET, KEY)
        history.answer(read, Answer(KEY_NOT_FOUND, 5))
        if is_right:
            check_key(KEY, history.by_key[KEY])
        else:
            with pytest.raises(Violation):
                check_key(KEY, history.by_key[KEY])


def test_writes_do_not_share_an_index() -> None:
    history = History()
    for key in (b"/1/a", b"/1/b"):
        write = history.call(Ask.SET, key, key)
        history.answer(write, Answer(0, 4))
    with pytest.raises(Violation, match="share"):
        check_indexes(history.operations())


def test_an_index_does_not_go_back_in_real_time() -> None:
    history = History()
    write = history.call(Ask.SET, b"/1/a", b"a")
    history.answer(write, Answer(0, 9))
    read = history.call(Ask.GET, b"/1/b")
    history.answer(read, Answer(KEY_NOT_FOUND, 8))
    with pytest.raises(Violation, match="had been answered"):
        check_indexes(history.operations())


def test_both_ways_agree_with_trying_all_orders() -> None:
    """Small random histories, right ones and spoilt ones: three judges, one verdict."""
    verdicts = []
    for seed in range(3_000):
        operations = _random_history(Random(seed), 5, is_spoilt=seed % 2 == 1)
        try:
            known = learn(operations)
        except Violation:
            continue
        verdict = search(operations, known)
        if verdict:
            assert _is_linearizable_by_trial(operations, is_strict=False), seed
        else:
            assert not _is_linearizable_by_trial(operations, is_strict=True), seed
        if find_witness(operations, known) is not None:
            assert verdict, seed
        verdicts.append(verdict)
    assert verdicts.count(True) > 100
    assert verdicts.count(False) > 50


def test_true_histories_are_accepted() -> None:
    for seed in range(150):
        operations = _random_history(Random(seed), 60, is_spoilt=False)
        check_key(KEY, operations)
        check_indexes(operations)


def _random_history(random: Random, count: int, *, is_spoilt: bool) -> list[Operation]:
    """Return what a correct store answers to random clients, spoilt afterwards if asked."""
    history = History()
    state: Seen | None = None
    index = 3
    running: list[Operation] = []  # called, without effect yet
    done: list[tuple[Operation, Answer]] = []  # with effect, not yet answered
    called = 0
    while called < count or running or done:
        choice = random.random()
        if choice < 0.4 and called < count and len(running) < 3:
            called += 1
            ask = random.choice(list(Ask)[:7])
            value = b"%d" % called if ask in (Ask.SET, Ask.CREATE, Ask.UPDATE, Ask.SWAP) else None
            prev_index = _seen_index(history) if ask in (Ask.SWAP, Ask.COMPARE_DELETE) else 0
            running.append(history.call(ask, KEY, value, prev_index=prev_index))
        elif choice < 0.7 and running:
            operation = running.pop(random.randrange(len(running)))
            if random.random() < 0.1:
                continue  # never takes effect, never answered
            answer, state, index = _serve(state, operation, index)
            done.append((operation, answer))
        elif done:
            operation, answer = done.pop(random.randrange(len(done)))
            if random.random() < 0.9:
                history.answer(operation, answer)
    operations = history.by_key.get(KEY, [])
    if is_spoilt:
        _spoil(random, operations)
    return operations


def _seen_index(history: History) -> int:
    """Return the newest index that a client has seen of the key, as clients do before they swap."""
    indexes = [
        seen.modified
        for operation in history.by_key.get(KEY, [])
        if operation.answer is not None
        for seen in (operation.answer.node, operation.answer.prev)
        if seen is not None
    ]
    return max(indexes, default=0)


def _serve(state: Seen | None, operation: Operation, index: int) -> tuple[Answer, Seen | None, int]:
    """Do `operation` as etcd does; independent of the checker's model."""
    ask = operation.ask
    if ask is Ask.GET:
        return Answer(0 if state else KEY_NOT_FOUND, index, node=state), state, index
    if ask is Ask.CREATE and state:
        return Answer(KEY_EXISTS, index), state, index
    if ask not in (Ask.SET, Ask.CREATE) and not state:
        return Answer(KEY_NOT_FOUND, index), state, index
    if operation.prev_index and state and operation.prev_index != state.modified:
        return Answer(COMPARE_FAILED, index), state, index
    index += 1
    answer = Answer(0, index, prev=None if ask is Ask.CREATE else state)
    if operation.value is None:
        return answer, None, index
    created = state.created if state and ask in (Ask.UPDATE, Ask.SWAP) else index
    return answer, Seen(operation.value, index, created), index


def _spoil(random: Random, operations: list[Operation]) -> None:
    """Give one operation the answer of another of its kind, or take it away from real time."""
    answered = [operation for operation in operations if operation.answer is not None]
    if len(answered) < 2:
        return
    one, other = random.sample(answered, 2)
    if one.ask is other.ask:
        one.answer, other.answer = other.answer, one.answer
    elif random.random() < 0.5:
        one.answer = Answer(KEY_NOT_FOUND, one.answer.index if one.answer else 0)
    else:
        assert one.answer is not None
        one.answer = Answer(one.answer.code, 3, one.answer.node, one.answer.prev)


def _is_linearizable_by_trial(operations: list[Operation], *, is_strict: bool) -> bool:
    """Try all orders of all subsets that hold every answered operation.

    `is_strict` asks of writes that nobody saw that they, too, move the index.
    """
    known = learn(operations)
    certain = [operation for operation in operations if operation.answer is not None]
    unknown = [operation for operation in operations if operation.answer is None]
    for choice in range(1 << len(unknown)):
        chosen = [unknown[bit] for bit in range(len(unknown)) if choice >> bit & 1]
        if any(_is_legal(order, known, is_strict) for order in permutations([*certain, *chosen])):
            return True
    return False


def _is_legal(
    order: tuple[Operation, ...], known: dict[bytes, tuple[int, int]], is_strict: bool
) -> bool:
    state = ABSENT
    latest_call = 0
    for operation in order:
        if operation.returned < latest_call and operation.returned != NEVER:
            return False
        latest_call = max(latest_call, operation.called)
        after = step(state, operation, known)
        if after is None:
            return False
        state = after
        if is_strict and operation.is_write and index_of(operation, known) is None:
            state = state._replace(floor=state.floor + 1)
    return True
