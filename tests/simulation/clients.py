"""Clients: what they ask of which member, and what they are told, written into the history.

Every client operation is a process of its own that asks once and waits; so any number of them
is concurrent, and the history has what a checker needs.  They know of a key what some answer
showed them last, as clients that compare and swap do.
"""

from typing import Protocol

from etcdpy.errors import EtcdError
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event, NodeView
from tests.simulation.history import Answer, Ask, History, Operation, Seen
from tests.simulation.host import Outcome
from tests.simulation.member import SimulatedMember
from tests.simulation.plan import Act, Action
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.violation import Violation
from tests.simulation.watching import Session

ACKNOWLEDGED = "what is acknowledged is there"
FRESH_READ = "a quorum read sees what was acknowledged before it"

KEYS = b"/1/k/"
QUEUE = b"/1/q"
SESSIONS_MAX = 24

ASKS: dict[Act, Ask] = {
    Act.SET: Ask.SET,
    Act.CREATE: Ask.CREATE,
    Act.UPDATE: Ask.UPDATE,
    Act.SWAP: Ask.SWAP,
    Act.DELETE: Ask.DELETE,
    Act.COMPARE_DELETE: Ask.COMPARE_DELETE,
    Act.READ: Ask.GET,
}
KINDS: dict[Ask, CommandKind] = {
    Ask.SET: CommandKind.SET,
    Ask.CREATE: CommandKind.CREATE,
    Ask.UPDATE: CommandKind.UPDATE,
    Ask.SWAP: CommandKind.COMPARE_AND_SWAP,
    Ask.DELETE: CommandKind.DELETE,
    Ask.COMPARE_DELETE: CommandKind.COMPARE_AND_DELETE,
}
VALUE_WRITERS = frozenset({Ask.SET, Ask.CREATE, Ask.UPDATE, Ask.SWAP})


class Traced(Protocol):
    """Where clients write what happens to them."""

    def note(self, line: str) -> None:
        """Add a line to the trace."""


