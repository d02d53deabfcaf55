"""Tree: the operations of etcd's v2 store on a hierarchy of nodes.

Each operation decides first and changes after: a refusal leaves everything but its counter as it
was.  Rules for changing it: the order of the refusals is the API's (spec/keys.md section 7), and so
is what a refusal counts as, odd as it is (section 20).  Paths are clean, full internal paths; an
error's cause is one too.  `now_ns` is the command's clock and serves only to compute `ttl_s`.

The hot operations are written out rather than shared: tests/tree/measure.py has their cost.
"""

from etcdpy.errors import (
    COMPARE_FAILED,
    DIRECTORY_NOT_EMPTY,
    KEY_EXISTS,
    NOT_A_FILE,
    ROOT_READ_ONLY,
    EtcdError,
)
from etcdpy.tree.digest import digest_of
from etcdpy.tree.event import (
    COMPARE_AND_DELETE,
    COMPARE_AND_SWAP,
    CREATE,
    DELETE,
    EXPIRE,
    GET,
    SET,
    UPDATE,
    Event,
    NodeView,
    new_event,
    new_view,
)
from etcdpy.tree.expiry import Expiry
from etcdpy.tree.history import History
from etcdpy.tree.node import (
    Node,
    descend,
    detach,
    find_difference,
    graft,
    listing,
    new_directory,
    refuse_large,
    ttl_s,
    unreachable,
    view,
)
from etcdpy.tree.notes import Notes
from etcdpy.tree.paths import KEYS_PART, MEMBERS_PART, ROOT, below, join
from etcdpy.tree.removal import forget_below
from etcdpy.tree.stats import Stats
from etcdpy.tree.usage import KEYS_NAME, Usage
from etcdpy.tree.watch import Watcher, WatchHub

READ_ONLY = frozenset((ROOT, MEMBERS_PART, KEYS_PART))
_KEYS_PREFIX = below(KEYS_PART)

# Set and create take an earlier expiration (2000-01-01) for none: a TTL so large that it wrapped.
EXPIRATION_NS_MIN = 946_684_800 * 1_000_000_000


