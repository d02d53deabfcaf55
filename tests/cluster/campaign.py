"""A round of mixed faults under load, from one seed: found, harm, bring back, stop, judge.

The seed decides what is drawn, not the timing.  `Tally` is what a round has shown, and rounds add
up.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

from tests.cluster import judge, nemesis, recovered
from tests.cluster.flood import Flood
from tests.cluster.nemesis import INSTALLED, Fault, Nemesis
from tests.cluster.record import Record
from tests.cluster.sessions import (
    QUEUE,
    Session,
    Target,
    Targets,
    parse,
    seen_of,
    start_sessions,
)
from tests.cluster.watchers import Watch, start_watches
from tests.harness.client import Answer
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind, wait_until
from tests.simulation.history import Ask, Seen

FAST = ("--heartbeat-interval", "50", "--election-timeout", "500")
SETTLE_DEADLINE_S = 60.0
JOIN_DEADLINE_S = 30.0
#: How long nothing must change for a cluster to be at rest.
REST_S = 0.5
TRACEBACK = "Traceback (most recent call last)"
TRACE_LINES = 40
END_KEY = b"/k/end"


@dataclass(frozen=True, slots=True)
class Strike:
    """Some faults together, for how long, and how much peace before it."""

    faults: tuple[Fault, ...]
    hold_s: float
    peace_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round is to do."""

    label: str  # the seed of everything
    size: int
    options: tuple[str, ...]
    snapshot_count: int
    sessions: int
    strikes: tuple[Strike, ...]


