"""Commands: the changes that the log replicates, their msgpack form, and how each runs on a tree.

A command is complete: it carries its proposer's clock (`now_ns`) and absolute expirations, so that
every member that applies it arrives at the same tree.  A new kind is a new row of `APPLY` and a
new number; numbers are never reused, because they stand in logs on disk.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

import msgpack

from etcdpy.tree.event import Event
from etcdpy.tree.paths import is_clean
from etcdpy.tree.tree import Tree


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
    path: bytes = b"/"
    value: bytes = b""
    is_dir: bool = False
    is_recursive: bool = False
    is_unique: bool = False
    is_refresh: bool = False
    expiration_ns: int | None = None
    prev_value: bytes | None = None
    prev_index: int = 0
    limit: int = 0


# One for all: to make a packer costs more than what it packs.
_PACKER: Final = msgpack.Packer()


def encode(command: Command) -> bytes:
    """Return `command` as a msgpack array of its fields."""
    try:
        packed: bytes = _PACKER.pack(command)
    except BaseException:  # what is left of this one must not begin the next
        _PACKER.reset()
        raise
    return packed


def decode(data: bytes) -> Command:
    """Return the command that `encode` made `data` of; missing last fields take their defaults.

    Raises: ValueError when it is no command, or one of a later version.  Whose fault that is
    depends on where it came from: the caller makes it a PeerError or a FatalError.
    """
    pieces = msgpack.unpackb(data, use_list=False)
    if type(pieces) is not tuple or tuple(map(type, pieces)) not in _SHAPES:
        raise ValueError("not a command: not an array of its fields")
    command = Command(*pieces)
    if command.kind not in APPLY:
        raise ValueError(f"not a command of this version: kind {command.kind}")
    if not is_clean(command.path):
        raise ValueError(f"not a command: {command.path!r} is not a clean path")
    return command


# The types that a command's fields may have: all fields, or the first ones from `now_ns` on.
_SHAPES = frozenset(
    (int, int, bytes, bytes, bool, bool, bool, bool, expiration, prev_value, int, int)[:count]
    for expiration in (int, type(None))
    for prev_value in (bytes, type(None))
    for count in range(2, len(Command._fields) + 1)
)

Outcome = Event | list[Event]
Handler = Callable[[Tree, Command], Outcome]


def apply(tree: Tree, command: Command) -> Outcome:
    """Do `command` on `tree`: its event, of SYNC the list of expire events.

    Raises: EtcdError, which is a result of the command as well.
    """
    return APPLY[command.kind](tree, command)


def _set(tree: Tree, command: Command) -> Event:
    return tree.set(
        command.path,
        value=command.value,
        is_dir=command.is_dir,
        expiration_ns=command.expiration_ns,
        is_refresh=command.is_refresh,
        now_ns=command.now_ns,
    )


def _create(tree: Tree, command: Command) -> Event:
    return tree.create(
        command.path,
        value=command.value,
        is_dir=command.is_dir,
        is_unique=command.is_unique,
        expiration_ns=command.expiration_ns,
        now_ns=command.now_ns,
    )


def _update(tree: Tree, command: Command) -> Event:
    return tree.update(
        command.path,
        value=command.value,
        expiration_ns=command.expiration_ns,
        is_refresh=command.is_refresh,
        now_ns=command.now_ns,
    )


def _compare_and_swap(tree: Tree, command: Command) -> Event:
    return tree.compare_and_swap(
        command.path,
        value=command.value,
        prev_value=command.prev_value,
        prev_index=command.prev_index,
        expiration_ns=command.expiration_ns,
        is_refresh=command.is_refresh,
        now_ns=command.now_ns,
    )


def _delete(tree: Tree, command: Command) -> Event:
    return tree.delete(
        command.path,
        is_dir=command.is_dir,
        is_recursive=command.is_recursive,
        now_ns=command.now_ns,
    )


def _compare_and_delete(tree: Tree, command: Command) -> Event:
    return tree.compare_and_delete(
        command.path,
        prev_value=command.prev_value,
        prev_index=command.prev_index,
        now_ns=command.now_ns,
    )


def _sync(tree: Tree, command: Command) -> list[Event]:
    return tree.expire(command.now_ns, command.limit)


APPLY: dict[int, Handler] = {
    CommandKind.SET: _set,
    CommandKind.CREATE: _create,
    CommandKind.UPDATE: _update,
    CommandKind.COMPARE_AND_SWAP: _compare_and_swap,
    CommandKind.DELETE: _delete,
    CommandKind.COMPARE_AND_DELETE: _compare_and_delete,
    CommandKind.SYNC: _sync,
}
