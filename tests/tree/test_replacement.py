"""A jump to a later index: nobody misses an event without being cut, nobody hears one too often.

The property compares with a tree that takes the same commands live, and with the history's rules.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdpy.errors import EtcdError
from etcdpy.tree.command import Command, CommandKind, apply
from etcdpy.tree.event import Event
from etcdpy.tree.history import EVENTS_MAX, History
from etcdpy.tree.replacement import replace_state, tell
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import PENDING_MAX, Watcher

NOW_NS = 1_790_000_000 * 10**9
LATER_NS = NOW_NS + 10**9

PATHS = [b"/1", b"/1/d", b"/1/d/b", b"/1/d/b/c", b"/1/d/_h", b"/1/d/_h/k", b"/1/dx", b"/1/e"]


def set_key(path: bytes, value: bytes = b"v") -> Command:
    return Command(CommandKind.SET, NOW_NS, path, value)


def remove(path: bytes) -> Command:
    return Command(CommandKind.DELETE, NOW_NS, path, is_dir=True, is_recursive=True)


def run(tree: Tree, commands: Sequence[Command]) -> None:
    for command in commands:
        with contextlib.suppress(EtcdError):  # refused alike by every tree
            apply(tree, command)


def tree_after(*parts: Sequence[Command]) -> Tree:
    tree = Tree()
    for commands in parts:
        run(tree, commands)
    return tree


def jump(tree: Tree, other: Tree) -> tuple[list[Watcher], list[Watcher]]:
    """Put `other` in the place of `tree`, telling all; return who was cut and who is ready."""
    cut, events = replace_state(tree, other)
    for event in events:
        tell(tree.hub, event)
    return cut, tree.hub.take_ready()


def watch(tree: Tree, path: bytes, how: str = "", since: int = 0) -> Watcher:
    """Watch `path`; `how` may contain r for recursive and s for stream."""
    return tree.watch(path, is_recursive="r" in how, is_stream="s" in how, since=since)


def told(watcher: Watcher) -> list[int]:
    return [event.index for event in watcher.take()]


# The state


def test_the_tree_is_the_other_one_and_goes_on_as_it_would_have() -> None:
    before, after = [set_key(b"/1/a")], [set_key(b"/1/b/c"), remove(b"/1/a")]
    tree, later = tree_after(before), [set_key(b"/1/d"), remove(b"/1/b")]
    jump(tree, tree_after(before, after))
    assert tree.digest() == tree_after(before, after).digest()
    run(tree, later)
    always = tree_after(before, after, later)
    assert tree.digest() == always.digest()
    assert tree.stats == always.stats
    assert list(tree.history) == list(always.history)


def test_what_expired_in_the_other_tree_expires_here() -> None:
    soon = Command(CommandKind.SET, NOW_NS, b"/1/a", b"v", expiration_ns=LATER_NS)
    gone = Command(CommandKind.SET, NOW_NS, b"/1/gone", b"v", expiration_ns=LATER_NS)
    tree = tree_after([gone])
    jump(tree, tree_after([gone, remove(b"/1/gone"), soon]))
    assert tree.next_expiration_ns == LATER_NS
    assert [event.node.key for event in tree.expire(LATER_NS, 10)] == [b"/1/a"]
    assert not tree.has_expiring


def test_the_watchers_are_still_counted() -> None:
    tree = tree_after([set_key(b"/1/a")])
    watch(tree, b"/1/b")
    jump(tree, tree_after([set_key(b"/1/a"), set_key(b"/1/a")]))
    assert tree.hub.count == 1


def test_the_past_of_the_jump_answers_a_watch_with_an_index() -> None:
    tree = tree_after([])
    jump(tree, tree_after([set_key(b"/1/a"), set_key(b"/1/b")]))
    assert told(watch(tree, b"/1/a", since=1)) == [1]


# Who is told


def test_what_happened_in_the_jump_is_told_once_and_in_order() -> None:
    tree = tree_after([set_key(b"/1/a")])
    stream, single = watch(tree, b"/1/a", "s"), watch(tree, b"/1/a")
    _, ready = jump(tree, tree_after([set_key(b"/1/a")], [set_key(b"/1/a")] * 3))
    assert ready == [stream, single]
    assert (told(stream), told(single)) == ([2, 3, 4], [2])
    assert (stream.is_registered, single.is_registered) == (True, False)


def test_who_waits_for_a_later_index_is_told_of_no_earlier_one() -> None:
    tree = tree_after([set_key(b"/1/a")])
    watcher = watch(tree, b"/1/a", "s", since=3)
    jump(tree, tree_after([set_key(b"/1/a")] * 4))
    assert told(watcher) == [3, 4]


def test_a_refresh_in_the_jump_tells_nobody() -> None:
    refresh = Command(CommandKind.SET, NOW_NS, b"/1/a", expiration_ns=LATER_NS, is_refresh=True)
    tree = tree_after([set_key(b"/1/a")])
    watcher = watch(tree, b"/1/a", "s")
    jump(tree, tree_after([set_key(b"/1/a"), refresh]))
    assert told(watcher) == []


@pytest.mark.parametrize(
    ("path", "how", "times"),
    [
        (b"/1/d/b/c", "s", 1),
        (b"/1/d/b/none", "s", 1),  # by the history's rule: nobody knows what lay there
        (b"/1/d", "s", 2),
        (b"/1/d", "rs", 2),
        (b"/1", "rs", 1),
        (b"/1", "s", 0),
        (b"/1/dx", "rs", 0),
    ],
)
def test_a_removed_directory_is_told_below_and_above(path: bytes, how: str, times: int) -> None:
    before = [set_key(b"/1/d/b/c")]
    tree = tree_after(before)
    watcher = watch(tree, path, how)
    jump(tree, tree_after(before, [remove(b"/1/d")]))
    assert told(watcher) == [2] * times


# Who is cut


def filler(count: int) -> list[Command]:
    return [set_key(b"/1/filler")] * count


@pytest.mark.parametrize(("missed", "is_cut"), [(EVENTS_MAX, False), (EVENTS_MAX + 1, True)])
def test_who_may_have_missed_an_event_is_cut(missed: int, is_cut: bool) -> None:
    before = filler(5)
    tree = tree_after(before)
    watcher = watch(tree, b"/1/a", "rs", since=1)  # long since told of what there was
    cut, _ = jump(tree, tree_after(before, filler(missed)))
    assert cut == ([watcher] if is_cut else [])
    assert watcher.is_registered is not is_cut
    run(tree, [set_key(b"/1/a")])
    assert told(watcher) == ([] if is_cut else [tree.index])


def test_who_is_cut_comes_back_to_a_401() -> None:
    before = filler(5)
    tree = tree_after(before)
    watcher = watch(tree, b"/1/a")
    jump(tree, tree_after(before, filler(EVENTS_MAX + 1)))
    with pytest.raises(EtcdError, match="the requested history has been cleared"):
        watch(tree, b"/1/a", since=watcher.since)


def test_who_waits_for_an_index_that_the_history_has_is_not_cut() -> None:
    after = [*filler(EVENTS_MAX), set_key(b"/1/a")]
    tree = tree_after(filler(5))
    watcher = watch(tree, b"/1/a", since=EVENTS_MAX + 6)
    cut, _ = jump(tree, tree_after(filler(5), after))
    assert (cut, told(watcher)) == ([], [EVENTS_MAX + 6])


def test_events_that_wait_for_a_slow_client_stay_its_own() -> None:
    before = [set_key(b"/1/a")]
    tree = tree_after(before)
    watcher = watch(tree, b"/1/a", "s")
    run(tree, [set_key(b"/1/a")])
    jump(tree, tree_after(before, [set_key(b"/1/a")] * 2))
    assert told(watcher) == [2, 3]


def test_a_watcher_that_is_not_read_overflows_as_always() -> None:
    tree = tree_after([set_key(b"/1/a")])
    watcher = watch(tree, b"/1/a", "s")
    jump(tree, tree_after([set_key(b"/1/a")] * (PENDING_MAX + 50)))
    assert watcher.is_overflowed
    assert not watcher.is_registered
    assert told(watcher) == list(range(2, PENDING_MAX + 2))


# The property

FILES = st.sampled_from(PATHS[1:])
COMMANDS = st.one_of(
    st.builds(set_key, FILES),
    st.builds(remove, FILES),
    st.builds(lambda path: Command(CommandKind.SET, NOW_NS, path, is_dir=True), FILES),
    st.builds(lambda path: Command(CommandKind.COMPARE_AND_DELETE, NOW_NS, path), FILES),
    st.builds(
        lambda path, is_dir: Command(
            CommandKind.SET, NOW_NS, path, is_dir=is_dir, expiration_ns=LATER_NS
        ),
        FILES,
        st.booleans(),
    ),
    st.builds(
        lambda path: Command(
            CommandKind.UPDATE, NOW_NS, path, is_refresh=True, expiration_ns=LATER_NS
        ),
        FILES,
    ),
    st.just(Command(CommandKind.SYNC, LATER_NS, limit=5)),
)


@dataclass(frozen=True)
class Watch:
    """A watch that is made before the jump; `ahead` of the index then, 0 for the next event."""

    path: bytes
    is_recursive: bool
    is_stream: bool
    ahead: int


WATCHES = st.builds(
    Watch, st.sampled_from(PATHS), st.booleans(), st.booleans(), st.integers(0, EVENTS_MAX + 20)
)


def is_in_history(event: Event, watched: Watch) -> bool:
    """Tell whether the search of the history finds this very event for the watch."""
    found = History([event]).scan(
        watched.path, is_recursive=watched.is_recursive, since=event.index, index=event.index
    )
    return found is event


def live_counts(
    watched: Watch, before: Sequence[Command], after: Sequence[Command]
) -> Counter[int]:
    """Return how often a stream would have been told of each event, had it all happened here."""
    tree = tree_after(before)
    start = tree.index
    twin = tree.watch(watched.path, is_recursive=watched.is_recursive, is_stream=True, since=0)
    counts: Counter[int] = Counter()
    for command in after:
        run(tree, [command])
        counts.update(told(twin))
    assert all(index > start for index in counts)
    return counts


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(COMMANDS, max_size=15),
    after=st.lists(COMMANDS, max_size=25),
    filled=st.sampled_from([0, 0, 3, EVENTS_MAX - 20, EVENTS_MAX, EVENTS_MAX + 5]),
    watched=WATCHES,
)
def test_a_watcher_is_told_what_it_would_have_been_or_is_cut(
    before: list[Command], after: list[Command], filled: int, watched: Watch
) -> None:
    after = [*filler(filled), *after]
    tree, other = tree_after(before), tree_after(before, after)
    since = tree.index + watched.ahead if watched.ahead else 0
    watcher = tree.watch(
        watched.path,
        is_recursive=watched.is_recursive,
        is_stream=watched.is_stream,
        since=max(since, tree.index + 1),
    )
    live = live_counts(watched, before, after)
    oldest = other.index - len(other.history) + 1

    indexes: list[int] = []
    cut, events = replace_state(tree, other)
    for event in events:
        tell(tree.hub, event)
        indexes += told(watcher)

    missed = [i for i in live if watcher.since <= i < oldest]
    if cut:
        assert watcher.since < oldest  # it comes back with this index, and sees 401
        assert (indexes, watcher.is_registered) == ([], False)
        return
    assert not missed
    assert indexes == sorted(indexes)
    by_index = {event.index: event for event in events}
    counts = Counter(indexes)
    for index, count in counts.items():
        assert index >= watcher.since
        assert count <= max(live[index], 1)
        assert live[index] or is_in_history(by_index[index], watched)
    due = [i for i in sorted(live) if i >= watcher.since]
    if watched.is_stream:
        assert all(counts[i] == live[i] for i in due)
    else:
        assert len(indexes) <= 1
        assert not due or (indexes and indexes[0] <= due[0])
        assert watcher.is_registered is not bool(indexes)
