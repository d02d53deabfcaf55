"""What an operation on the tree returns and what a watcher is told: values, never live nodes.

Paths are full internal paths (`/1/foo` is the client's `/foo`); the http package trims them.
`ttl_s` was computed once, from the operation's own clock, and stays as it was in the history.
Source: spec/keys.md sections 8 and 9.
"""

from typing import NamedTuple

GET = "get"
SET = "set"
CREATE = "create"
UPDATE = "update"
COMPARE_AND_SWAP = "compareAndSwap"
DELETE = "delete"
COMPARE_AND_DELETE = "compareAndDelete"
EXPIRE = "expire"


class NodeView(NamedTuple):
    """One node as a response shows it.

    `value` is None for a directory and for the node of a removal; `nodes` is None where the
    response shows none (a file, a child not descended into, nothing visible).
    `expiration_ns` is Unix time in nanoseconds, None for a permanent node.
    """

    key: bytes
    value: bytes | None
    is_dir: bool
    expiration_ns: int | None
    ttl_s: int
    nodes: "list[NodeView] | None"
    modified_index: int
    created_index: int


class Event(NamedTuple):
    """The outcome of one operation.

    `index` is the store index when it was done (a write's own index).  `is_refresh` events take a
    place in the history and notify nobody.
    """

    action: str
    node: NodeView
    prev_node: NodeView | None
    index: int
    is_refresh: bool = False
