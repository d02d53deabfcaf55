"""One tree's state in the place of another's, while clients watch: what an installed snapshot does.

Apart from the tree because it is no step of the index but a jump over many.  Watchers stay, and are
told the events of the jump that the new history still has; who should have been told of an older
one has to be cut, to come back and see that its index is cleared.
Source: spec/watch.md sections 3 and 4.
"""

from typing import NamedTuple

from etcdpy.tree.event import COMPARE_AND_DELETE, DELETE, EXPIRE, Event
from etcdpy.tree.paths import below
from etcdpy.tree.tree import Tree
from etcdpy.tree.watch import Watcher, WatchHub


class Jump(NamedTuple):
    """What watchers have to hear of a replacement."""

    cut: list[Watcher]  # forgotten by the hub already
    events: list[Event]  # for the others: to be given to `tell`, one after the other


def replace_state(tree: Tree, other: Tree) -> Jump:
    """Give `tree` the state of `other`, which is the same tree at a later index.

    Counters come along, as in etcd; the watchers of `other` are nobody's.
    """
    missed = tree.index + 1  # the first event that nobody here was told of
    tree.index = other.index
    tree.expiry = other.expiry
    tree.history = other.history
    tree.stats = other.stats
    other.usage.replace(tree.usage, tree.root)
    tree.usage = other.usage
    tree.root = other.root
    tree.journal = None  # a capture that goes on is void
    tree.notes = other.notes  # open pictures are of the old root, which does not change any more
    oldest = tree.index - len(tree.history) + 1
    cut: list[Watcher] = []
    if missed < oldest:
        cut = [watcher for watcher in tree.hub.watchers() if watcher.since < oldest]
        for watcher in cut:
            tree.hub.remove(watcher)
    return Jump(cut, [event for event in tree.history if event.index >= missed])


def tell(hub: WatchHub, event: Event) -> None:
    """Tell the watchers of an event that happened elsewhere.

    Of a directory that is gone all hear who watch below it, as when the history is searched:
    what lay in it is not known any more.
    """
    if event.is_refresh:
        return
    if event.action in (DELETE, COMPARE_AND_DELETE, EXPIRE):
        if event.node.is_dir:
            for path in hub.paths_below(below(event.node.key)):
                hub.notify_removed(path, event)
        hub.notify_removed(event.node.key, event)
    hub.notify(event)
