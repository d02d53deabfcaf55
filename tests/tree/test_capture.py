"""Rows taken from a tree that goes on changing are the rows of the tree at the end."""

import os
import random
from collections.abc import Iterator

import msgpack
import pytest

from etcdpy.errors import EtcdError
from etcdpy.tree.capture import CHANGES_AT_ONCE_MAX, CHANGES_LEFT_MAX, Capture, rows
from etcdpy.tree.replacement import replace_state
from etcdpy.tree.snapshot import FORMAT_VERSION, Restorer, Row, RowKind, restore
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9
SEEDS = 150 * int(os.environ.get("ETCDPY_SOAK_EXAMPLES", "1"))
# Few names and levels, so that what is removed is made again, as a file or as a directory.
NAMES = [b"a", b"b", b"c"]


def draw_path(source: random.Random) -> bytes:
    return b"/1/" + b"/".join(source.choices(NAMES, k=source.randint(1, 4)))


def change(tree: Tree, source: random.Random) -> None:
    """Do something to the tree; a refusal changes nothing."""
    path = draw_path(source)
    ttl = source.choice([None, None, NOW_NS + source.randint(1, 50)])
    kind = source.randrange(9)
    try:
        if kind < 3:
            tree.set(path, value=b"%d" % tree.index, expiration_ns=ttl, now_ns=NOW_NS)
        elif kind == 3:
            tree.set(path, is_dir=True, expiration_ns=ttl, now_ns=NOW_NS)
        elif kind == 4:
            tree.create(path, is_unique=True, value=b"q", expiration_ns=ttl, now_ns=NOW_NS)
        elif kind == 5:
            tree.update(path, is_refresh=True, expiration_ns=ttl, now_ns=NOW_NS)
        elif kind == 6:
            tree.expire(NOW_NS + source.randint(1, 50), 3)
        else:
            tree.delete(path, is_dir=True, is_recursive=True, now_ns=NOW_NS)
    except EtcdError:
        pass


def capture_while_changing(tree: Tree, source: random.Random) -> list[tuple[object, ...]]:
    """Take all rows; between any two of them, while it moves, the tree may change a little."""
    capture = Capture(tree)
    taken = []
    rate = source.choice([0.1, 0.9, 3.0])
    budget = 2_000  # of changes: so that it comes to an end
    for row in capture.moving_rows():
        taken.append(row)
        for _ in range(int(rate + source.random())):
            budget -= 1
            if budget > 0:
                change(tree, source)
    last = [capture.header(), *taken, *capture.last_rows()]
    capture.close()
    return last


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rows_and_changes_are_the_tree_at_the_end(seed: int) -> None:
    source = random.Random(seed)
    tree = Tree()
    for _ in range(source.choice([0, 20, 300])):
        change(tree, source)
    taken = capture_while_changing(tree, source)
    restored = restore(msgpack.unpackb(msgpack.packb(row)) for row in taken)
    assert restored.digest() == tree.digest()
    assert restored.index == tree.index
    assert list(restored.history) == list(tree.history)
    assert restored.stats == tree.stats
    tree.usage.sweep(10_000)
    assert (restored.usage.keys, restored.usage.size_bytes) == (
        tree.usage.keys,
        tree.usage.size_bytes,
    )
    while tree.has_expiring:
        now_ns = tree.next_expiration_ns
        assert now_ns is not None
        assert restored.next_expiration_ns == now_ns
        assert restored.expire(now_ns, 1) == tree.expire(now_ns, 1)
    assert not restored.has_expiring
    assert restored.digest() == tree.digest()


def test_a_tree_at_rest_has_no_changes_and_keeps_no_journal_after() -> None:
    tree = Tree()
    tree.set(b"/1/a/b", value=b"v", now_ns=NOW_NS)
    kinds = {row[0] for row in rows(tree)}
    assert kinds == {RowKind.HEADER, RowKind.NODE, RowKind.EVENT, RowKind.END}
    assert tree.journal is None


def capture_with_journal(count: int) -> tuple[Tree, Capture, Iterator[Row]]:
    """Return a capture of which one row was taken, before `count` changes of the tree."""
    tree = Tree()
    tree.set(b"/1/a", now_ns=NOW_NS)
    capture = Capture(tree)
    moving = capture.moving_rows()
    next(moving)
    for number in range(count):
        tree.set(b"/1/%d" % number, now_ns=NOW_NS)
    return tree, capture, moving


def test_little_is_left_for_the_end_however_much_has_changed() -> None:
    _, capture, moving = capture_with_journal(50 * CHANGES_LEFT_MAX)
    for _ in moving:
        pass
    left = [row for row in capture.last_rows() if row[0] == RowKind.PLACED]
    capture.close()
    assert len(left) <= CHANGES_LEFT_MAX + 1  # and the directory above them


def test_a_long_journal_is_told_a_little_at_a_time() -> None:
    tree, capture, moving = capture_with_journal(5 * CHANGES_AT_ONCE_MAX)
    while next(moving)[0] == RowKind.NODE:
        pass
    assert tree.journal is not None
    assert len(tree.journal) == 4 * CHANGES_AT_ONCE_MAX
    capture.close()


def test_a_file_in_the_place_of_a_directory_takes_what_was_below_it() -> None:
    """The directory is removed after its turn in the journal, so that its removal comes later."""
    tree = Tree()
    for number in range(CHANGES_LEFT_MAX):
        tree.set(b"/1/d/%d" % number, value=b"v", now_ns=NOW_NS)
    capture = Capture(tree)
    taken = []
    moving = capture.moving_rows()
    for row in moving:  # all nodes
        taken.append(row)
        if len(taken) == tree.usage.keys + 2:
            break
    for number in range(CHANGES_LEFT_MAX + 1):
        tree.set(b"/1/d/%d" % number, value=b"w", now_ns=NOW_NS)
    taken.append(next(moving))  # the journal has begun anew
    tree.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    tree.set(b"/1/d", value=b"file", now_ns=NOW_NS)
    taken.extend(moving)
    restored = restore([capture.header(), *taken, *capture.last_rows()])
    capture.close()
    assert restored.digest() == tree.digest()
    assert (restored.usage.keys, restored.usage.size_bytes) == (1, len(b"d" + b"file"))


def test_a_capture_is_void_once_another_state_was_put_into_the_tree() -> None:
    tree, other = Tree(), Tree()
    other.set(b"/1/a", now_ns=NOW_NS)
    capture = Capture(tree)
    assert not capture.is_void
    replace_state(tree, other)
    assert capture.is_void
    following = Capture(tree)
    capture.close()
    assert not following.is_void


BAD_CHANGES = [
    ((RowKind.REMOVED, "text"), "the path of a change is"),
    ((RowKind.REMOVED, b"1/a"), "the path of a change is"),
    ((RowKind.PLACED, b"/9/a", b"", 1, 1, None), "has no parent"),
    ((RowKind.PLACED, b"/1", "text", 1, 1, None), "value is of type str"),
    ((RowKind.PLACED, b"/1/a", b"", "x", 1, None), "is not a number"),
    ((RowKind.PLACED, b"/1/a", b"", 1, 1, "x"), "is not a number"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_CHANGES)
def test_damaged_changes_are_fatal(row: tuple[object, ...], reason: str) -> None:
    restorer = Restorer()
    tree = Tree()
    tree.set(b"/1/a", now_ns=NOW_NS)
    restorer.feed((0, FORMAT_VERSION, tree.index, tree.stats.counts()))
    restorer.feed((1, 1, b"1", None, 0, 0, None))
    with pytest.raises(Exception, match=reason):
        restorer.feed(row)
