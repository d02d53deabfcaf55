"""A second store, naive and independent, to hold the tree against.

A flat dict of path to record, a list of all events that ever were, and watchers that are evaluated
by brute force from the words of spec/watch.md.  Nothing here is fast; each rule stands alone, in
the order in which spec/keys.md section 7 lists it.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from etcdpy.errors import EtcdError
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event, NodeView

Path = tuple[bytes, ...]  # the components; the root has none

Y2000_NS = 946_684_800 * 10**9


@dataclass
class Record:
    value: bytes | None  # None for a directory
    created: int
    modified: int
    expiration_ns: int | None = None


@dataclass(eq=False)
class ModelWatcher:
    path: Path
    is_recursive: bool
    is_stream: bool
    since: int
    is_live: bool = True
    is_overflowed: bool = False
    pending: list[Event] = field(default_factory=list)


def parts(path: bytes) -> Path:
    return tuple(name for name in path.split(b"/") if name)


def text(path: Path) -> bytes:
    return b"/" + b"/".join(path)


class Model:
    def __init__(self) -> None:
        self.index = 0
        self.records: dict[Path, Record] = {
            (): Record(None, 0, 0),
            (b"0",): Record(None, 0, 0),
            (b"1",): Record(None, 0, 0),
        }
        self.events: list[Event] = []
        self.watchers: list[ModelWatcher] = []
        self.counters: dict[str, int] = {}

    # What is common to several operations

    def count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1

    def error(self, code: int, cause: bytes) -> EtcdError:
        return EtcdError(code, cause, self.index)

    def is_root(self, path: Path) -> bool:
        return path in ((), (b"0",), (b"1",))

    def check_no_file_in_way(self, path: Path) -> None:
        for length in range(len(path)):
            record = self.records.get(path[:length])
            if record is not None and record.value is not None:
                raise self.error(104, text(path[:length]))

    def check_reachable(self, path: Path) -> Record:
        self.check_no_file_in_way(path)
        for length in range(len(path) + 1):
            if path[:length] not in self.records:
                raise self.error(100, text(path[:length]))
        return self.records[path]

    def children(self, path: Path) -> list[Path]:
        return sorted(p for p in self.records if p[:-1] == path and p)

    def view(self, path: Path, now_ns: int, nodes: list[NodeView] | None = None) -> NodeView:
        record = self.records[path]
        ttl_s = 0
        if record.expiration_ns is not None:
            ttl_s = ceil(Fraction(max(record.expiration_ns - now_ns, -(2**63)), 10**9))
        return NodeView(
            key=text(path),
            value=record.value,
            is_dir=record.value is None,
            expiration_ns=record.expiration_ns,
            ttl_s=ttl_s,
            nodes=nodes,
            modified_index=record.modified,
            created_index=record.created,
        )

    def listing(self, path: Path, now_ns: int, levels: int) -> NodeView:
        visible = [p for p in self.children(path) if not p[-1].startswith(b"_")]
        if levels == 0 or not visible:
            return self.view(path, now_ns)
        nodes = [self.listing(p, now_ns, levels - 1) for p in visible]
        return self.view(path, now_ns, nodes)

    def check_as_expected(self, record: Record, command: Command) -> None:
        failed = []
        if command.prev_value is not None and command.prev_value != record.value:
            assert record.value is not None
            failed.append(b"[" + command.prev_value + b" != " + record.value + b"]")
        if command.prev_index not in (0, record.modified):
            failed.append(b"[%d != %d]" % (command.prev_index, record.modified))
        if failed:
            raise self.error(101, b" ".join(failed))

    def usage(self) -> tuple[int, int]:
        """Return how many nodes clients have made, and the bytes of their names and values."""
        theirs = {p: record for p, record in self.records.items() if p[:1] == (b"1",) and p[1:]}
        size_bytes = sum(len(p[-1]) + len(record.value or b"") for p, record in theirs.items())
        return len(theirs), size_bytes

    # The operations

    def get(self, path: bytes, *, is_recursive: bool, now_ns: int) -> Event:
        where = parts(path)
        try:
            self.check_reachable(where)
        except EtcdError:
            self.count("getsFail")
            raise
        self.count("getsSuccess")
        levels = 1_000 if is_recursive else 1
        return Event("get", self.listing(where, now_ns, levels), None, self.index)

    def apply(self, command: Command) -> Event | list[Event]:
        if command.kind == CommandKind.SYNC:
            return self.sync(command)
        operation, name, odd_successes = {
            CommandKind.SET: (self.set, "sets", ()),
            CommandKind.CREATE: (self.create, "create", ()),
            CommandKind.UPDATE: (self.update, "update", (107, 102)),
            CommandKind.COMPARE_AND_SWAP: (self.compare_and_swap, "compareAndSwap", (107,)),
            CommandKind.DELETE: (self.delete, "delete", (107,)),
            CommandKind.COMPARE_AND_DELETE: (
                self.compare_and_delete,
                "compareAndDelete",
                (101, 102),
            ),
        }[CommandKind(command.kind)]
        try:
            event = operation(command, parts(command.path))
        except EtcdError as refusal:
            self.count(name + ("Success" if refusal.code in odd_successes else "Fail"))
            if command.kind == CommandKind.CREATE and refusal.code == 104:
                self.count("setsFail")
            raise
        self.count(name + "Success")
        return event

    def set(self, command: Command, path: Path) -> Event:
        self.check_no_file_in_way(path)
        value = command.value
        if command.is_refresh:
            value = self.check_reachable(path).value or b""
        if self.is_root(path):
            raise self.error(107, b"/")
        record = self.records.get(path)
        if record is not None and record.value is None:
            raise self.error(102, text(path))
        prev = None if record is None else self.view(path, command.now_ns)
        return self.make("set", command, path, value, prev)

    def create(self, command: Command, path: Path) -> Event:
        if command.is_unique:
            path = (*path, str(self.index + 1).zfill(20).encode())
        if self.is_root(path):
            raise self.error(107, b"/")
        self.check_no_file_in_way(path)
        if path in self.records:
            raise self.error(105, text(path))
        return self.make("create", command, path, command.value, None)

    def make(
        self, action: str, command: Command, path: Path, value: bytes, prev: NodeView | None
    ) -> Event:
        self.index += 1
        for length in range(1, len(path)):
            self.records.setdefault(path[:length], Record(None, self.index, self.index))
        expiration_ns = command.expiration_ns
        if expiration_ns is not None and expiration_ns < Y2000_NS:
            expiration_ns = None
        self.records[path] = Record(
            None if command.is_dir else value, self.index, self.index, expiration_ns
        )
        shown = self.view(path, command.now_ns)
        return self.happened(Event(action, shown, prev, self.index, command.is_refresh))

    def update(self, command: Command, path: Path) -> Event:
        if self.is_root(path):
            raise self.error(107, b"/")
        record = self.check_reachable(path)
        if record.value is None and command.value:
            raise self.error(102, text(path))
        return self.change("update", command, path, record)

    def compare_and_swap(self, command: Command, path: Path) -> Event:
        if self.is_root(path):
            raise self.error(107, b"/")
        record = self.check_reachable(path)
        if record.value is None:
            raise self.error(102, text(path))
        self.check_as_expected(record, command)
        return self.change("compareAndSwap", command, path, record)

    def change(self, action: str, command: Command, path: Path, record: Record) -> Event:
        prev = self.view(path, command.now_ns)
        self.index += 1
        if record.value is not None:
            if not command.is_refresh:
                record.value = command.value
            record.modified = self.index
        record.expiration_ns = command.expiration_ns
        shown = self.view(path, command.now_ns)._replace(modified_index=self.index)
        return self.happened(Event(action, shown, prev, self.index, command.is_refresh))

    def delete(self, command: Command, path: Path) -> Event:
        if self.is_root(path):
            raise self.error(107, b"/")
        record = self.check_reachable(path)
        if record.value is None and not command.is_dir and not command.is_recursive:
            raise self.error(102, text(path))
        if self.children(path) and not command.is_recursive:
            raise self.error(108, text(path))
        return self.remove("delete", path, command.now_ns)

    def compare_and_delete(self, command: Command, path: Path) -> Event:
        record = self.check_reachable(path)
        if record.value is None:
            raise self.error(102, text(path))
        self.check_as_expected(record, command)
        return self.remove("compareAndDelete", path, command.now_ns)

    def sync(self, command: Command) -> list[Event]:
        events: list[Event] = []
        while len(events) < command.limit:
            due = [
                (record.expiration_ns, text(path), path)
                for path, record in self.records.items()
                if record.expiration_ns is not None and record.expiration_ns <= command.now_ns
            ]
            if not due:
                break
            self.count("expireCount")
            events.append(self.remove("expire", min(due)[2], command.now_ns))
        return events

    def remove(self, action: str, path: Path, now_ns: int) -> Event:
        prev = self.view(path, now_ns)
        self.index += 1
        shown = prev._replace(value=None, expiration_ns=None, ttl_s=0, modified_index=self.index)
        gone = [p for p in self.records if p[: len(path)] == path]
        for each in gone:
            del self.records[each]
        return self.happened(Event(action, shown, prev, self.index), gone)

    # Watching

    def happened(self, event: Event, gone: list[Path] | None = None) -> Event:
        self.events.append(event)
        if not event.is_refresh:
            for watcher in self.watchers:
                if watcher.is_live and event.index >= watcher.since:
                    self.tell(watcher, event, self.deliveries(watcher, event, gone or []))
        return event

    def deliveries(self, watcher: ModelWatcher, event: Event, gone: list[Path]) -> int:
        key = parts(event.node.key)
        phase_a = 1 if watcher.path in gone else 0
        between = key[len(watcher.path) :]
        if watcher.path == key:
            return phase_a + 1
        is_above = key[: len(watcher.path)] == watcher.path
        is_hidden = any(name.startswith(b"_") for name in between)
        return phase_a + (1 if is_above and watcher.is_recursive and not is_hidden else 0)

    def tell(self, watcher: ModelWatcher, event: Event, times: int) -> None:
        for _ in range(times):
            if len(watcher.pending) == 100:
                watcher.is_live = False
                watcher.is_overflowed = True
            if watcher.is_live:
                watcher.pending.append(event)
                watcher.is_live = watcher.is_stream

    def watch(
        self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int
    ) -> ModelWatcher:
        oldest = max(1, self.index - 999)
        since = since or self.index + 1
        if since < oldest:
            cause = f"the requested history has been cleared [{oldest}/{since}]"
            raise self.error(401, cause.encode())
        watcher = ModelWatcher(parts(path), is_recursive, is_stream, since)
        for event in self.events[since - 1 :]:
            if not event.is_refresh and self.is_match_of_past(watcher, event):
                watcher.pending.append(event)
                watcher.is_live = False
                return watcher
        self.watchers.append(watcher)
        return watcher

    def is_match_of_past(self, watcher: ModelWatcher, event: Event) -> bool:
        key = event.node.key
        watched = text(watcher.path)
        if key == watched:
            return True
        if watcher.is_recursive and (key.startswith(watched + b"/") or watched == b"/"):
            return True
        return (
            event.action in ("delete", "expire")
            and event.prev_node is not None
            and event.prev_node.is_dir
            and watched.startswith(key)
        )

    def live_count(self) -> int:
        return sum(watcher.is_live for watcher in self.watchers)
