"""Committed entries to their state machines, and results back to who waits for them.

An entry's data is an envelope: who proposed it (member id and a random number of its boot), the
proposal's counter, the kind of state machine, and the command's bytes.  Only an entry of this very
boot may answer a waiting proposal: one of an earlier boot can still commit, and its counter may
equal one of ours.  A new state machine is a new row of `_DECODERS`.
"""

import logging
import struct
import time
from collections.abc import Callable, Mapping, Sequence

from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.messages import ConfChange, Entry, EntryKind
from etcdpy.errors import RAFT_INTERNAL, TOO_MANY_REQUESTS, EtcdError, FatalError
from etcdpy.http.backend import Outcome
from etcdpy.http.gojson.writer import format_duration
from etcdpy.http.notifier import Notifier
from etcdpy.logs import fields
from etcdpy.settings.limits import PROPOSALS_MAX
from etcdpy.tree import command as tree_command
from etcdpy.tree import members
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event
from etcdpy.tree.replacement import replace_state, tell
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.apply")

#: State machines by number; the numbers stand in logs on disk.
TREE = 1

_ORIGIN = struct.Struct(">QQ")  # member id, boot number
_HEAD = struct.Struct(">16sQB")  # origin, counter, state machine
_HEAD_BYTES = _HEAD.size
_DECODERS: Mapping[int, Callable[[bytes], Command]] = {TREE: tree_command.decode}

#: Applying entries for longer than this is worth a line; etcd's number.
SLOW_APPLY_NS = 100_000_000


class _Pending:
    """A proposal of this boot that has not been applied yet, with its deadline in loop time."""

    __slots__ = ("command", "deadline_s", "result")

    def __init__(self, command: Command, result: Outcome, deadline_s: float) -> None:
        self.command = command
        self.result = result
        self.deadline_s = deadline_s