class Clients:
    """All clients of one run.  `acknowledged` is the highest store index in any answer."""

    def __init__(self, traced: Traced, key_count: int) -> None:
        self.history = History()
        self.acknowledged = 0
        self.sessions: list[Session] = []
        self.writes: dict[int, tuple[bytes, bytes | None]] = {}  # acknowledged: key, value
        self._traced = traced
        self._key_count = key_count
        self._seen: dict[bytes, Seen] = {}

    def act(self, member: SimulatedMember, action: Action) -> None:
        """Carry out a client's action against `member`."""
        if action.act is Act.NOISE:
            member.propose(_noise(member.now_ns, action.b, action.c), _ignore)
        elif action.act is Act.WATCH:
            self._watch(member, action)
        elif action.act is Act.POST:
            self._post(member)
        else:
            self.ask(member, ASKS[action.act], action.b, action.c)

    # ---- keys

    def ask(self, member: SimulatedMember, ask: Ask, b: int, c: int) -> None:
        """Ask `member` something of key `b`; `c` chooses how."""
        key = KEYS + b"%d" % (b % self._key_count)
        if ask is Ask.GET:
            self._read(member, key)
            return
        prev_value, prev_index = None, 0
        if ask in (Ask.SWAP, Ask.COMPARE_DELETE):
            seen = self._seen.get(key)
            if seen is None:
                self._read(member, key)
                return
            prev_value = seen.value if c % 3 != 1 else None
            prev_index = seen.modified if c % 3 != 0 else 0
        value = b"v%d" % self.history.count if ask in VALUE_WRITERS else None
        operation = self.history.call(ask, key, value, prev_value, prev_index)
        expiration_ns = None
        if value is not None and c % 8 == 7:
            expiration_ns = member.now_ns + (c % 1_000 + 1) * MS
            self.history.call(Ask.EXPIRE, key, None, value)
        command = Command(
            KINDS[ask],
            member.now_ns,
            key,
            value or b"",
            expiration_ns=expiration_ns,
            prev_value=prev_value,
            prev_index=prev_index,
        )
        member.propose(command, lambda outcome: self._answered(member, operation, outcome))

    def _read(self, member: SimulatedMember, key: bytes) -> None:
        operation = self.history.call(Ask.GET, key)
        floor = self.acknowledged

        def ready(_: int) -> None:
            if member.tree.index < floor:
                raise Violation(
                    FRESH_READ,
                    f"{member.id} serves a read at {member.tree.index}, {floor} was answered",
                )
            try:
                event = member.tree.get(
                    key, is_recursive=False, is_sorted=False, now_ns=member.now_ns
                )
            except EtcdError as refusal:
                self._answer(operation, Answer(refusal.code, refusal.index))
            else:
                self._answer(operation, Answer(0, event.index, node=_seen_of(event.node)))

        member.read(ready)

    def _post(self, member: SimulatedMember) -> None:
        value = b"v%d" % self.history.count
        operation = self.history.call(Ask.CREATE, QUEUE + value, value)
        command = Command(CommandKind.CREATE, member.now_ns, QUEUE, value, is_unique=True)

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, Event) and outcome.node.key != QUEUE + b"/%020d" % outcome.index:
                raise Violation(ACKNOWLEDGED, f"an in-order key is {outcome.node}")
            self._answered(member, operation, outcome)

        member.propose(command, answered)

    def _answered(self, member: SimulatedMember, operation: Operation, outcome: Outcome) -> None:
        if outcome is None:
            return  # unknown: that is what the history says already
        if isinstance(outcome, EtcdError):
            self._answer(operation, Answer(outcome.code, outcome.index))
            return
        if member.tree.index < outcome.index:
            raise Violation(ACKNOWLEDGED, f"{member.id} answered {outcome} before it was applied")
        key = outcome.node.key
        self.writes[outcome.index] = (key, outcome.node.value)
        if operation.value is not None and operation.key == key:
            self._seen[key] = Seen(
                operation.value, outcome.node.modified_index, outcome.node.created_index
            )
        prev = None if outcome.prev_node is None else _seen_of(outcome.prev_node)
        self._answer(operation, Answer(0, outcome.index, prev=prev))

    def _answer(self, operation: Operation, answer: Answer) -> None:
        self._traced.note(f"answer {operation.number} {answer.code} {answer.index}")
        self.history.answer(operation, answer)
        self.acknowledged = max(self.acknowledged, answer.index)
        if answer.node is not None:
            self._seen[operation.key] = answer.node

    # ---- watches

    def _watch(self, member: SimulatedMember, action: Action) -> None:
        waiting = [session for session in self.sessions if session.watcher is None]
        if waiting and (action.c % 2 or len(self.sessions) >= SESSIONS_MAX):
            self.reconnect(waiting[action.b % len(waiting)], member)
            return
        if len(self.sessions) >= SESSIONS_MAX:
            return
        paths = (b"/1/k", b"/1", QUEUE, b"/1/d", KEYS + b"%d" % (action.b % self._key_count))
        path = paths[action.b % len(paths)]
        session = Session(
            len(self.sessions),
            path,
            is_recursive=not path.startswith(KEYS),
            is_stream=action.c % 4 >= 2,
        )
        self.sessions.append(session)
        self.reconnect(session, member)

    def reconnect(self, session: Session, member: SimulatedMember) -> None:
        """Have a session that waits watch on `member`, again and again until it is live."""
        self._traced.note(f"session {session.number} {session.expected} to {member.id}")
        while session.watcher is None:  # an event of the past answers and ends a watch
            session.connect(member.tree)
        member.sessions[session.number] = session


def _seen_of(view: NodeView) -> Seen:
    assert view.value is not None
    return Seen(view.value, view.modified_index, view.created_index)


def _noise(now_ns: int, b: int, c: int) -> Command:
    """Return one of the rarer commands; what it does is compared between members only."""
    path = b"/1/d/%d" % (b % 4)
    soon = now_ns + (b % 3) * SECOND
    commands = (
        Command(CommandKind.SET, now_ns, path, is_dir=True),
        Command(CommandKind.SET, now_ns, path + b"/a/b", b"x"),
        Command(CommandKind.SET, now_ns, path + b"/c", b"y", expiration_ns=soon),
        Command(CommandKind.UPDATE, now_ns, path + b"/c", is_refresh=True, expiration_ns=soon),
        Command(CommandKind.UPDATE, now_ns, path, expiration_ns=soon),
        Command(CommandKind.DELETE, now_ns, path, is_dir=True, is_recursive=True),
        Command(CommandKind.DELETE, now_ns, path, is_dir=True),
        Command(CommandKind.SET, now_ns, b"/1/_h/%d" % (b % 4), b"h"),
        Command(CommandKind.DELETE, now_ns, QUEUE, is_dir=True, is_recursive=True),
        Command(CommandKind.SET, now_ns, b"/1", b"root"),
    )
    return commands[c % len(commands)]


def _ignore(outcome: Outcome) -> None:
    """Nobody asked."""
    del outcome
