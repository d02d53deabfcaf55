"""Commands: the changes that the log replicates, their msgpack form, and how each runs on a tree.

A command is complete: it carries its proposer's clock (`now_ns`) and absolute expirations, so that
every member that applies it arrives at the same tree.  A new kind is a new row of `APPLY` and a
new number; numbers are never reused, because they stand in logs on disk.
"""

from enum import IntEnum
from typing import NamedTuple


class CommandKind(IntEnum):
    """What a command does; the numbers are a disk format."""

    SET = 1
    CREATE = 2
    UPDATE = 3
    COMPARE_AND_SWAP = 4
    DELETE = 5
    COMPARE_AND_DELETE = 6
    SYNC = 7


class Command(NamedTuple):
    """One change.  Fields that a kind does not use keep their defaults.

    `path` is the full internal path (`/1/foo`).  `expiration_ns` None means permanent.
    `prev_value` None and `prev_index` 0 mean "not given".  `is_unique` makes CREATE an in-order
    child of `path`.  SYNC removes at most `limit` nodes that expired at `now_ns`.
    A NamedTuple, not a dataclass: it is made once per write and packs as a msgpack array as it is.
    """

    kind: int
    now_ns: int
    path: bytes = b""
    value: bytes = b""
    is_dir: bool = False
    is_recursive: bool = False
    is_unique: bool = False
    is_refresh: bool = False
    expiration_ns: int | None = None
    prev_value: bytes | None = None
    prev_index: int = 0
    limit: int = 0
