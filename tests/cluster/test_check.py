"""The judge of the durability tests notices each kind of harm that it is there for."""

import dataclasses

from tests.cluster.check import Tree, find_faults
from tests.cluster.load import QUEUE, Action, File, Write

COUNTER = File("5", 3, 3, None)
BEFORE = Tree(10, {"/n/0": COUNTER, "/s/0": File("old", 9, 9, None)})


def child(index: int, value: str) -> tuple[str, File]:
    return f"{QUEUE}/{index:020}", File(value, index, index, None)


SET = Write(Action.SET, "/s/0", "new", 11, File("new", 11, 11, None))
STEP = Write(Action.CAS, "/n/0", "6", 12, File("6", 12, 3, None))
CHILD = Write(Action.APPEND, *(child(13, "x")[0], "x"), 13, child(13, "x")[1])
LOST_SET = Write(Action.SET, "/s/0", "late", None)
LOST_STEP = Write(Action.CAS, "/n/0", "7", None)
LOST_CHILD = Write(Action.APPEND, QUEUE, "y", None)
LOST_DELETE = Write(Action.DELETE, "/s/0", None, None)
WRITES = [SET, STEP, CHILD]


def after(index: int, **changes: File | None) -> Tree:
    """Return the tree that WRITES make, with what `changes` names replaced or removed."""
    files: dict[str, File | None] = {
        "/s/0": SET.file,
        "/n/0": STEP.file,
        CHILD.key: CHILD.file,
        **changes,
    }
    return Tree(index, {key: file for key, file in files.items() if file is not None})


def test_what_was_acknowledged_is_no_fault() -> None:
    assert find_faults(BEFORE, WRITES, after(14)) == []


def test_unknown_writes_may_be_there_or_not() -> None:
    writes = [*WRITES, LOST_SET, LOST_STEP, LOST_CHILD]
    assert find_faults(BEFORE, writes, after(14)) == []
    applied = after(
        17,
        **{
            "/s/0": File("late", 14, 14, None),
            "/n/0": File("7", 15, 3, None),
            child(16, "y")[0]: child(16, "y")[1],
        },
    )
    assert find_faults(BEFORE, writes, applied) == []
    assert find_faults(BEFORE, [*WRITES, LOST_DELETE], after(15, **{"/s/0": None})) == []


def test_a_lost_write_is_found() -> None:
    assert find_faults(BEFORE, WRITES, after(14, **{"/s/0": BEFORE.files["/s/0"]}))
    assert find_faults(BEFORE, WRITES, after(14, **{"/s/0": None}))
    assert find_faults(BEFORE, WRITES, after(14, **{CHILD.key: None}))


def test_a_lost_write_is_found_beside_an_unknown_one() -> None:
    old = {"/s/0": BEFORE.files["/s/0"]}
    assert find_faults(BEFORE, [*WRITES, LOST_SET], after(14, **old))


def test_another_index_or_value_or_expiration_is_found() -> None:
    assert SET.file is not None
    for change in ({"modified": 14}, {"created": 9}, {"value": "other"}, {"expiration": "t"}):
        changed = dataclasses.replace(SET.file, **change)
        assert find_faults(BEFORE, WRITES, after(14, **{"/s/0": changed})), change


def test_a_child_that_nobody_sent_or_that_came_twice_is_found() -> None:
    assert find_faults(BEFORE, WRITES, after(15, **dict([child(14, "z")])))
    assert find_faults(BEFORE, WRITES, after(15, **dict([child(14, "x")])))
    twice = dict([child(14, "y"), child(15, "y")])
    assert find_faults(BEFORE, [*WRITES, LOST_CHILD], after(16, **twice))


def test_an_index_that_goes_back_or_runs_ahead_is_found() -> None:
    assert find_faults(BEFORE, WRITES, after(12))
    assert find_faults(BEFORE, WRITES, after(15))
    assert find_faults(BEFORE, [*WRITES, dataclasses.replace(SET, key="/s/1")], after(15))


def test_a_counter_step_made_twice_or_by_nobody_is_found() -> None:
    again = dataclasses.replace(STEP, index=14, file=File("6", 14, 3, None))
    assert find_faults(BEFORE, [*WRITES, again], after(15, **{"/n/0": again.file}))
    assert find_faults(BEFORE, [*WRITES, LOST_STEP], after(15, **{"/n/0": File("8", 14, 3, None)}))
