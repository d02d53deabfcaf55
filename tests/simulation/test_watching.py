"""The watching client and its checker."""

import pytest

from etcdpy.tree.event import Event
from etcdpy.tree.tree import Tree
from tests.simulation.violation import Violation
from tests.simulation.watching import Session


def _session(path: bytes = b"/1/a", *, is_stream: bool = False) -> Session:
    return Session(1, path, is_recursive=True, is_stream=is_stream)


def _wake(tree: Tree) -> None:
    for watcher in tree.hub.take_ready():
        watcher.owner.wake()


def _set(tree: Tree, path: bytes) -> Event:
    event = tree.set(path, value=b"x", now_ns=0)
    _wake(tree)
    return event


def test_a_session_that_resumes_sees_all() -> None:
    tree = Tree()
    session = _session()
    session.connect(tree)
    truth = [_set(tree, path) for path in (b"/1/a", b"/1/b", b"/1/a")]
    while session.watcher is None:
        session.connect(tree)
    session.check(truth, 3)
    assert [index for index, _ in session.seen] == [1, 3]


def test_a_missed_event_is_found() -> None:
    tree = Tree()
    session = _session(is_stream=True)
    session.connect(tree)
    truth = [_set(tree, b"/1/a")]
    session.disconnect()
    truth.append(_set(tree, b"/1/a"))
    with pytest.raises(Violation, match="missed"):
        session.check(truth, 2)


def test_an_event_that_comes_again_is_found() -> None:
    tree = Tree()
    session = _session(is_stream=True)
    session.connect(tree)
    event = _set(tree, b"/1/a")
    assert session.watcher is not None
    session.watcher.add(event)
    with pytest.raises(Violation, match="after it had seen"):
        session.take()


def test_a_cleared_history_excuses_what_it_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etcdpy.tree.history.EVENTS_MAX", 2)
    tree = Tree()
    session = _session(is_stream=True)
    session.connect(tree)
    session.disconnect()
    truth = [_set(tree, b"/1/a") for _ in range(5)]
    session.connect(tree)
    assert session.gaps == [(1, 6)]
    truth.append(_set(tree, b"/1/a"))
    session.check(truth, 6)


def test_a_stream_may_be_told_of_a_removal_twice() -> None:
    tree = Tree()
    session = _session(is_stream=True)
    session.connect(tree)
    truth = [_set(tree, b"/1/a")]
    truth.append(tree.delete(b"/1/a", is_dir=False, is_recursive=False, now_ns=0))
    _wake(tree)
    session.check(truth, 2)