@dataclass(slots=True)
class Tally:
    """What rounds have shown."""

    rounds: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    events: int = 0  # that watches were told
    gaps: int = 0  # times that a watch was told 401
    terms: int = 0
    installs: int = 0  # snapshots that running members took over from others
    digests: int = 0  # rounds whose members' directories recovered to one digest
    keys: int = 0  # whose histories were found linearizable
    lost: int = 0

    def add(self, other: "Tally") -> None:
        """Count what another one has shown."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        asked = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.rounds} rounds in {self.seconds:,.0f} s\n"
            f"faults: {faults}\n"
            f"operations: {asked}\n"
            f"watches: {self.events:,} events, {self.gaps} times 401\n"
            f"elections: {self.terms} terms; snapshots received: {self.installs}\n"
            f"lost: {self.lost}; linearizable: {self.keys:,} of {self.keys:,} keys;"
            f" digests equal: {self.digests} of {self.rounds} rounds"
        )


class Broken(AssertionError):
    """A round showed what may not be."""


def draw_plan(label: str, strikes: int, kind: Kind = Kind.ETCDPY) -> Plan:
    """Return the plan that follows from `label`."""
    source = random.Random(label)
    size = source.choice([3, 3, 3, 5])
    timers = source.choice([FAST, FAST, ()])
    snapshot_count = source.choice([20, 200, 1000, 2000])
    strict = source.choice([(), ("--strict-reconfig-check=false",)])
    kept = source.choice([(), ("--max-snapshots", "1", "--max-wals", "1")])
    return Plan(
        label=label,
        size=size,
        options=(*timers, *strict, *kept, "--snapshot-count", str(snapshot_count)),
        snapshot_count=snapshot_count,
        sessions=source.randrange(4, 11),
        strikes=tuple(_draw_strike(source, kind) for _ in range(strikes)),
    )


def _draw_strike(source: random.Random, kind: Kind) -> Strike:
    possible = [f for f in Fault if kind is Kind.ETCDPY or f not in nemesis.ONLY_ETCDPY]
    faults = [source.choice(possible)]
    beside = [f for f in possible if f not in nemesis.NEEDS_PROGRESS]
    if faults[0] in nemesis.NEEDS_PROGRESS:
        beside = [f for f in beside if f in nemesis.MILD]
    if faults[0] in nemesis.NEEDS_SPEED:
        beside = [f for f in beside if f is not Fault.SLOW]
    if beside and source.random() < 0.4:
        other = source.choice(beside)
        if other is not faults[0]:
            faults.insert(0, other)
    return Strike(tuple(faults), source.uniform(0.5, 6.0), source.uniform(0.0, 3.0))


def run_round(kind: Kind, directory: Path, plan: Plan) -> Tally:
    """Carry out `plan` on a new cluster.  Raises: Broken saying what was wrong, or ServerError."""
    options = plan.options
    with (
        Clients() as clients,
        Cluster(
            kind, directory, plan.size, *options, links=True, clocks=True, seed=plan.label
        ) as c,
    ):
        try:
            return _Round(c.start(), plan, clients).run()
        except BaseException as error:
            error.add_note(f"{plan}\n{c.log_tail()}")
            raise


class Clients:
    """The threads of one round.  As a context, they end with it, also when the round has failed.

    Whoever went on would ask the next cluster, and write into it.
    """

    def __init__(self) -> None:
        self.record = Record()
        self.sessions: list[Session] = []
        self.watches: list[Watch] = []

    def start(self, targets: Targets, names: Sequence[str], plan: Plan) -> None:
        """Begin to ask the members at `targets`; one watch stays at each of `names`."""
        self.watches += start_watches(self.record, targets, names, plan.label)
        self.sessions += start_sessions(self.record, targets, plan.sessions, plan.label)

    def end_sessions(self) -> None:
        """Ask no more, and wait for the last answers."""
        self.record.ending.set()
        _join(self.sessions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_sessions()
        for watch in self.watches:
            watch.ending.set()
        _join(self.watches)


def _join(threads: Iterable[Thread]) -> None:
    for thread in threads:
        thread.join(JOIN_DEADLINE_S)
        assert not thread.is_alive(), f"{thread.name} still waits for an answer"


class _Round:
    """One round on a running cluster."""

    def __init__(self, cluster: Cluster, plan: Plan, clients: Clients) -> None:
        self._cluster = cluster
        self._plan = plan
        self._began_s = time.monotonic()
        self._clients = clients
        self._record = clients.record
        self._nemesis = Nemesis(
            cluster, random.Random(plan.label), self._record, plan.snapshot_count
        )

    def run(self) -> Tally:
        """Harm the cluster while clients use it, then judge."""
        clients, names = self._clients, [member.name for member in self._cluster.members]
        clients.start(self._targets, names, self._plan)
        for strike in self._plan.strikes:
            time.sleep(strike.peace_s)
            self._nemesis.strike(strike.faults, strike.hold_s)
        clients.end_sessions()
        index, found = self._settle(clients.watches)
        term = rest(self._cluster)
        judge.read_back(self._record.history, index, found)
        return self._judge(clients.watches, term)

    def _targets(self) -> Sequence[Target]:
        return [Target(member.name, member.client_url) for member in self._cluster.members]

    # The last writes

    def _settle(self, watches: Sequence[Watch]) -> tuple[int, dict[bytes, Seen]]:
        """Leave nothing that expires, have the watches see the end, and read everything."""
        self._delete_expiring()
        self._write(Ask.SET, END_KEY, b"end", "PUT", END_KEY.decode())
        last = self._write(Ask.CREATE, QUEUE + b"/last", b"last", "POST", QUEUE.decode())
        for watch in watches:
            end = last - 1 if watch.path == "/k" else last
            wait_until(partial(watch.has_seen, end), SETTLE_DEADLINE_S, f"{watch} at {end}")
            watch.ending.set()
        answer = self._read_all()
        files = dict(_files(answer.json()["node"]))
        self._record.faults += flood_faults(self._nemesis.floods, files)
        return answer.index, dict(_as_history_keys(files))

    def _delete_expiring(self) -> None:
        for key, node in _files(self._read_all().json()["node"]):
            if "ttl" in node:
                self._write(Ask.DELETE, key.encode(), None, "DELETE", key)

    def _write(self, ask: Ask, key: bytes, value: bytes | None, method: str, path: str) -> int:
        """Carry out a write that the record knows of; return its index."""
        operation = self._record.call(ask, key, value)
        form = None if value is None else {"value": value.decode()}
        leader = self._cluster.leader()
        answer = parse(operation, leader.request(method, f"/v2/keys{path}", form, deadline_s=30))
        assert answer is not None, f"{operation} through {leader.name} at peace"
        self._record.answer(operation, answer)
        return answer.index

    def _read_all(self) -> Answer:
        return self._cluster.ask("GET", "/v2/keys/?recursive=true&quorum=true")

    # The judgement

    def _judge(self, watches: Sequence[Watch], term: int) -> Tally:
        record, cluster = self._record, self._cluster
        faults = [*record.faults, *self._end_and_recover()]
        _join(watches)  # whose members have ended
        faults += judge.find_faults(record.history, watches, record.local_reads)
        lost = judge.find_lost(record.history)
        logs = {m.name: m.log_path.read_text(errors="replace") for m in cluster.all}
        faults += [
            f"{name}: {_first_trace(logs[name])}" for name in logs if TRACEBACK in logs[name]
        ]
        if faults or lost:
            shown = [*lost, *faults][: judge.FAULTS_MAX]
            raise Broken(f"{len(lost)} lost, {len(faults)} faults:\n" + "\n".join(shown))
        outcomes = Counter(record.outcomes)
        outcomes["acknowledged"] += sum(flood.acknowledged for flood in self._nemesis.floods)
        return Tally(
            rounds=1,
            seconds=time.monotonic() - self._began_s,
            faults=Counter({str(f): count for f, count in self._nemesis.counts.items()}),
            outcomes=outcomes,
            events=sum(len(watch.seen) for watch in watches),
            gaps=sum(len(watch.gaps) for watch in watches),
            terms=term,
            installs=sum(log.count(INSTALLED) for log in logs.values()),
            digests=int(cluster.kind is Kind.ETCDPY),
            keys=len(record.history.by_key),
        )

    def _end_and_recover(self) -> list[str]:
        """Kill all members; return what is wrong with what their directories recover to."""
        cluster = self._cluster
        applied = max(header(member, "x-raft-index") for member in cluster.members)
        for member in cluster.members:
            member.kill()
        if cluster.kind is not Kind.ETCDPY:
            return []
        return recovered.find_faults({m.name: m.data_dir for m in cluster.members}, applied)


def rest(cluster: Cluster) -> int:
    """Wait until all members show the same tree and nothing moves; return the term.

    Raises: ServerError when they don't.
    """

    def state(member: ClusterMember) -> tuple[str, str, bytes] | None:
        answer = member.look("/v2/keys/?recursive=true&sorted=true")
        if answer is None:
            return None
        return answer.headers["x-raft-index"], answer.headers["x-etcd-index"], answer.body

    def is_at_rest() -> bool:
        first = [state(member) for member in cluster.members]
        if None in first or len(set(first)) > 1:
            return False
        time.sleep(REST_S)
        return [state(member) for member in cluster.members] == first

    wait_until(is_at_rest, SETTLE_DEADLINE_S, "all members at rest with equal trees")
    return max(header(member, "x-raft-term") for member in cluster.members)


def header(member: ClusterMember, name: str) -> int:
    """Return a number that a member shows with every answer about keys."""
    return int(member.request("GET", "/v2/keys/").headers[name])


def flood_faults(floods: Sequence[Flood], files: dict[str, dict[str, Any]]) -> list[str]:
    """Return which acknowledged writes of floods are not there."""
    faults = []
    for flood in floods:
        for key, (index, value) in flood.last.items():
            node = files.get(key)
            if node is None or node["modifiedIndex"] < index:
                faults.append(f"{key}: {index} was acknowledged, {node} is there")
            elif node["modifiedIndex"] == index and node["value"] != value:
                faults.append(f"{key}: {value} was acknowledged at {index}, {node} is there")
    return faults


def _first_trace(log: str) -> str:
    """Return the line before a log's first traceback, and the traceback."""
    before, _, trace = log.partition(TRACEBACK)
    return "\n".join([*before.splitlines()[-2:], TRACEBACK, *trace.splitlines()[:TRACE_LINES]])


def _files(top: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    files, waiting = [], [top]
    while waiting:
        node = waiting.pop()
        if node.get("dir"):
            waiting.extend(node.get("nodes", []))
        else:
            files.append((node["key"], node))
    return files


def _as_history_keys(files: dict[str, dict[str, Any]]) -> list[tuple[bytes, Seen]]:
    """Return what is there under the keys that the history has: a child of the queue by value."""
    queue = QUEUE.decode() + "/"
    return [
        (
            QUEUE + b"/" + node["value"].encode() if key.startswith(queue) else key.encode(),
            seen_of(node),
        )
        for key, node in files.items()
    ]