class Applications:
    """Applies committed entries to the tree, in order, and resolves the proposals of this boot.

    `on_conf_change` applies a configuration change to what the application knows of the members
    and tells whether it took effect; `on_sync` is told of each SYNC that was applied.
    Invariant: `applied` is the index of the last entry given to `apply`.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        member_id: int,
        boot: int,
        applied: int,
        on_conf_change: Callable[[ConfChange], bool],
        on_sync: Callable[[Command], None],
        pending_max: int = PROPOSALS_MAX,
    ) -> None:
        """`pending_max` proposals wait at once; the driver bounds their bytes."""
        self.tree = tree
        self._notifier = Notifier(tree.hub)
        self.applied = applied
        self._origin = _ORIGIN.pack(member_id, boot)
        self._counter = 0
        # Counted for who asks.
        self.withdrawn_count = 0
        self.slow_count = 0  # calls of `apply`
        self.refused_count = 0  # for want of room
        self._pending: dict[int, _Pending] = {}  # by counter; deadlines ascend with it
        self._on_conf_change = on_conf_change
        self._on_sync = on_sync
        self._pending_max = pending_max

    @property
    def pending_count(self) -> int:
        """How many proposals of this boot wait for their result."""
        return len(self._pending)

    def register(self, command: Command, result: Outcome, deadline_s: float) -> bytes:
        """Return the entry data for `command`; its outcome will be set on `result`.

        Raises: EtcdError 121 when as many wait as may.
        """
        if len(self._pending) >= self._pending_max:
            self.refused_count += 1
            raise EtcdError(TOO_MANY_REQUESTS, b"etcdserver: too many requests")
        self._counter = counter = self._counter + 1
        self._pending[counter] = _Pending(command, result, deadline_s)
        return _HEAD.pack(self._origin, counter, TREE) + tree_command.encode(command)

    def wrap(self, command: Command) -> bytes:
        """Return the entry data for a command that nobody waits for."""
        return _HEAD.pack(self._origin, 0, TREE) + tree_command.encode(command)

    def forget(self, data: bytes) -> None:
        """Take back a registration whose entry data was not proposed after all."""
        _, counter, _ = _HEAD.unpack_from(data)
        self._pending.pop(counter, None)
        self.refused_count += 1

    def withdraw(self, now_s: float, explain: Callable[[float], bytes]) -> None:
        """Fail the proposals whose time is up; they may still be applied later.

        `explain` returns the cause for one whose deadline was at that loop time.
        """
        while self._pending:
            counter = next(iter(self._pending))
            waiting = self._pending[counter]
            if waiting.deadline_s > now_s:
                return
            del self._pending[counter]
            self.withdrawn_count += 1
            if not waiting.result.done():
                cause = explain(waiting.deadline_s)
                waiting.result.set_exception(EtcdError(RAFT_INTERNAL, cause))

    def withdraw_all(self, cause: bytes) -> None:
        """Fail every waiting proposal: the member stops."""
        self.withdraw(float("inf"), lambda _: cause)

    def replace(self, tree: Tree, applied: int) -> None:
        """Go on from a snapshot: `tree` holds all entries up to `applied`.

        Proposals of this boot that are among them have no result here: they run into their
        time-out, since nobody knows what came of them.
        """
        jump = replace_state(self.tree, tree)
        self.applied = applied
        for watcher in jump.cut:
            if watcher.owner is not None:
                watcher.owner.cut()
        for event in jump.events:
            tell(self.tree.hub, event)
            self._notifier.tell()

    def apply(self, entries: Sequence[Entry]) -> list[int]:
        """Apply `entries`, the next ones of the log; return the indexes of refused conf changes.

        Raises: FatalError for a gap or for an entry that this version can't read.
        """
        began_ns = time.perf_counter_ns()
        refused: list[int] = []
        for entry in entries:
            if entry.index != self.applied + 1:
                raise FatalError(f"entry {entry.index} was handed out after {self.applied}")
            if entry.kind == EntryKind.CONF_CHANGE:
                if not self._on_conf_change(decode_conf_change(entry.data)):
                    refused.append(entry.index)
            elif entry.data:  # a new leader's first entry is empty
                self._apply_normal(entry)
            self.applied = entry.index
        took_ns = time.perf_counter_ns() - began_ns
        if took_ns > SLOW_APPLY_NS:
            self._say_slow(entries, took_ns)
        return refused

    def _say_slow(self, entries: Sequence[Entry], took_ns: int) -> None:
        self.slow_count += 1
        took = format_duration(took_ns)
        log.warning(
            'request "entries:%d-%d" with result "" took too long (%s) to execute',
            entries[0].index,
            entries[-1].index,
            took,
            extra=fields(
                "apply request took too long",
                took=took,
                expected_duration=format_duration(SLOW_APPLY_NS),
                first_index=entries[0].index,
                last_index=entries[-1].index,
            ),
        )

    def _apply_normal(self, entry: Entry) -> None:
        data = entry.data
        if data.startswith(self._origin) and len(data) >= _HEAD_BYTES:
            waiting = self._pending.pop(_HEAD.unpack_from(data)[1], None)
            if waiting is not None:
                # Our own command object is what these bytes were packed from: nothing to decode.
                self._run(waiting.command, waiting.result)
                return
        try:
            command = decode(data)
        except ValueError as error:
            raise FatalError(f"entry {entry.index} can't be read: {error}") from error
        self._run(command, None)

    def _run(self, command: Command, result: Outcome | None) -> None:
        try:
            outcome = tree_command.apply(self.tree, command)
        except EtcdError as refusal:
            if result is not None and not result.done():
                result.set_exception(refusal)
            return
        if result is not None and not result.done():
            assert isinstance(outcome, Event)  # nobody waits for a SYNC
            result.set_result(outcome)
        if command.kind == CommandKind.SYNC:
            self._on_sync(command)
        if self.tree.hub.ready:
            self._notifier.tell()


def decode(data: bytes) -> Command:
    """Return the command that an entry holds, whoever has proposed it.

    Raises: ValueError when it is none, or one of a later version.
    """
    if len(data) < _HEAD_BYTES:
        raise ValueError("it has no whole head")
    _, _, machine = _HEAD.unpack_from(data)
    decoder = _DECODERS.get(machine)
    if decoder is None:
        raise ValueError(f"it is for the unknown state machine {machine}")
    return decoder(data[_HEAD_BYTES:])


def check_data(data: bytes) -> None:
    """Check what a peer wants in the log; nothing, a new leader's first entry, is allowed.

    Raises: ValueError for what could not be applied, or what members do not propose.
    """
    if data:
        members.check_command(decode(data))
