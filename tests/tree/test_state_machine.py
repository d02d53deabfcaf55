"""The tree against the naive model: random histories of commands, reads and watches."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from etcdpy.errors import EtcdError
from etcdpy.tree import removal, usage
from etcdpy.tree.capture import rows
from etcdpy.tree.command import Command, CommandKind, apply, decode, encode
from etcdpy.tree.event import NodeView
from etcdpy.tree.snapshot import restore
from etcdpy.tree.stats import STAT_NAMES
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher
from tests.tree.model import Model, ModelWatcher, Record, parts, text

SOAK_FACTOR = int(os.environ.get("ETCDPY_SOAK_EXAMPLES", "1"))
START_NS = 1_790_000_000 * 10**9

NAMES = [b"a", b"b", b"ab", b"_h", b"_", b"a_b", b"\xff"]
# A path is chosen among those that exist or are watched, by number, and may go on below it.
WHERE = st.tuples(
    st.integers(0, 40), st.just([]) | st.just([]) | st.lists(st.sampled_from(NAMES), max_size=2)
)
VALUES = st.sampled_from([b"", b"x", b"y", b"\x00\xff"])
RIGHT = b"right"  # stands for the value that is there, as -1 for the index
EXPECTED = st.tuples(st.sampled_from([None, b"x", RIGHT]), st.sampled_from([0, 4, -1]))
# Seconds from now; None is permanent, the last two lie before the year 2000.
TTLS = st.sampled_from([None, None, 0, 1, 2, 3, -1, -1_000_000_000, -(10**10)])

Where = tuple[int, list[bytes]]
Expected = tuple[bytes | None, int]
Pair = tuple[Watcher, ModelWatcher]


class TreeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.model = Model()
        self.now_ns = START_NS
        self.log: list[bytes] = []
        self.pairs: list[Pair] = []

    def path(self, where: Where) -> bytes:
        number, names = where
        known = [text(path) for path in self.model.records]
        known += [watcher.path for watcher, twin in self.pairs if twin.is_live]
        base = known[number % len(known)]
        return b"/".join([base if base != b"/" else b"", *names]) or b"/"

    def expiration(self, ttl_s: int | None) -> int | None:
        return None if ttl_s is None else self.now_ns + ttl_s * 10**9

    def run_both(self, on_tree: Callable[[], Any], on_model: Callable[[], Any]) -> tuple[Any, Any]:
        """Run both; they must agree on success, and on code, cause and index of a refusal."""
        expected, refusal = outcome_of(on_model)
        before = self.tree.digest() if refusal is not None else b""
        found, found_refusal = outcome_of(on_tree)
        if refusal is not None:
            assert found_refusal is not None
            assert found_refusal.args == refusal.args
            assert self.tree.digest() == before
        else:
            assert found_refusal is None
        return found, expected

    def command(self, kind: CommandKind, **fields: Any) -> bool:
        """Apply a command to both; tell whether it was accepted."""
        command = Command(kind, self.now_ns, **fields)
        data = encode(command)
        self.log.append(data)
        outcome, expected = self.run_both(
            lambda: apply(self.tree, decode(data)),
            lambda: self.model.apply(command),
        )
        assert outcome == expected
        return outcome is not None

    def comparison(self, path: bytes, expected: Expected) -> dict[str, Any]:
        """Return the fields of a comparison; of a missing or empty record nothing is right."""
        value, index = expected
        record = self.model.records.get(parts(path), Record(None, 0, 0))
        return {
            "prev_value": (record.value or None) if value == RIGHT else value,
            "prev_index": record.modified if index == -1 else index,
        }

    @initialize(ttls=st.lists(TTLS, min_size=4, max_size=4), is_walked=st.booleans())
    def plant(self, ttls: list[int | None], is_walked: bool) -> None:
        """Begin with a directory that has something of everything.

        Both ways to find what a removed directory held must do the same.
        """
        removal.WALKED_NODES_MIN = 64 if is_walked else 0
        usage.SWEPT_AT_ONCE = 256 if is_walked else 1
        for name, ttl_s in zip([b"b/c", b"f", b"_h/k", b"b/_h"], ttls, strict=True):
            expiration_ns = self.expiration(ttl_s)
            self.command(CommandKind.SET, path=b"/1/a/" + name, expiration_ns=expiration_ns)
        self.command(CommandKind.SET, path=b"/1/a/e", is_dir=True, expiration_ns=expiration_ns)

    # Writes

    @rule(where=WHERE, value=VALUES, is_dir=st.booleans(), ttl_s=TTLS, is_refresh=st.booleans())
    def set(
        self, where: Where, value: bytes, is_dir: bool, ttl_s: int | None, is_refresh: bool
    ) -> None:
        self.command(
            CommandKind.SET,
            path=self.path(where),
            value=value,
            is_dir=is_dir,
            expiration_ns=self.expiration(ttl_s),
            is_refresh=is_refresh,
        )

    @rule(where=WHERE, value=VALUES)
    def set_plain(self, where: Where, value: bytes) -> None:
        self.command(CommandKind.SET, path=self.path(where), value=value)

    @rule(where=WHERE, value=VALUES, is_dir=st.booleans(), ttl_s=TTLS, is_unique=st.booleans())
    def create(
        self, where: Where, value: bytes, is_dir: bool, ttl_s: int | None, is_unique: bool
    ) -> None:
        self.command(
            CommandKind.CREATE,
            path=self.path(where),
            value=value,
            is_dir=is_dir,
            expiration_ns=self.expiration(ttl_s),
            is_unique=is_unique,
        )

    @rule(where=WHERE, ahead=st.integers(1, 2))
    def take_unique_name(self, where: Where, ahead: int) -> None:
        name = b"/%020d" % (self.tree.index + 1 + ahead)
        self.command(CommandKind.SET, path=self.path(where).rstrip(b"/") + name)
        self.command(CommandKind.CREATE, path=self.path(where), is_unique=True)

    @rule(where=WHERE, value=VALUES, ttl_s=TTLS, is_refresh=st.booleans())
    def update(self, where: Where, value: bytes, ttl_s: int | None, is_refresh: bool) -> None:
        self.command(
            CommandKind.UPDATE,
            path=self.path(where),
            value=value,
            expiration_ns=self.expiration(ttl_s),
            is_refresh=is_refresh,
        )

    @rule(
        where=WHERE,
        value=VALUES,
        expected=EXPECTED,
        ttl_s=TTLS,
        is_refresh=st.booleans(),
    )
    def compare_and_swap(
        self, where: Where, value: bytes, expected: Expected, ttl_s: int | None, is_refresh: bool
    ) -> None:
        self.command(
            CommandKind.COMPARE_AND_SWAP,
            path=self.path(where),
            value=value,
            **self.comparison(self.path(where), expected),
            expiration_ns=self.expiration(ttl_s),
            is_refresh=is_refresh,
        )

    @rule(where=WHERE, is_dir=st.booleans(), is_recursive=st.booleans())
    def delete(self, where: Where, is_dir: bool, is_recursive: bool) -> None:
        self.command(
            CommandKind.DELETE, path=self.path(where), is_dir=is_dir, is_recursive=is_recursive
        )

    @rule(where=WHERE, expected=EXPECTED)
    def compare_and_delete(self, where: Where, expected: Expected) -> None:
        self.command(
            CommandKind.COMPARE_AND_DELETE,
            path=self.path(where),
            **self.comparison(self.path(where), expected),
        )

    @rule(seconds=st.integers(0, 3), limit=st.sampled_from([0, 1, 2, 1000]))
    def sync(self, seconds: int, limit: int) -> None:
        self.now_ns += seconds * 10**9
        self.command(CommandKind.SYNC, limit=limit)

    @precondition(lambda self: self.tree.index < 1200)
    @rule(where=WHERE, count=st.sampled_from([60, 110, 110, 110, 1001]))
    def burst(self, where: Where, count: int) -> None:
        """Fill watchers and history past their bounds."""
        path = self.path(where)
        for _ in range(count):
            if not self.command(CommandKind.SET, path=path, value=b"burst"):
                break

    # Reads and watches

    @rule(where=WHERE, is_recursive=st.booleans(), is_sorted=st.booleans())
    def get(self, where: Where, is_recursive: bool, is_sorted: bool) -> None:
        self.get_at(self.path(where), is_recursive, is_sorted)

    def get_at(self, path: bytes, is_recursive: bool, is_sorted: bool) -> None:
        event, expected = self.run_both(
            lambda: self.tree.get(
                path, is_recursive=is_recursive, is_sorted=is_sorted, now_ns=self.now_ns
            ),
            lambda: self.model.get(path, is_recursive=is_recursive, now_ns=self.now_ns),
        )
        if event is not None and not is_sorted:
            event = event._replace(node=in_order(event.node))
        assert event == expected

    @rule(
        where=WHERE,
        is_recursive=st.booleans(),
        is_stream=st.booleans(),
        back=st.integers(-4, -1) | st.integers(0, 9) | st.integers(990, 1002),
    )
    def watch_since(self, where: Where, is_recursive: bool, is_stream: bool, back: int) -> None:
        since = max(0, self.tree.index - back)
        self.watch(self.path(where), is_recursive, is_stream, since)

    @rule(number=st.integers(0, 6), change=st.sampled_from([b"", b"/x", b"x", b".."]))
    def watch_what_happened(self, number: int, change: bytes) -> None:
        """Watch a key of a recent event, a path below or beside it, or its parent, from then on."""
        events = self.model.events[-1 - number :]
        if events:
            key = events[0].node.key
            path = key.rpartition(b"/")[0] or b"/" if change == b".." else key + change
            self.watch(path, number % 2 == 0, number % 3 == 0, events[0].index)

    @rule(where=WHERE, is_recursive=st.booleans(), is_stream=st.booleans())
    def watch_next(self, where: Where, is_recursive: bool, is_stream: bool) -> None:
        self.watch(self.path(where), is_recursive, is_stream, 0)

    @rule(path=st.sampled_from([b"/", b"/1", b"/1/a"]))
    def watch_top(self, path: bytes) -> None:
        self.watch(path, True, True, 0)

    def watch(self, path: bytes, is_recursive: bool, is_stream: bool, since: int) -> None:
        start_index = self.tree.index
        pair = self.run_both(
            lambda: self.tree.watch(
                path, is_recursive=is_recursive, is_stream=is_stream, since=since
            ),
            lambda: self.model.watch(
                path, is_recursive=is_recursive, is_stream=is_stream, since=since
            ),
        )
        if pair != (None, None):
            assert pair[0].start_index == start_index
            self.pairs.append(pair)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def unwatch(self, data: st.DataObject) -> None:
        watcher, expected = data.draw(st.sampled_from(self.pairs))
        self.tree.unwatch(watcher)
        expected.is_live = False

    @rule()
    def take(self) -> None:
        ready = self.tree.hub.take_ready()
        assert len(set(ready)) == len(ready)
        assert not self.tree.hub.ready
        told = {watcher for watcher, expected in self.pairs if expected.pending}
        live = {watcher for watcher, expected in self.pairs if expected in self.model.watchers}
        assert set(ready) == told & live
        for watcher, expected in self.pairs:
            assert watcher.take() == expected.pending
            assert watcher.take() == []
            expected.pending = []

    # The whole

    @rule()
    def snapshot_and_restore(self) -> None:
        restored = restore(list(rows(self.tree)))
        assert restored.digest() == self.tree.digest()
        assert list(restored.history) == list(self.tree.history)
        assert restored.stats == self.tree.stats
        assert restored.next_expiration_ns == self.tree.next_expiration_ns
        assert not restored.usage.has_debris
        self.take()
        self.tree = restored
        self.pairs = []
        self.model.watchers = []

    @invariant()
    def agrees(self) -> None:
        assert self.tree.index == self.model.index
        counters = self.tree.stats.as_json(self.tree.hub.count)
        expected = {name: self.model.counters.get(name, 0) for name in STAT_NAMES}
        assert counters == expected | {"watchers": self.model.live_count()}
        self.tree.usage.sweep(1_000)
        used = self.tree.usage
        assert (used.keys, used.size_bytes) == self.model.usage()
        for watcher, twin in self.pairs:
            assert watcher.is_registered == twin.is_live
            assert watcher.is_overflowed == twin.is_overflowed
        assert self.tree.has_expiring == any(
            record.expiration_ns is not None for record in self.model.records.values()
        )

    def teardown(self) -> None:
        removal.WALKED_NODES_MIN = 64
        usage.SWEPT_AT_ONCE = 256
        self.get_at(b"/", True, True)
        self.take()
        replayed = Tree()
        for data in self.log:
            try:
                apply(replayed, decode(data))
            except EtcdError:
                continue
        assert replayed.digest() == self.tree.digest()
        assert list(replayed.history) == list(self.tree.history)


def outcome_of(run: Callable[[], Any]) -> tuple[Any, EtcdError | None]:
    try:
        return run(), None
    except EtcdError as refusal:
        return None, refusal


def in_order(view: NodeView) -> NodeView:
    if view.nodes is None:
        return view
    nodes = sorted((in_order(node) for node in view.nodes), key=lambda node: node.key)
    return view._replace(nodes=nodes)


@pytest.mark.timeout(600 * SOAK_FACTOR)
def test_tree_agrees_with_naive_model() -> None:
    run_state_machine_as_test(
        TreeMachine,
        settings=settings(
            max_examples=120 * SOAK_FACTOR,
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
