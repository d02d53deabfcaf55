"""What lies below a removed directory: the expirations to forget and the watchers to tell.

Apart from the tree because there are two ways to find it, and which costs less depends on sizes: a
walk costs by the nodes that go, a search by the expirations and watched paths that there are.
"""

from itertools import islice

from etcdpy.tree.event import Event
from etcdpy.tree.expiry import Expiry
from etcdpy.tree.node import Node, find_below, walk_paths
from etcdpy.tree.paths import below
from etcdpy.tree.watch import WatchHub

WALKED_NODES_MIN = 64  # a subtree up to this size is always walked


def forget_below(directory: Node, event: Event, expiry: Expiry, hub: WatchHub) -> None:
    """Forget what expires below `directory`, which `event` removed, and tell who watches there.

    Those are told who watch exactly the path of a node that is gone; paths without a node are not.
    """
    path = event.node.key
    nodes_max = WALKED_NODES_MIN + (len(expiry) + hub.path_count) // 8
    gone = list(islice(walk_paths(directory, path), nodes_max + 1))
    if len(gone) > nodes_max:
        _search(directory, event, expiry, hub)
        return
    for gone_path, node in gone:
        if node.expiration_ns is not None:
            expiry.remove(node.expiration_ns, gone_path)
        hub.notify_removed(gone_path, event)


def _search(directory: Node, event: Event, expiry: Expiry, hub: WatchHub) -> None:
    prefix = below(event.node.key)
    expiry.remove_below(prefix)
    for watched in hub.paths_below(prefix):
        if find_below(directory, watched[len(prefix) :].split(b"/")) is not None:
            hub.notify_removed(watched, event)