class Tree:
    """The key tree, its index, events and watchers.

    `index` counts changes.  `root`, `expiry` and `history` are for this package's own modules.
    """

    __slots__ = ("expiry", "history", "hub", "index", "journal", "notes", "root", "stats", "usage")

    def __init__(self) -> None:
        self.index = 0
        self.root = new_directory(0)
        self.root.children = {b"0": new_directory(0), b"1": new_directory(0)}
        self.expiry = Expiry()
        self.history = History()
        self.hub = WatchHub()
        self.stats = Stats()
        self.notes = Notes()  # for the pictures that are open
        self.usage = Usage(self.notes)
        self.journal: list[Event] | None = None  # of a capture that goes on

    # Reading

    def get(
        self,
        path: bytes,
        *,
        is_recursive: bool,
        is_sorted: bool,
        now_ns: int,
        nodes_max: int | None = None,
    ) -> Event:
        """Return the node at `path`; a directory with its visible children.

        Raises: EtcdError 104, 100; LargeListingError, uncounted, for more than `nodes_max` nodes.
        """
        node, depth, names = descend(self.root, path)
        if depth != len(names):
            self.stats.gets_fail += 1
            raise unreachable(node, depth, names, self.index)
        if node.children is None:
            shown = view(node, path, now_ns)
        else:
            if nodes_max is not None:
                refuse_large(node, nodes_max, is_recursive=is_recursive)
            shown = listing(node, path, now_ns, is_recursive=is_recursive, is_sorted=is_sorted)
        self.stats.gets_success += 1
        return new_event((GET, shown, None, self.index, False))

    def find_node(self, path: bytes) -> Node | None:
        """Return the node at `path`, uncounted; for this package's own modules."""
        node, depth, names = descend(self.root, path)
        return node if depth == len(names) else None

    # Writing

    def set(
        self,
        path: bytes,
        *,
        value: bytes = b"",
        is_dir: bool = False,
        expiration_ns: int | None = None,
        is_refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Make a file or directory at `path`, in the place of the file that may be there.

        Raises: EtcdError 104, 100 (refresh of nothing), 107, 102.
        """
        node, depth, names = descend(self.root, path)
        prev: NodeView | None = None
        if depth == len(names):
            if node.children is not None:
                self.stats.sets_fail += 1
                code, cause = (ROOT_READ_ONLY, ROOT) if path in READ_ONLY else (NOT_A_FILE, path)
                raise EtcdError(code, cause, self.index)
            prev = view(node, path, now_ns)
            if is_refresh:
                value = node.value
        elif is_refresh or node.children is None:
            self.stats.sets_fail += 1
            raise unreachable(node, depth, names, self.index)
        self.stats.sets_success += 1
        index = self.index = self.index + 1
        if prev is None:
            node = self._graft(node, names, depth)
        shown = self._write_new(
            node, path, value, is_dir=is_dir, expiration_ns=expiration_ns, now_ns=now_ns
        )
        return self._publish(new_event((SET, shown, prev, index, is_refresh)))

    def create(
        self,
        path: bytes,
        *,
        value: bytes = b"",
        is_dir: bool = False,
        is_unique: bool = False,
        expiration_ns: int | None = None,
        now_ns: int,
    ) -> Event:
        """Make a file or directory where there is nothing.

        With `is_unique` it is a child of `path`, named by the new index.
        Raises: EtcdError 107, 104, 105.
        """
        if is_unique:
            path = join(path, b"%020d" % (self.index + 1))
        if path in READ_ONLY:
            self.stats.create_fail += 1
            raise EtcdError(ROOT_READ_ONLY, ROOT, self.index)
        node, depth, names = descend(self.root, path)
        if depth == len(names):
            self.stats.create_fail += 1
            raise EtcdError(KEY_EXISTS, path, self.index)
        if node.children is None:
            self.stats.create_fail += 1
            self.stats.sets_fail += 1
            raise unreachable(node, depth, names, self.index)
        self.stats.create_success += 1
        index = self.index = self.index + 1
        node = self._graft(node, names, depth)
        shown = self._write_new(
            node, path, value, is_dir=is_dir, expiration_ns=expiration_ns, now_ns=now_ns
        )
        return self._publish(new_event((CREATE, shown, None, index, False)))

    def update(
        self,
        path: bytes,
        *,
        value: bytes = b"",
        expiration_ns: int | None = None,
        is_refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Replace a file's value and TTL, or a directory's TTL.

        A directory keeps its modified index; only the event shows the new one.
        Raises: EtcdError 107, 104, 100, 102 (a directory takes no value).
        """
        if path in READ_ONLY:
            self.stats.update_success += 1
            raise EtcdError(ROOT_READ_ONLY, ROOT, self.index)
        node, depth, names = descend(self.root, path)
        if depth != len(names):
            self.stats.update_fail += 1
            raise unreachable(node, depth, names, self.index)
        self.stats.update_success += 1
        if node.children is not None and value:
            raise EtcdError(NOT_A_FILE, path, self.index)
        new_value = None if is_refresh else value
        return self._rewrite(
            UPDATE, node, path, new_value, expiration_ns=expiration_ns, now_ns=now_ns
        )

    def compare_and_swap(
        self,
        path: bytes,
        *,
        value: bytes = b"",
        prev_value: bytes | None = None,
        prev_index: int = 0,
        expiration_ns: int | None = None,
        is_refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Replace a file's value and TTL if it is as expected.

        Raises: EtcdError 107, 104, 100, 102, 101.
        """
        if path in READ_ONLY:
            self.stats.compare_and_swap_success += 1
            raise EtcdError(ROOT_READ_ONLY, ROOT, self.index)
        node, depth, names = descend(self.root, path)
        refusal: EtcdError | None = None
        if depth != len(names):
            refusal = unreachable(node, depth, names, self.index)
        elif node.children is not None:
            refusal = EtcdError(NOT_A_FILE, path, self.index)
        elif difference := find_difference(node, prev_value, prev_index):
            refusal = EtcdError(COMPARE_FAILED, difference, self.index)
        if refusal is not None:
            self.stats.compare_and_swap_fail += 1
            raise refusal
        self.stats.compare_and_swap_success += 1
        new_value = None if is_refresh else value
        return self._rewrite(
            COMPARE_AND_SWAP, node, path, new_value, expiration_ns=expiration_ns, now_ns=now_ns
        )

    def delete(self, path: bytes, *, is_dir: bool, is_recursive: bool, now_ns: int) -> Event:
        """Remove a file, an empty directory (`is_dir`) or a whole subtree (`is_recursive`).

        Raises: EtcdError 107, 104, 100, 102, 108.
        """
        if path in READ_ONLY:
            self.stats.delete_success += 1
            raise EtcdError(ROOT_READ_ONLY, ROOT, self.index)
        node, depth, names = descend(self.root, path)
        refusal: EtcdError | None = None
        if depth != len(names):
            refusal = unreachable(node, depth, names, self.index)
        elif node.children is not None and not is_recursive:
            if not is_dir:
                refusal = EtcdError(NOT_A_FILE, path, self.index)
            elif node.children:
                refusal = EtcdError(DIRECTORY_NOT_EMPTY, path, self.index)
        if refusal is not None:
            self.stats.delete_fail += 1
            raise refusal
        self.stats.delete_success += 1
        return self._remove(DELETE, node, path, names, now_ns)

    def compare_and_delete(
        self, path: bytes, *, prev_value: bytes | None = None, prev_index: int = 0, now_ns: int
    ) -> Event:
        """Remove a file if it is as expected.

        Raises: EtcdError 104, 100, 102 (also for the root), 101.
        """
        node, depth, names = descend(self.root, path)
        if depth != len(names):
            self.stats.compare_and_delete_fail += 1
            raise unreachable(node, depth, names, self.index)
        self.stats.compare_and_delete_success += 1
        if node.children is not None:
            raise EtcdError(NOT_A_FILE, path, self.index)
        if difference := find_difference(node, prev_value, prev_index):
            raise EtcdError(COMPARE_FAILED, difference, self.index)
        return self._remove(COMPARE_AND_DELETE, node, path, names, now_ns)

    # Expiry

    @property
    def has_expiring(self) -> bool:
        """Whether any node is not permanent."""
        return len(self.expiry) > 0

    @property
    def next_expiration_ns(self) -> int | None:
        """The earliest expiration, None when all nodes are permanent."""
        return self.expiry.next_ns

    def expire(self, now_ns: int, limit: int) -> list[Event]:
        """Remove at most `limit` nodes that have expired at `now_ns`, in the order of expiry.

        A directory goes with all that is below it, as one event.
        """
        events: list[Event] = []
        while len(events) < limit:
            path = self.expiry.find_due(now_ns)
            if path is None:
                break
            node, _, names = descend(self.root, path)
            self.stats.expire_count += 1
            events.append(self._remove(EXPIRE, node, path, names, now_ns))
        return events

    # Watching

    def watch(self, path: bytes, *, is_recursive: bool, is_stream: bool, since: int) -> Watcher:
        """Return a watcher of `path`; `since` 0 means the next event.

        If an event of the past matches, it is the watcher's first and last one, and the watcher
        is not registered.  That holds for streams too.
        Raises: EtcdError 401 when the history does not reach back to `since`.
        """
        index = self.index
        since = since or index + 1
        event = self.history.scan(path, is_recursive=is_recursive, since=since, index=index)
        watcher = Watcher(
            path, is_recursive=is_recursive, is_stream=is_stream, since=since, start_index=index
        )
        if event is None:
            self.hub.add(watcher)
        else:
            watcher.add(event)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Forget `watcher`; harmless when it has ended already."""
        self.hub.remove(watcher)

    # The whole

    def digest(self) -> bytes:
        """Return a hash of the index and of all nodes in key order; equal trees, equal hashes."""
        return digest_of(self.root, self.index)

    # Parts of the operations

    def _graft(self, node: Node, names: list[bytes], depth: int) -> Node:
        """Make what is missing of `names`, counted; returns the last one, an empty file."""
        if names[0] == KEYS_NAME:
            self.usage.add(names[depth:])
        return graft(node, names[depth:], self.index)

    def _write_new(
        self,
        node: Node,
        path: bytes,
        value: bytes,
        *,
        is_dir: bool,
        expiration_ns: int | None,
        now_ns: int,
    ) -> NodeView:
        """Make `node` a new file or directory of the current index and return its view.

        A replaced file keeps its Node: nothing outside the tree holds one.
        """
        index = self.index
        if expiration_ns is not None and expiration_ns < EXPIRATION_NS_MIN:
            expiration_ns = None
        if expiration_ns is not None or node.expiration_ns is not None:
            self.expiry.move(path, node.expiration_ns, expiration_ns)
            node.expiration_ns = expiration_ns
        node.created_index = node.modified_index = index
        shown_value = None if is_dir else value
        if is_dir:
            value = b""
            node.children = {}
        grown = len(value) - len(node.value)
        if grown and path.startswith(_KEYS_PREFIX):
            self.usage.size_bytes += grown
        node.value = value
        ttl = 0 if expiration_ns is None else ttl_s(expiration_ns, now_ns)
        return new_view((path, shown_value, is_dir, expiration_ns, ttl, None, index, index))

    def _rewrite(
        self,
        action: str,
        node: Node,
        path: bytes,
        value: bytes | None,
        *,
        expiration_ns: int | None,
        now_ns: int,
    ) -> Event:
        """Replace value and TTL of a node that stays; of a directory, the TTL only.

        No value is a refresh: the old one stays.  An expiration is taken literally here, however
        long ago; 0 is etcd's form of none.
        """
        prev = view(node, path, now_ns)
        index = self.index = self.index + 1
        if node.children is None:
            node.modified_index = index
            if value is not None:
                grown = len(value) - len(node.value)
                if grown and path.startswith(_KEYS_PREFIX):
                    self.usage.size_bytes += grown
                node.value = value
        self.expiry.move(path, node.expiration_ns, expiration_ns or None)
        node.expiration_ns = expiration_ns or None
        shown = view(node, path, now_ns)._replace(modified_index=index)
        return self._publish(new_event((action, shown, prev, index, value is None)))

    def _remove(
        self, action: str, node: Node, path: bytes, names: list[bytes], now_ns: int
    ) -> Event:
        """Remove `node` and all below it, and tell whoever watches what is gone."""
        prev = view(node, path, now_ns)
        index = self.index = self.index + 1
        shown = new_view((path, None, prev.is_dir, None, 0, None, index, node.created_index))
        event = new_event((action, shown, prev, index, False))
        detach(self.root, names)
        if node.expiration_ns is not None:
            self.expiry.remove(node.expiration_ns, path)
        if node.children and (self.hub.count or self.expiry):
            forget_below(node, event, self.expiry, self.hub)
        if names[0] == KEYS_NAME:
            self.usage.remove(names[-1], node, index)  # last: what was below is not there any more
        if self.hub.count:
            self.hub.notify_removed(path, event)
        return self._publish(event, node)

    def _publish(self, event: Event, removed: Node | None = None) -> Event:
        """Put `event` into the history and tell the watchers, unless it is a refresh."""
        self.history.append(event)
        if self.notes.is_wanted:
            self.notes.add(event, removed)
        if self.journal is not None:
            self.journal.append(event)
        if self.hub.count and not event.is_refresh:
            self.hub.notify(event)
        return event
