"""The digest: one hash that says whether two members hold the same tree.

It covers the index and every node with its place, content, indexes and expiration, in key order;
not the order in which children were made, nor the counters, which are each member's own.
"""

import hashlib

import msgpack

from etcdpy.tree.node import Node, walk

DIGEST_BYTES = 32


def digest_of(root: Node, index: int) -> bytes:
    """Return the hash of the tree under `root` at `index`."""
    pack = msgpack.Packer().pack
    state = hashlib.blake2b(pack(index), digest_size=DIGEST_BYTES)
    for depth, name, node in walk(root, is_sorted=True):
        value = node.value if node.children is None else None
        row = (depth, name, value, node.modified_index, node.created_index, node.expiration_ns)
        state.update(pack(row))
    return state.digest()
