"""Rows out and in: equal after, msgpack-able between, refused when damaged."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgpack
import pytest

from etcdpy.errors import ContentError, EtcdError
from etcdpy.tree.capture import rows
from etcdpy.tree.snapshot import FORMAT_VERSION, Restorer, restore
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9

Rows = list[list[Any]]


@pytest.fixture
def tree() -> Tree:
    """Hold some of everything: files, directories, TTLs, hidden keys, all kinds of events."""
    tree = Tree()
    tree.set(b"/1/a/b/c", value=b"\x00\xff", now_ns=NOW_NS)
    tree.set(b"/1/a/b/c", expiration_ns=NOW_NS + 9, now_ns=NOW_NS)
    tree.set(b"/1/a/_d", is_dir=True, expiration_ns=NOW_NS + 5, now_ns=NOW_NS)
    tree.create(b"/1/q", is_unique=True, expiration_ns=NOW_NS + 7, now_ns=NOW_NS)
    tree.update(b"/1/a/b/c", value=b"v", expiration_ns=NOW_NS + 8, now_ns=NOW_NS)
    tree.update(b"/1/a/b/c", is_refresh=True, expiration_ns=NOW_NS + 8, now_ns=NOW_NS)
    tree.delete(b"/1/q", is_dir=True, is_recursive=True, now_ns=NOW_NS)
    tree.set(b"/2/x", value=b"", now_ns=NOW_NS)
    tree.expire(NOW_NS + 5, 9)
    tree.get(b"/1", is_recursive=True, is_sorted=False, now_ns=NOW_NS)
    return tree


def through_msgpack(source: Iterator[tuple[Any, ...]]) -> Rows:
    return [msgpack.unpackb(msgpack.packb(row)) for row in source]


def test_a_restored_tree_is_equal_and_goes_on_equally(tree: Tree) -> None:
    restored = restore(through_msgpack(rows(tree)))
    assert restored.digest() == tree.digest()
    assert list(restored.history) == list(tree.history)
    assert restored.stats == tree.stats
    assert restored.index == tree.index
    assert restored.next_expiration_ns == tree.next_expiration_ns == NOW_NS + 8
    for each in (tree, restored):
        each.expire(NOW_NS + 9, 9)
        each.set(b"/1/z", now_ns=NOW_NS)
    assert restored.digest() == tree.digest()
    assert list(restored.history) == list(tree.history)


def test_an_empty_tree_is_restored() -> None:
    with pytest.raises(ContentError, match="the end row is missing"):
        restore([])
    assert restore(rows(Tree())).digest() == Tree().digest()


def test_rows_are_lazy_and_flat(tree: Tree) -> None:
    source = rows(tree)
    assert next(source)[:3] == (0, FORMAT_VERSION, tree.index)
    restorer = Restorer()
    restorer.feed((0, FORMAT_VERSION, tree.index, tree.stats.counts()))
    for row in source:
        for field in row:
            assert not isinstance(field, list | dict)
            if isinstance(field, tuple):
                assert not any(isinstance(inner, tuple | list | dict) for inner in field)
        restorer.feed(row)
    assert restorer.finish().digest() == tree.digest()


def test_history_may_be_empty_at_any_index(tree: Tree) -> None:
    without = [row for row in through_msgpack(rows(tree)) if row[0] != 2]
    without[-1][3] = 0
    restored = restore(without)
    assert restored.digest() == tree.digest()
    assert len(restored.history) == 0
    watcher = restored.watch(b"/1", is_recursive=True, is_stream=False, since=0)
    assert watcher.is_registered


def nodes_of(given: Rows) -> list[int]:
    return [number for number, row in enumerate(given) if row[0] == 1]


def change(kind: int, field: int, value: Any) -> Callable[[Rows], Any]:
    """Return the damage that puts `value` into a field of the first row of `kind`."""

    def damage(given: Rows) -> None:
        next(row for row in given if row[0] == kind)[field] = value

    return damage


def insert(row: Any) -> Callable[[Rows], Any]:
    return lambda given: given.insert(1, row)


def drop_row(number: int) -> Callable[[Rows], Any]:
    return lambda given: given.pop(number)


def drop_first_of(kind: int) -> Callable[[Rows], Any]:
    return lambda given: given.remove(next(row for row in given if row[0] == kind))


def event_node(field: int, value: Any) -> Callable[[Rows], Any]:
    def damage(given: Rows) -> None:
        next(row for row in given if row[0] == 2)[2][field] = value

    return damage


DAMAGE: list[tuple[str, Callable[[Rows], Any], str]] = [
    ("no end", drop_row(-1), "the end row is missing"),
    ("no header", drop_row(0), "a row of kind 1 is out of place"),
    ("two headers", lambda given: given.insert(0, given[0]), "a row of kind 0 is out of place"),
    ("unknown kind", change(1, 0, 9), "a row of kind 9 is out of place"),
    ("empty row", lambda given: given.insert(1, []), "a row of kind None is out of place"),
    ("after the end", lambda given: given.append(given[-1]), "a row of kind 3 is out of place"),
    ("node after events", lambda given: given.insert(-1, given[1]), "kind 1 is out of place"),
    ("a node lost", lambda given: given.pop(nodes_of(given)[-1]), "nodes, changes and events"),
    ("an event lost", drop_first_of(2), "nodes, changes and events"),
    ("short row", lambda given: given[1].pop(), "not enough values"),
    ("index is text", change(0, 2, "9"), "'9' is not a number"),
    ("index moved", change(0, 2, 99), "do not end at index 99"),
    ("counter is text", lambda given: given[0][3].__setitem__(0, "x"), "'x' is not a number"),
    ("counter lost", lambda given: given[0][3].pop(), "14 counters instead of 15"),
    ("name is text", change(1, 2, "a"), "a node's name is 'a'"),
    ("name is empty", change(1, 2, b""), "a node's name is b''"),
    ("name has a slash", change(1, 2, b"a/b"), "a node's name is b'a/b'"),
    ("no parent", change(1, 1, 3), "a node of depth 3 has no parent"),
    ("depth zero", change(1, 1, 0), "a node of depth 0 has no parent"),
    ("depth is a bool", change(1, 1, True), "True is not a number"),
    ("same name twice", lambda given: given.insert(2, given[1]), "comes twice"),
    ("value is text", change(1, 3, "v"), "a node's value is of type str"),
    ("modified is text", change(1, 4, "v"), "'v' is not a number"),
    ("expiration is text", change(1, 6, "v"), "'v' is not a number"),
    ("unknown action", change(2, 1, "burn"), "an event's action is 'burn'"),
    ("event index is text", change(2, 4, "v"), "'v' is not a number"),
    ("event gap", change(2, 4, 7), "event 2 follows event 7"),
    ("event key is text", event_node(0, "k"), "an event's key or value is not bytes"),
    ("event ttl is text", event_node(4, "k"), "'k' is not a number"),
    ("event expiration is text", event_node(3, "k"), "'k' is not a number"),
    ("event node is a number", change(2, 2, 5), "int"),
    ("row is a number", insert(5), "'int' object"),
    ("row is a map", insert({5: 1}), "0"),
    ("kind is a float", change(1, 0, 1.0), "a row of kind 1.0 is out of place"),
    ("index beyond all", change(0, 2, 2**64 - 1), "counted beyond all"),
    ("index below all", change(0, 2, -1), "counted beyond all"),
    ("counter beyond all", lambda given: given[0][3].__setitem__(0, 2**63), "beyond all"),
]


@pytest.mark.parametrize("case", DAMAGE, ids=[name for name, _, _ in DAMAGE])
def test_damaged_rows_are_fatal(tree: Tree, case: tuple[str, Callable[[Rows], Any], str]) -> None:
    _, damage, reason = case
    given = through_msgpack(rows(tree))
    damage(given)
    with pytest.raises(ContentError, match=reason) as caught:
        restore(given)
    assert str(caught.value).startswith("snapshot of the tree is damaged at row ")


def test_every_truncation_is_noticed(tree: Tree) -> None:
    given = through_msgpack(rows(tree))
    for length in range(len(given)):
        with pytest.raises(ContentError):
            restore(given[:length])


def test_another_format_version_is_refused(tree: Tree) -> None:
    given = through_msgpack(rows(tree))
    given[0][1] = FORMAT_VERSION + 1
    with pytest.raises(ContentError, match="format version 3, this program reads version 2"):
        restore(given)


def test_rows_of_anything_are_a_tree_or_refused(tree: Tree) -> None:
    """They come from other machines: whatever msgpack can hold."""
    source = random.Random(7)
    good = through_msgpack(rows(tree))
    anything: list[Any] = [None, True, -1, 0, 1, 3, 2**64 - 1, 1.0, "s", b"", b"/", b"/1/a", {}, ()]
    for _ in range(3000):
        given = [list(row) for row in good]
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(given))
            if source.randrange(4) == 0:
                count = source.randrange(8)
                given.insert(at, [source.choice(anything) for _ in range(count)])
            elif given[at]:
                given[at][source.randrange(len(given[at]))] = source.choice(anything)
        try:
            restored = restore(given)
        except ContentError:
            continue
        with suppress(EtcdError):
            restored.set(b"/1/new", value=b"v", now_ns=0)
        through_msgpack(rows(restored))
