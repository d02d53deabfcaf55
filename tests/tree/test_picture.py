"""A picture shows the tree as it was when it was taken, whatever happens while it is shown."""

import os
import random

import pytest

from etcdpy.tree import notes
from etcdpy.tree.event import NodeView
from etcdpy.tree.node import LargeListingError
from etcdpy.tree.picture import END, PAUSE, Picture
from etcdpy.tree.tree import Tree
from tests.tree.test_capture import NOW_NS, change

SEEDS = 200 * int(os.environ.get("ETCDPY_SOAK_EXAMPLES", "1"))
LATER_NS = NOW_NS + 7 * 10**9


def flatten(node: NodeView, shown: list[tuple[object, ...]]) -> None:
    """Add what a listing shows, without the order among siblings."""
    shown.append(node._replace(nodes=None))
    for child in node.nodes or []:
        flatten(child, shown)


def listed(tree: Tree, path: bytes, *, is_recursive: bool) -> list[tuple[object, ...]]:
    event = tree.get(path, is_recursive=is_recursive, is_sorted=False, now_ns=LATER_NS)
    shown: list[tuple[object, ...]] = []
    flatten(event.node, shown)
    return sorted(shown, key=str)


class Taking:
    """One picture being shown, and what it has to show in the end."""

    def __init__(self, tree: Tree, source: random.Random) -> None:
        directories = [b"/1"]
        for path in (b"/1/a", b"/1/b", b"/1/a/c"):
            node = tree.find_node(path)
            if node is not None and node.children is not None:
                directories.append(path)
        path = source.choice(directories)
        is_recursive = source.random() < 0.8
        self.expected = listed(tree, path, is_recursive=is_recursive)
        self.index = tree.index
        self.is_sorted = source.random() < 0.5
        self.picture = Picture(
            tree, path, is_recursive=is_recursive, is_sorted=self.is_sorted, now_ns=LATER_NS
        )
        self._rows = self.picture.rows()
        self._found: list[NodeView] = []
        self._above: list[list[bytes]] = []

    def go_on(self, steps: int) -> bool:
        """Take some rows; tells whether there are more."""
        for _ in range(steps):
            row = next(self._rows, None)
            if row is None:
                self._check()
                return False
            if row == END:
                names = self._above.pop()
                if self.is_sorted:
                    assert names == sorted(names)
            elif row != PAUSE:
                shown, is_open = row
                assert shown is not None
                if self._above:
                    self._above[-1].append(shown.key)
                if is_open:
                    self._above.append([])
                self._found.append(shown)
        return True

    def _check(self) -> None:
        assert self.picture.index == self.index
        assert not self._above
        assert sorted(self._found, key=str) == self.expected
        self.picture.close()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pictures_show_one_index_while_the_tree_goes_on(seed: int) -> None:
    source = random.Random(seed)
    tree = Tree()
    for _ in range(source.choice([0, 20, 300])):
        change(tree, source)
    open_: list[Taking] = []
    for _ in range(60):
        if len(open_) < 4 and source.random() < 0.3:
            open_.append(Taking(tree, source))
        for _ in range(source.choice([0, 1, 5, 30])):
            change(tree, source)
        open_ = [taking for taking in open_ if taking.go_on(source.choice([1, 3, 10]))]
        tree.usage.sweep(1_000)
    for taking in open_:
        while taking.go_on(100):
            pass
    assert not tree.notes.is_wanted
    tree.usage.sweep(10_000)
    assert not tree.usage.has_debris


def test_many_names_are_sorted_in_runs() -> None:
    tree = Tree()
    for number in random.Random(1).sample(range(10_000), 5_000):
        tree.set(b"/1/d/%d" % number, value=b"v", now_ns=0)
    tree.set(b"/1/d/_hidden", value=b"v", now_ns=0)
    picture = Picture(tree, b"/1/d", is_recursive=False, is_sorted=True, now_ns=0)
    rows = list(picture.rows())
    keys = [shown.key for shown, _ in rows if shown is not None]
    assert keys == [b"/1/d", *sorted(keys[1:])]
    assert len(keys) == 5_001
    assert rows.count(PAUSE) == 3


def test_the_oldest_picture_is_given_up_when_too_much_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notes, "NOTES_BYTES_MAX", 10 * (notes.NOTE_BYTES + len(b"old")))
    tree = Tree()
    for number in range(20):
        tree.set(b"/1/k%d" % number, value=b"old", now_ns=0)
    first = Picture(tree, b"/1", is_recursive=False, is_sorted=False, now_ns=0)
    for number in range(5):
        tree.set(b"/1/k%d" % number, value=b"new", now_ns=0)
    second = Picture(tree, b"/1", is_recursive=False, is_sorted=False, now_ns=0)
    for _ in range(3):  # only the first change of a key is noted
        for number in range(5, 11):
            tree.set(b"/1/k%d" % number, value=b"new", now_ns=0)
    assert (first.is_void, second.is_void) == (True, False)
    values = [shown.value for shown, _ in second.rows() if shown is not None and shown.value]
    assert values.count(b"new") == 5
    second.close()
    assert not tree.notes.is_wanted


def test_large_values_and_wide_directories_are_noted_at_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notes, "NOTES_BYTES_MAX", 100_000)
    tree = Tree()
    tree.set(b"/1/large", value=b"v" * 100_000, now_ns=0)
    first = Picture(tree, b"/1", is_recursive=True, is_sorted=False, now_ns=0)
    tree.set(b"/1/large", value=b"small", now_ns=0)
    assert first.is_void
    second = Picture(tree, b"/1", is_recursive=True, is_sorted=False, now_ns=0)
    for number in range(100_000 // notes.NOTE_BYTES):
        tree.set(b"/1/d/%d" % number, value=b"v", now_ns=0)
    assert not second.is_void
    tree.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=0)
    tree.set(b"/1/large", value=b"last", now_ns=0)
    assert second.is_void


@pytest.mark.parametrize(("nodes_max", "is_recursive"), [(3, True), (1, False)])
def test_a_listing_that_is_too_large_is_refused_and_not_counted(
    nodes_max: int, is_recursive: bool
) -> None:
    tree = Tree()
    for path in (b"/1/a/x", b"/1/a/y", b"/1/b"):
        tree.set(path, value=b"v", now_ns=0)

    def get(nodes: int) -> None:
        tree.get(b"/1", is_recursive=is_recursive, is_sorted=False, now_ns=0, nodes_max=nodes)

    with pytest.raises(LargeListingError):
        get(nodes_max)
    assert tree.stats.gets_success == 0
    get(nodes_max + 1)
    assert tree.stats.gets_success == 1
