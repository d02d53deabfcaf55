"""The transcripts' language: a handler for each command, and how what happens is written.

A transcript (data/*.txt) is a list of commands, each followed by `----` and what came of it.
Members run only when told to, and what they send lies on the wire until it is delivered, so a
file shows one order of events exactly.

    members 1 2 3 [learners=4] [aloud]   new members of a new cluster, started
    member 1 terms=1,2,2 [voters=1,2,3] [learners=] [term=] [vote=] [commit=]   one with that log
    joiner 4                        a member that has no data yet
    bounds append_bytes_max=100     RaftConfig's bounds for members made after it
    campaign|tick|propose|read|change|transfer|compact|snapshot|unreachable|run 1 ...
    begin 1 [propose=a] ...         one batch, up to what has to be persisted; then:
    persist 1                       do what has to be persisted, and what follows
    crash 1                         lose all that is not durable, start again
    send KIND from=2 to=1 term=2 ...  put a message on the wire that a member might have sent
    deliver [kind=] [from=] [to=] [at=]   deliver what is on the wire now, all or those
    drop [kind=] [from=] [to=]      lose them;  `twice` puts a second copy of them on the wire
    isolate 3                       from here on, lose what 3 sends and is sent; alone: nobody
    settle                          deliver until the wire is silent
    wire | status | log 1 | progress 1 | held 1
    ... quietly                     the same, printing nothing
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from etcdpy.consensus.codec import decode_conf_change, decode_messages, encode_messages
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    Message,
    MessageKind,
    SnapshotMeta,
    SoftState,
)
from etcdpy.consensus.pump import (
    Action,
    Apply,
    Batch,
    Install,
    Persist,
    ReleaseReads,
    SendAfterPersist,
    SendNow,
    SendSnapshot,
    SnapshotReport,
    SoftStateChanged,
)
from etcdpy.consensus.state import RaftConfig
from etcdpy.errors import FatalError
from tests.consensus.harness import Member, MemoryStorage, bootstrapped, with_log

CHANGES = {
    "voter": ConfChangeKind.ADD_VOTER,
    "learner": ConfChangeKind.ADD_LEARNER,
    "remove": ConfChangeKind.REMOVE,
    "update": ConfChangeKind.UPDATE,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One command of a transcript and what it is expected to print."""

    command: str
    expected: str
    comment: str  # what stands before the command


def parse(text: str) -> list[Case]:
    """Return the commands of a transcript."""
    cases: list[Case] = []
    lines = iter(text.splitlines())
    comment: list[str] = []
    for line in lines:
        if line.startswith("#") or not line:
            comment.append(line)
            continue
        assert next(lines, None) == "----", f"no ---- after {line!r}"
        cases.append(Case(line, "\n".join(_until_blank(lines)), "\n".join(comment)))
        comment = []
    return cases


