"""What is loaded is out of the collector's sight, and what was garbage before is not."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from etcdpy.collector import collect_seldom, collector_at_rest


class Node:
    """Something that the collector knows of."""

    def __init__(self) -> None:
        self.itself: Node | None = None


@pytest.fixture(autouse=True)
def _nothing_stays_frozen() -> Iterator[None]:
    gc.collect()
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_loaded_is_not_looked_at_again() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
        loaded = [Node() for _ in range(1000)]
    assert gc.isenabled()
    known = {id(thing) for thing in gc.get_objects()}
    assert not any(id(node) in known for node in loaded)


def test_what_was_garbage_before_is_not_kept_for_ever() -> None:
    garbage = Node()
    garbage.itself = garbage
    seen = weakref.ref(garbage)
    del garbage
    with collector_at_rest():
        assert seen() is None


def test_the_collector_goes_on_after_a_load_that_failed() -> None:
    with pytest.raises(ValueError, match="damaged"), collector_at_rest():
        raise ValueError("damaged")
    assert gc.isenabled()


def test_a_server_collects_seldom_but_does() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_threshold()[0] > before[0] > 0
        assert gc.get_threshold()[1] < before[1]  # what survives is soon out of the way
    finally:
        gc.set_threshold(*before)
