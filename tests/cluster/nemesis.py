"""What harms a cluster: each fault is a context that begins it, and undoes of it what can wait.

`strike` holds some faults for a while and then brings the cluster back: healed, running, with a
leader and an acknowledged write, within a deadline.  What a fault hits is drawn from the source
it is given; a member that ends without having been ended is a fault of its own.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from enum import StrEnum

from etcdpy.snapshotter import TAIL_COUNT
from tests.cluster.flood import Flood
from tests.cluster.record import Record
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.link_proxy import Cut, Pair, Rule
from tests.harness.links import between
from tests.harness.metrics import metrics
from tests.harness.process import ServerError, wait_until

RECOVERY_DEADLINE_S = 60.0
INSTALLED = "finished applying incoming snapshot"
#: Writes that are in flight around the end of a leader.
BUSY_COUNT = 2000
FLOOD_SIZES_BYTES = (0, 0, 5000)
CLOCK_JUMP_S = 3600.0


class Fault(StrEnum):
    """What happens."""

    KILL_ONE = "kill one"
    KILL_LEADER = "kill leader"
    KILL_MAJORITY = "kill majority"
    KILL_ALL = "kill all"
    KILL_BUSY = "kill leader under flood"
    FLAP = "flap"
    PAUSE_ONE = "pause one"
    PAUSE_LEADER = "pause leader"
    PAUSE_MAJORITY = "pause majority"
    SPLIT = "split"
    LEADER_IN_MINORITY = "leader in minority"
    ISOLATE_EACH = "isolate each"
    ONE_WAY_FROM_LEADER = "one way from leader"
    ONE_WAY_TO_LEADER = "one way to leader"
    ONE_WAY = "one way"
    SLOW = "slow links"
    LOSSY = "lossy links"
    ROLLING_RESTART = "rolling restart"
    REPLACE = "replace wiped"
    HOLD_BACK = "hold back"
    CHURN = "churn"
    RESIZE = "resize"
    CLOCKS = "clock jump"


#: What real etcd can't take part in: its clock is not ours to move, and its watchers miss what a
#: follower gets by snapshot.
ONLY_ETCDPY = frozenset({Fault.HOLD_BACK, Fault.CLOCKS})
#: What needs a cluster that makes progress.
NEEDS_PROGRESS = frozenset(
    {
        Fault.KILL_BUSY,
        Fault.ROLLING_RESTART,
        Fault.REPLACE,
        Fault.HOLD_BACK,
        Fault.CHURN,
        Fault.RESIZE,
    }
)
#: What needs one that is fast.
NEEDS_SPEED = frozenset({Fault.KILL_BUSY, Fault.HOLD_BACK})
#: What can go on beside anything, but for SLOW beside those.
MILD = frozenset({Fault.SLOW, Fault.CLOCKS})


class Nemesis:
    """The faults of one cluster; `counts` says how often each happened."""

    def __init__(
        self, cluster: Cluster, source: random.Random, record: Record, snapshot_count: int
    ) -> None:
        assert cluster.links is not None
        self.counts: Counter[Fault] = Counter()
        self.floods: list[Flood] = []
        self._cluster = cluster
        self._links = cluster.links
        self._random = source
        self._record = record
        self._snapshot_count = snapshot_count
        self._down: set[str] = set()  # names of members that were ended
        self._stopped: set[str] = set()  # names of members that stand still
        # How often each that must be given a snapshot had been given one before.
        self._behind: dict[ClusterMember, int] = {}
        self._faults: dict[Fault, Callable[[], AbstractContextManager[None]]] = {
            Fault.KILL_ONE: lambda: self._kill(self._some(1)),
            Fault.KILL_LEADER: lambda: self._kill([self._leader()]),
            Fault.KILL_MAJORITY: lambda: self._kill(self._some(self._majority)),
            Fault.KILL_ALL: lambda: self._kill(self._cluster.running),
            Fault.KILL_BUSY: self._kill_busy_leader,
            Fault.FLAP: self._flap,
            Fault.PAUSE_ONE: lambda: self._pause(self._some(1)),
            Fault.PAUSE_LEADER: lambda: self._pause([self._leader()]),
            Fault.PAUSE_MAJORITY: lambda: self._pause(self._some(self._majority)),
            Fault.SPLIT: lambda: self._split(self._some(self._minority)),
            Fault.LEADER_IN_MINORITY: self._put_leader_in_minority,
            Fault.ISOLATE_EACH: self._isolate_each,
            Fault.ONE_WAY_FROM_LEADER: self._silence_leader,
            Fault.ONE_WAY_TO_LEADER: self._deafen_leader,
            Fault.ONE_WAY: self._cut_one_way,
            Fault.SLOW: self._slow_down,
            Fault.LOSSY: self._lose,
            Fault.ROLLING_RESTART: self._restart_one_by_one,
            Fault.REPLACE: self._replace,
            Fault.HOLD_BACK: self._hold_back,
            Fault.CHURN: self._churn,
            Fault.RESIZE: self._resize,
            Fault.CLOCKS: self._move_clocks,
        }

    def strike(self, faults: Sequence[Fault], hold_s: float) -> None:
        """Have `faults` happen together for `hold_s`, then bring the cluster back.

        Raises: ServerError when it does not come back.
        """
        with ExitStack() as stack:
            for fault in faults:
                self.counts[fault] += 1
                stack.enter_context(self._faults[fault]())
            time.sleep(hold_s)
        self.recover()

    def recover(self) -> None:
        """Undo all faults and wait for a cluster in which every member serves and writes count."""
        self._links.heal()
        for member in self._cluster.members:
            self._go_on(member)
            member.move_clock(0)
        self.check_alive()
        for member in self._cluster.members:
            self._launch(member)
        self._cluster.wait_ready(RECOVERY_DEADLINE_S)
        self._cluster.leader(RECOVERY_DEADLINE_S)
        for member in self._cluster.members:
            self._await_write(member)
        for member, before in self._behind.items():
            if member in self._cluster.members and _installs(member) == before:
                self._record.blame(f"{member.name} has what the others had forgotten")
        self._behind.clear()

    def check_alive(self) -> None:
        """Raises: ServerError if a member ended that nobody ended."""
        for member in self._cluster.members:
            if not member.is_running and member.name not in self._down:
                raise ServerError(f"{member.name} ended by itself\n{self._cluster.log_tail()}")

    # Whom

    @property
    def _majority(self) -> int:
        return len(self._cluster.members) // 2 + 1

    @property
    def _minority(self) -> int:
        return (len(self._cluster.members) - 1) // 2

    def _some(self, count: int) -> list[ClusterMember]:
        running = self._cluster.running
        return self._random.sample(running, min(count, len(running)))

    def _leader(self) -> ClusterMember:
        """Return the leader, anybody if there is none just now."""
        anybody = self._anybody()  # drawn in any case: later choices must not depend on it
        return self._cluster.find_leader() or anybody

    def _anybody(self) -> ClusterMember:
        return self._random.choice(self._cluster.running or self._cluster.members)

    def _others(self, *members: ClusterMember) -> list[str]:
        return [m.name for m in self._cluster.members if m not in members]

    def _how(self) -> Cut:
        return self._random.choice(list(Cut))

    # Processes

    @contextmanager
    def _kill(self, members: Sequence[ClusterMember]) -> Iterator[None]:
        for member in members:
            self._end(member)
        yield
        for member in members:
            self._launch(member)

    @contextmanager
    def _kill_busy_leader(self) -> Iterator[None]:
        """The leader ends amid large batches, through whichever member they came."""
        urls = self._cluster.client_urls
        with self._flood(urls, BUSY_COUNT), self._kill([self._leader()]):
            time.sleep(self._random.uniform(0.05, 0.5))
        yield

    def _flood(self, urls: Sequence[str], count: int) -> Flood:
        size_bytes = self._random.choice(FLOOD_SIZES_BYTES)
        self.floods.append(Flood(urls, count, str(len(self.floods)), size_bytes))
        return self.floods[-1]

    @contextmanager
    def _flap(self) -> Iterator[None]:
        """Members end, some of them while they start."""
        for _ in range(self._random.randrange(3, 7)):
            member = self._anybody()
            self._end(member)
            time.sleep(self._random.uniform(0.0, 0.3))
            self._launch(member)
            time.sleep(self._random.uniform(0.0, 1.0))
        yield

    def _end(self, member: ClusterMember) -> None:
        self._down.add(member.name)
        member.kill()

    def _launch(self, member: ClusterMember) -> None:
        self._down.discard(member.name)
        if not member.is_running:
            member.launch()

    @contextmanager
    def _pause(self, members: Sequence[ClusterMember]) -> Iterator[None]:
        for member in members:
            if member.is_running:
                self._stopped.add(member.name)
                member.send_signal(signal.SIGSTOP)
        yield
        for member in members:
            self._go_on(member)

    def _go_on(self, member: ClusterMember) -> None:
        if member.name in self._stopped:
            self._stopped.discard(member.name)
            if member.is_running:
                member.send_signal(signal.SIGCONT)

    @contextmanager
    def _restart_one_by_one(self) -> Iterator[None]:
        for member in self._random.sample(self._cluster.members, len(self._cluster.members)):
            self._down.add(member.name)
            code = member.stop(signal.SIGTERM)
            if code != -signal.SIGTERM:
                self._record.blame(f"{member.name} ended with {code} on SIGTERM")
            self._launch(member)
            member.wait_ready(RECOVERY_DEADLINE_S)
        yield

    @contextmanager
    def _move_clocks(self) -> Iterator[None]:
        for member in self._some(self._random.randrange(1, len(self._cluster.members) + 1)):
            member.move_clock(self._random.choice([-1, 1]) * CLOCK_JUMP_S)
        yield

    # Links

    @contextmanager
    def _rules(self, pairs: Sequence[Pair], rule: Rule) -> Iterator[None]:
        self._links.set_rules(dict.fromkeys(pairs, rule))
        yield
        # Another fault may have put its own in the place of some.
        left = [pair for pair in pairs if self._links.rule(*pair) is rule]
        self._links.set_rules(dict.fromkeys(left, Rule()))

    def _cut(self, pairs: Sequence[Pair]) -> AbstractContextManager[None]:
        return self._rules(pairs, Rule(cut=self._how()))

    def _split(self, side: Sequence[ClusterMember]) -> AbstractContextManager[None]:
        return self._cut(between([m.name for m in side], self._others(*side)))

    def _put_leader_in_minority(self) -> AbstractContextManager[None]:
        leader = self._leader()
        company = [m for m in self._some(self._minority) if m is not leader]
        return self._split([leader, *company[: self._minority - 1]])

    def _isolate_each(self) -> AbstractContextManager[None]:
        return self._cut(between(*([name] for name in self._others())))

    def _silence_leader(self) -> AbstractContextManager[None]:
        leader = self._leader()
        return self._cut([(leader.name, name) for name in self._some_of(self._others(leader))])

    def _deafen_leader(self) -> AbstractContextManager[None]:
        leader = self._leader()
        return self._cut([(name, leader.name) for name in self._some_of(self._others(leader))])

    def _cut_one_way(self) -> AbstractContextManager[None]:
        pairs = between(*([name] for name in self._others()))
        return self._cut(self._random.sample(pairs, len(pairs) // 3))

    def _some_of(self, names: Sequence[str]) -> list[str]:
        return self._random.sample(names, self._random.randrange(1, len(names) + 1))

    def _slow_down(self) -> AbstractContextManager[None]:
        delay_s = self._random.uniform(0.005, 0.1)
        rule = Rule(delay_s=delay_s, jitter_s=delay_s, bytes_s=self._random.choice([0, 1 << 20]))
        return self._rules(between(*([name] for name in self._others())), rule)

    def _lose(self) -> AbstractContextManager[None]:
        rule = Rule(loss=self._random.uniform(0.005, 0.1), reset=self._random.uniform(0, 0.02))
        return self._rules(between(*([name] for name in self._others())), rule)

    # Members

    @contextmanager
    def _replace(self) -> Iterator[None]:
        """A disk is lost: the member is removed and a new one takes its place."""
        self._cluster.replace(self._anybody())
        yield

    @contextmanager
    def _hold_back(self) -> Iterator[None]:
        """A member misses more than the others keep for it, and comes back, maybe by bad links.

        One that was only out of reach may still find the better part of it on its way to it.
        """
        held = self._anybody()
        is_killed = self._random.choice([True, False, False])
        ways = [self._kill] if is_killed else [self._pause, self._split]
        troubles = [nullcontext, self._slow_down, self._lose]
        with ExitStack() as trouble:
            with self._random.choice(ways)([held]):
                self._let_forget([m for m in self._cluster.running if m is not held])
                if is_killed:
                    self._behind[held] = _installs(held)
                trouble.enter_context(self._random.choice(troubles)())
            yield

    def _let_forget(self, members: Sequence[ClusterMember]) -> None:
        """Write until none of `members` has an entry that there is now."""
        last = _raft_metric(self._cluster.leader(), "log_last_index")
        count = TAIL_COUNT + 2 * self._snapshot_count
        while min(_raft_metric(m, "log_first_index") for m in members) <= last:
            with self._flood([m.client_url for m in members], count):
                pass
            count = self._snapshot_count  # a snapshot is still being written

    @contextmanager
    def _churn(self) -> Iterator[None]:
        """One more member, another address for one, and any one of them less."""
        self._join()
        self._cluster.move(self._anybody())
        self._remove(self._random.choice(self._cluster.members))
        yield

    @contextmanager
    def _resize(self) -> Iterator[None]:
        """Two more members, one after the other, and any two less."""
        for _ in range(2):
            self._join()
        for _ in range(2):
            self._remove(self._random.choice(self._cluster.members))
        yield

    def _join(self) -> None:
        """Add a member, which may end once while it starts."""
        joining = self._cluster.add()
        self._launch(joining)
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0.1, 1.0))
            self._end(joining)
            self._launch(joining)
        joining.wait_ready(RECOVERY_DEADLINE_S)

    def _remove(self, leaving: ClusterMember) -> None:
        """Remove a member, which hears of it at once, or when it is back, and ends by itself."""
        remaining = [member for member in self._cluster.members if member is not leaving]
        ways: list[Callable[[], AbstractContextManager[None]]] = [
            nullcontext,
            lambda: self._kill([leaving]),
            lambda: self._pause([leaving]),
            lambda: self._split([leaving]),
        ]
        if len(self._cluster.members) == 2:  # both must agree
            ways = [nullcontext]
        with self._random.choice(ways)():
            self._cluster.remove(leaving, through=self._random.sample(remaining, len(remaining)))
        code = leaving.wait_exit(RECOVERY_DEADLINE_S)
        if code != 0:
            self._record.blame(f"{leaving.name} was removed and ended with {code}")

    def _await_write(self, member: ClusterMember) -> None:
        """Wait until a write through `member` is acknowledged."""

        def is_acknowledged() -> bool:
            answer = member.try_request("PUT", "/v2/keys/alive", {"value": member.name})
            return answer is not None and answer.status in (200, 201)

        wait_until(is_acknowledged, RECOVERY_DEADLINE_S, f"a write through {member.name}")


def _installs(member: ClusterMember) -> int:
    """Return how many snapshots of others it has taken over."""
    if not member.log_path.exists():
        return 0
    return member.log_path.read_text(errors="replace").count(INSTALLED)


def _raft_metric(member: ClusterMember, name: str) -> float:
    return metrics(member.client_url)[f"etcdpy_raft_{name}", ""]
