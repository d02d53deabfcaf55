"""What an operation on the tree returns and what a watcher is told: values, never live nodes.

Paths are full internal paths (`/1/foo` is the client's `/foo`); the http package trims them.
`ttl_s` was computed once, from the operation's own clock, and stays as it was in the history.
Source: spec/keys.md sections 8 and 9.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

GET = "get"
SET = "set"
CREATE = "create"
UPDATE = "update"
COMPARE_AND_SWAP = "compareAndSwap"
DELETE = "delete"
COMPARE_AND_DELETE = "compareAndDelete"
EXPIRE = "expire"

# An action as read from disk, to the one object that all events of it share.
ACTIONS = {
    action: action
    for action in (SET, CREATE, UPDATE, COMPARE_AND_SWAP, DELETE, COMPARE_AND_DELETE, EXPIRE)
}


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
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on an event
    is_refresh: bool = False


_ViewFields = tuple[
    bytes, bytes | None, bool, int | None, int, list[NodeView] | None, int, int
]  # as NodeView declares them

# A value from the tuple of all its fields: half the time of the class's own constructor
# (tests/tree/measure.py: 0.15 against 0.24 us), three times per write.
new_view = cast("Callable[[_ViewFields], NodeView]", partial(tuple.__new__, NodeView))
new_event = cast(
    "Callable[[tuple[str, NodeView, NodeView | None, int, bool]], Event]",
    partial(tuple.__new__, Event),
)
