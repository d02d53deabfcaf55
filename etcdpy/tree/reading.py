"""The plainest reads: one file, of which nothing has to be computed.

A file of its own because they are what most requests are, and are written out for speed
(tests/http/measure.py): no event, no view, no list of names.
"""

from etcdpy.tree.node import Node
from etcdpy.tree.tree import Tree


def find_value(tree: Tree, path: bytes) -> Node | None:
    """Return the permanent file at `path`, and count the read; None, uncounted, for others.

    It is not to be kept or changed.
    """
    node = tree.root
    for name in path[1:].split(b"/"):
        children = node.children
        if children is None:
            return None
        child = children.get(name)
        if child is None:
            return None
        node = child
    if node.children is not None or node.expiration_ns is not None:
        return None
    tree.stats.gets_success += 1
    return node


def find_file(tree: Tree, path: bytes) -> Node | None:
    """Return the file at `path`, None if there is none; counted as a read that found what is there.

    It is not to be kept or changed.
    """
    node = tree.find_node(path)
    if node is None:
        tree.stats.gets_fail += 1
        return None
    tree.stats.gets_success += 1
    return node if node.children is None else None