def _until_blank(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line:
            return
        yield line


def render(cases: list[Case]) -> str:
    """Return the text that `parse` gives back as `cases`."""
    parts = []
    for case in cases:
        comment = f"{case.comment}\n" if case.comment else ""
        output = f"{case.expected}\n" if case.expected else ""
        parts.append(f"{comment}{case.command}\n----\n{output}\n")
    return "".join(parts).rstrip("\n") + "\n"


class Stage:
    """The members of one transcript and the wire between them."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.wire: list[Message] = []
        self.bounds: dict[str, int] = {}
        self.lines: list[str] = []
        self.isolated: set[int] = set()
        self._pending: dict[int, list[Action]] = {}

    def do(self, command: str) -> str:
        """Run one command and return what it prints."""
        self.lines = []
        name, *words = [word for word in command.split() if word != "quietly"]
        handler: Callable[[list[str], dict[str, str]], None] = getattr(self, f"do_{name}")
        options = dict(word.split("=", 1) for word in words if "=" in word)
        try:
            handler([word for word in words if "=" not in word], options)
        except FatalError as error:
            self.lines.append(f"FATAL {error}")
        if command.endswith(" quietly"):
            return ""
        return "\n".join(self.lines)

    # ---- members

    def _config(self, member_id: int) -> RaftConfig:
        return RaftConfig(member_id, **self.bounds)  # type: ignore[arg-type]  # bounds are ints

    def _add(self, member_id: int, storage: MemoryStorage) -> None:
        self.members[member_id] = Member(self._config(member_id), storage, seed=member_id)

    def do_bounds(self, words: list[str], options: dict[str, str]) -> None:
        self.bounds = {name: int(value) for name, value in options.items()}

    def do_members(self, words: list[str], options: dict[str, str]) -> None:
        voters = [int(word) for word in words if word != "aloud"]
        learners = _ids(options.get("learners", ""))
        for member_id in [*voters, *learners]:
            self._add(member_id, bootstrapped(voters, learners))
            self._run(str(member_id))
        if "aloud" not in words:
            self.lines = []

    def do_member(self, words: list[str], options: dict[str, str]) -> None:
        terms = _ids(options.get("terms", ""))
        storage = with_log(
            terms,
            _ids(options.get("voters", "1,2,3")),
            learners=_ids(options.get("learners", "")),
            term=int(options["term"]) if "term" in options else None,
            vote=int(options.get("vote", "0")),
            commit=int(options.get("commit", "0")),
        )
        self._add(int(words[0]), storage)
        self._run(words[0])

    def do_joiner(self, words: list[str], options: dict[str, str]) -> None:
        self._add(int(words[0]), MemoryStorage())

    def do_crash(self, words: list[str], options: dict[str, str]) -> None:
        member = self.members[int(words[0])]
        self._pending.pop(int(words[0]), None)
        member.take_sent()
        member.restart()
        self._run(words[0])

    # ---- inputs

    def _run(self, word: str, batch: Batch | None = None) -> None:
        member = self.members[int(word)]
        for action in member.run(batch or Batch()):
            self._write(int(word), action)
        self._collect(member)

    def _collect(self, member: Member) -> None:
        sent = member.take_sent() + [request.message for request in member.snapshots]
        self.wire += [m for m in sent if not self.isolated & {m.sender, m.to}]
        member.snapshots = []

    def do_campaign(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(must_campaign=True))

    def do_tick(self, words: list[str], options: dict[str, str]) -> None:
        for _ in range(int(words[1]) if len(words) > 1 else 1):
            self._run(words[0], Batch(tick_count=1))

    def do_run(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0])

    def do_propose(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(proposals=[word.encode() for word in words[1:]]))

    def do_read(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(reads=[int(word) for word in words[1:]]))

    def do_change(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(changes=_changes(words[1:])))

    def do_transfer(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(transfer_to=int(words[1])))

    def do_unreachable(self, words: list[str], options: dict[str, str]) -> None:
        self._run(words[0], Batch(unreachable=[int(words[1])]))

    def do_report(self, words: list[str], options: dict[str, str]) -> None:
        report = SnapshotReport(int(words[1]), words[2] == "ok")
        self._run(words[0], Batch(snapshot_reports=[report]))

    def do_snapshot(self, words: list[str], options: dict[str, str]) -> None:
        member = self.members[int(words[0])]
        index = member.state.log.applied
        meta = SnapshotMeta(index, member.state.log.term(index), member.state.conf)
        member.storage.snapshot(meta)
        self.lines.append(f"{words[0]} snapshot {_meta(meta)}")

    def do_compact(self, words: list[str], options: dict[str, str]) -> None:
        member = self.members[int(words[0])]
        member.core.compact(int(words[1]))
        self.lines.append(f"{words[0]} log begins at {member.storage.first_index()}")

    def do_begin(self, words: list[str], options: dict[str, str]) -> None:
        member_id = int(words[0])
        member = self.members[member_id]
        messages = [message for message in self.wire if message.to == member_id]
        self.wire = [message for message in self.wire if message.to != member_id]
        datas = [data.encode() for data in options.get("propose", "").split(",") if data]
        actions = member.pump.begin(Batch(messages=messages, proposals=datas))
        for position, action in enumerate(actions):
            if isinstance(action, (Persist, Install)):
                self._pending[member_id] = actions[position:]
                break
            member.do(action)
            self._write(member_id, action)
        self._collect(member)

    def do_persist(self, words: list[str], options: dict[str, str]) -> None:
        member_id = int(words[0])
        member = self.members[member_id]
        for action in self._pending.pop(member_id):
            member.do(action)
            self._write(member_id, action)
        for action in member.pump.persisted():
            member.do(action)
            self._write(member_id, action)
        self._collect(member)

    # ---- the wire

    def do_send(self, words: list[str], options: dict[str, str]) -> None:
        fields = {
            _FIELDS.get(name, name): int(value)
            for name, value in options.items()
            if name not in ("entries", "rejected", "snapshot", "voters")
        }
        message = Message(MessageKind[words[0]], **fields)  # type: ignore[arg-type]  # ints all
        if "rejected" in options:
            message = message._replace(is_rejected=True)
        if "snapshot" in options:
            index, term = map(int, options["snapshot"].split("/"))
            conf = ConfState(tuple(_ids(options["voters"])), ())
            message = message._replace(snapshot=SnapshotMeta(index, term, conf))
        terms = _ids(options.get("entries", ""))
        entries = [
            Entry(t, i if t else 0, 0, b"%d" % i) for i, t in enumerate(terms, message.index + 1)
        ]
        self.wire.append(message._replace(entries=entries))

    def _select(self, options: dict[str, str]) -> list[Message]:
        return [
            message
            for message in self.wire
            if options.get("kind", message.kind.name) == message.kind.name
            and int(options.get("from", message.sender)) == message.sender
            and int(options.get("to", message.to)) == message.to
            and int(options.get("at", message.index)) == message.index
        ]

    def _take(self, options: dict[str, str]) -> list[Message]:
        taken = self._select(options)
        for message in taken:
            self.wire.remove(message)
        return taken

    def do_deliver(self, words: list[str], options: dict[str, str]) -> None:
        taken = self._take(options)
        for member_id in sorted({message.to for message in taken} & self.members.keys()):
            batch = [message for message in taken if message.to == member_id]
            # Through the codec, as between real members.
            self._run(str(member_id), Batch(messages=decode_messages(encode_messages(batch))))

    def do_settle(self, words: list[str], options: dict[str, str]) -> None:
        for _ in range(100):
            if not self.wire:
                break
            self.do_deliver([], {})
        assert not self.wire, "the wire does not become silent"

    def do_drop(self, words: list[str], options: dict[str, str]) -> None:
        self.lines += [_message(message) for message in self._take(options)]

    def do_isolate(self, words: list[str], options: dict[str, str]) -> None:
        self.isolated = {int(word) for word in words}

    def do_twice(self, words: list[str], options: dict[str, str]) -> None:
        self.wire += self._select(options)

    # ---- looking

    def do_wire(self, words: list[str], options: dict[str, str]) -> None:
        self.lines += [_message(message) for message in self._select(options)]

    def do_status(self, words: list[str], options: dict[str, str]) -> None:
        for member_id, member in self.members.items():
            if words and str(member_id) not in words:
                continue
            state, log = member.state, member.state.log
            self.lines.append(
                f"{member_id} {state.role.name} term={state.term} vote={state.vote}"
                f" leader={state.leader_id} log={log.first_index}..{log.last_index}"
                f" commit={log.commit} applied={log.applied} {_conf(state.conf)}"
                + (" removed" if state.is_removed else "")
            )

    def do_log(self, words: list[str], options: dict[str, str]) -> None:
        log = self.members[int(words[0])].state.log
        if log.first_index <= log.last_index:
            entries = log.entries(log.first_index, log.last_index + 1, 1 << 30)
            self.lines += [_entry(entry) for entry in entries]

    def do_progress(self, words: list[str], options: dict[str, str]) -> None:
        for member_id, progress in sorted(self.members[int(words[0])].state.progress.items()):
            paused = " paused" if progress.is_paused else ""
            pending = f" pending={progress.pending_snapshot}" if progress.pending_snapshot else ""
            self.lines.append(
                f"{member_id} {progress.state.name} match={progress.match} next={progress.next}"
                f" inflights={len(progress.inflights)}{paused}{pending}"
            )

    def do_held(self, words: list[str], options: dict[str, str]) -> None:
        state = self.members[int(words[0])].state
        counters = state.counters
        self.lines.append(
            f"held={len(state.held)} changes={len(state.held_changes)} bytes={state.held_bytes}"
            f" dropped={counters.proposals_dropped} forwards_refused={counters.forwards_refused}"
            f" changes_refused={counters.changes_refused}"
        )

    def _write(self, member_id: int, action: Action) -> None:
        self.lines += [f"{member_id} {line}" for line in _describe(action)]


_FIELDS = {"from": "sender"}


def _ids(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _changes(words: list[str]) -> list[ConfChange]:
    pairs = zip(words[::2], words[1::2], strict=True)
    return [ConfChange(CHANGES[kind], int(member_id)) for kind, member_id in pairs]


def _describe(action: Action) -> Iterator[str]:
    if isinstance(action, SoftStateChanged):
        yield _soft_state(action.soft_state)
    elif isinstance(action, SendNow):
        yield from (f"now   {_message(message)}" for message in action.messages)
    elif isinstance(action, SendAfterPersist):
        yield from (f"after {_message(message)}" for message in action.messages)
    elif isinstance(action, SendSnapshot):
        yield f"stream {_message(action.request.message)}"
    elif isinstance(action, Apply):
        yield f"apply {' '.join(map(_entry, action.entries))}"
    elif isinstance(action, ReleaseReads):
        yield f"release reads {' '.join(map(str, action.tokens))}"
    elif isinstance(action, Install):
        yield f"install {_meta(action.meta)} {_hard_state(action.hard_state)}"
    else:
        entries = "".join(f" {_entry(entry)}" for entry in action.entries)
        yield f"persist {_hard_state(action.hard_state)}{entries}"


def _soft_state(soft_state: SoftState) -> str:
    removed = " removed" if soft_state.is_removed else ""
    return f"is {soft_state.role.name} leader={soft_state.leader_id}{removed}"


def _hard_state(hard_state: HardState | None) -> str:
    if hard_state is None:
        return "(same)"
    return f"(term={hard_state.term} vote={hard_state.vote} commit={hard_state.commit})"


def _entry(entry: Entry) -> str:
    if entry.kind == EntryKind.CONF_CHANGE:
        change = decode_conf_change(entry.data)
        text = f"{ConfChangeKind(change.kind).name}:{change.member_id}"
    else:
        text = entry.data.decode()
    place = f"{entry.index}/{entry.term}" if entry.index else ""
    return f"[{place} {text}]" if text and place else f"[{place or text}]"


def _conf(conf: ConfState) -> str:
    learners = f" learners={','.join(map(str, conf.learners))}" if conf.learners else ""
    return f"voters={','.join(map(str, conf.voters))}{learners}"


def _meta(meta: SnapshotMeta) -> str:
    return f"{meta.index}/{meta.term} {_conf(meta.conf)}"


def _message(message: Message) -> str:
    words = [f"{message.kind.name} {message.sender}->{message.to} term={message.term}"]
    if message.is_rejected:
        words.append("rejected")
    if message.index or message.log_term:
        words.append(f"at={message.index}/{message.log_term}")
    if message.commit:
        words.append(f"commit={message.commit}")
    if message.hint:
        words.append(f"hint={message.hint}")
    if message.context and message.kind in (MessageKind.HEARTBEAT, MessageKind.HEARTBEAT_RESPONSE):
        words.append(f"round={message.context}")  # other contexts begin at random
    if message.snapshot is not None:
        words.append(_meta(message.snapshot))
    return " ".join([*words, *map(_entry, message.entries)])
