"""The order of expiry."""

from etcdpy.tree.expiry import Expiry


def test_the_earliest_is_due_first_and_the_path_decides_a_tie() -> None:
    expiry = Expiry([(5, b"/b"), (5, b"/a/x"), (7, b"/0")])
    expiry.add(5, b"/a")
    order = []
    while (path := expiry.find_due(7)) is not None:
        order.append(path)
        expiry.remove(7 if path == b"/0" else 5, path)
    assert order == [b"/a", b"/a/x", b"/b", b"/0"]


def test_due_includes_the_very_nanosecond() -> None:
    expiry = Expiry([(5, b"/a")])
    assert expiry.find_due(4) is None
    assert expiry.find_due(5) == b"/a"


def test_nothing_is_due_of_nothing() -> None:
    expiry = Expiry()
    assert len(expiry) == 0
    assert expiry.find_due(10**30) is None
    assert expiry.next_ns is None


def test_remove_below_keeps_neighbours_with_a_common_prefix() -> None:
    expiry = Expiry([(1, b"/d"), (2, b"/d/x"), (3, b"/d/y/z"), (4, b"/dx")])
    expiry.remove_below(b"/d/")
    assert len(expiry) == 2
    assert expiry.next_ns == 1
    expiry.remove(1, b"/d")
    assert expiry.find_due(9) == b"/dx"
