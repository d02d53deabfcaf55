"""What clients asked and were told: the operations of one run, as the checkers want them.

Stamps are drawn from one counter, at each call and each return: `a` precedes `b` in real time if
and only if `a.returned < b.called`.  An operation without an answer (its client gave up, its
member died) returned at `NEVER`: it may have taken effect at any time after its call, or not.
"""

from dataclasses import dataclass
from enum import IntEnum

NEVER = 1 << 62


class Ask(IntEnum):
    """What is asked of one key.  EXPIRE is nobody's: a TTL that may have run out."""

    GET = 0
    SET = 1
    CREATE = 2
    UPDATE = 3
    SWAP = 4  # compareAndSwap
    DELETE = 5
    COMPARE_DELETE = 6
    EXPIRE = 7


@dataclass(frozen=True, slots=True)
class Seen:
    """One node as a client saw it.  Values are unique: each names the write that made it."""

    value: bytes
    modified: int
    created: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    `code` is 0 for success, else the API's error code.  `index` is the write's own index, for
    reads and refusals the store index at which they were decided.  `node` is what a read
    returned; `prev` what a write replaced (None: nothing was there, or a CREATE).
    """

    code: int
    index: int
    node: Seen | None = None
    prev: Seen | None = None


@dataclass(slots=True)
class Operation:
    """One operation on one key; `value` is None for those that write none."""

    number: int
    ask: Ask
    key: bytes
    called: int
    value: bytes | None = None
    prev_value: bytes | None = None
    prev_index: int = 0
    returned: int = NEVER
    answer: Answer | None = None  # None while unknown

    @property
    def is_write(self) -> bool:
        """Whether it could change something."""
        return self.ask is not Ask.GET


class History:
    """The operations of one run by key, in order of their calls."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, list[Operation]] = {}
        self.count = 0
        self._stamp = 0

    def stamp(self) -> int:
        """Return a number above all that were returned before."""
        self._stamp += 1
        return self._stamp

    def call(
        self,
        ask: Ask,
        key: bytes,
        value: bytes | None = None,
        prev_value: bytes | None = None,
        prev_index: int = 0,
    ) -> Operation:
        """Note a call, now."""
        self.count += 1
        operation = Operation(self.count, ask, key, self.stamp(), value, prev_value, prev_index)
        self.by_key.setdefault(key, []).append(operation)
        return operation

    def answer(self, operation: Operation, answer: Answer) -> None:
        """Note the answer to `operation`, now."""
        assert operation.answer is None
        operation.returned = self.stamp()
        operation.answer = answer

    def operations(self) -> list[Operation]:
        """Return all operations in order of their calls."""
        everything = [operation for key in self.by_key.values() for operation in key]
        everything.sort(key=lambda operation: operation.number)
        return everything
