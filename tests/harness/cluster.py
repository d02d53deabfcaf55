"""A cluster of server processes on loopback, of either program: started, found, changed, ended.

    with Cluster(Kind.ETCDPY, directory, 3, links=True) as cluster:
        cluster.start()
        cluster.leader().kill()

With `links` the members reach each other through a proxy that can cut (`cluster.links`); with
`clocks` each has a wall clock that can be moved (etcdpy only).  Members die with the test; start
them from the main thread.
"""

import json
import shutil
import struct
from collections.abc import Collection, Iterable, Sequence
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.client import Answer, Connection, NotSentError
from tests.harness.links import Links
from tests.harness.ports import free_port
from tests.harness.process import (
    READY_DEADLINE_S,
    Kind,
    Member,
    ServerError,
    wait_until,
)

#: What a member answers at once if it answers at all.
LOOK_DEADLINE_S = 2.0
LEADER_DEADLINE_S = 30.0
#: A change of the members, with etcd's rule that all have been connected for five seconds.
CHANGE_DEADLINE_S = 30.0
START_TRIES = 5
CLOCK_FOLDER = Path(__file__).with_name("clock")

_OFFSET = struct.Struct("<q")
#: What a request raises that was not answered.
UNANSWERED = (NotSentError, OSError, HTTPException)


class ClusterMember(Member):
    """A member of a cluster: knows the others, may sit behind a proxy, may have its own clock."""

    def __init__(
        self, kind: Kind, directory: Path, *options: str, name: str, has_clock: bool = False
    ) -> None:
        self.id = ""  # as the API shows it; known once the member has been listed
        self.state = "new"
        self.peers: Sequence[str] = ()  # what `--initial-cluster` says
        self.proxy_port: int | None = None
        self._clock = directory / "clock" if has_clock else None
        super().__init__(kind, directory, *options, name=name)
        self.move_clock(0)

    @property
    def advertised_peer_url(self) -> str:
        """The proxy's address, the member's own without one."""
        return self.peer_url if self.proxy_port is None else f"http://127.0.0.1:{self.proxy_port}"

    @property
    def initial_cluster(self) -> str:
        """All members' names and addresses."""
        return ",".join(self.peers)

    def arguments(self) -> list[str]:
        """Return the whole command line."""
        return [*super().arguments(), "--initial-cluster-state", self.state]

    def environment(self) -> dict[str, str]:
        """Return the environment of the process, with the clock if there is one."""
        environment = super().environment()
        if self._clock is not None:
            environment["PYTHONPATH"] = f"{CLOCK_FOLDER}:{environment['PYTHONPATH']}"
            environment["TEST_CLOCK_OFFSET_FILE"] = str(self._clock)
        return environment

    def move_clock(self, offset_s: float) -> None:
        """Set how far this member's wall clock is off, from now on."""
        if self._clock is not None:
            with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
                file.write(_OFFSET.pack(int(offset_s * 1e9)))

    def take_ports(self) -> None:
        """Draw other ports, for when somebody else was faster."""
        self._take_ports()

    def hide(self) -> None:
        """Have it say that it is where nobody listens."""
        self.proxy_port = free_port()

    def look(self, path: str) -> Answer | None:
        """Return what the member answers to a GET, None if it does not at once."""
        return self.try_request("GET", path, deadline_s=LOOK_DEADLINE_S)

    def try_request(
        self, method: str, path: str, form: dict[str, str] | None = None, deadline_s: float = 10.0
    ) -> Answer | None:
        """Send one request; return None if it was not answered, which says nothing of its fate."""
        if not self.is_running:
            return None
        try:
            return self.request(method, path, form, deadline_s)
        except UNANSWERED:
            return None


class Cluster:
    """Members with their names, ports and data; see the module."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        size: int,
        *options: str,
        links: bool = False,
        clocks: bool = False,
        seed: str = "0",
    ) -> None:
        """`options` are given to every member; `seed` is for what the proxy draws."""
        self.kind = kind
        self.directory = directory
        self.options = options
        self.links = Links(seed) if links else None
        self.members: list[ClusterMember] = []
        self.removed: list[ClusterMember] = []  # they may still run until they have noticed
        self._has_clocks = clocks and kind is Kind.ETCDPY
        self._count = 0
        for _ in range(size):
            self.members.append(self._make())

    def _make(self) -> ClusterMember:
        self._count += 1
        name = f"m{self._count}"
        member = ClusterMember(
            self.kind,
            self.directory / name,
            *self.options,
            name=name,
            has_clock=self._has_clocks,
        )
        self._connect(member)
        return member

    def _connect(self, member: ClusterMember) -> None:
        if self.links is not None:
            member.proxy_port = self.links.listen(member.name, member.peer_port)

    @property
    def client_urls(self) -> list[str]:
        """The client URLs of all members."""
        return [member.client_url for member in self.members]

    @property
    def all(self) -> list[ClusterMember]:
        """All that ever were members."""
        return [*self.members, *self.removed]

    @property
    def running(self) -> list[ClusterMember]:
        """The members whose process runs, paused ones included."""
        return [member for member in self.members if member.is_running]

    def member(self, name: str) -> ClusterMember:
        """Return the member with this name."""
        return next(member for member in self.members if member.name == name)

    # Start and end

    def start(self, deadline_s: float = READY_DEADLINE_S) -> Self:
        """Found the cluster: start all members at once and wait until each serves."""
        for _ in range(START_TRIES):
            peers = [f"{m.name}={m.advertised_peer_url}" for m in self.members]
            for member in self.members:
                member.peers = peers
                member.launch()
            try:
                self.wait_ready(deadline_s)
            except ServerError:
                if not any(_has_lost_a_port(member) for member in self.members):
                    raise
                self._start_over()
            else:
                self.identify()
                return self
        raise ServerError(f"no ports were free {START_TRIES} times in a row")

    def _start_over(self) -> None:
        for member in self.members:
            member.kill()
            member.log_path.unlink()
            shutil.rmtree(member.data_dir, ignore_errors=True)
            member.take_ports()
            self._connect(member)

    def restart(self, members: Iterable[ClusterMember] | None = None) -> None:
        """Start members that have ended, all of them by default, and wait until they serve."""
        chosen = [m for m in (members or self.members) if not m.is_running]
        for member in chosen:
            member.launch()
        for member in chosen:
            member.wait_ready()

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until every running member serves."""
        for member in self.running or self.members:
            member.wait_ready(deadline_s)

    def close(self) -> None:
        """End everything."""
        for member in self.all:
            member.kill()
        if self.links is not None:
            self.links.close()

    def log_tail(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(member.log_tail() for member in self.all)

    # Who is who

    def identify(self, *, through: Sequence[ClusterMember] | None = None) -> None:
        """Learn the members' ids, by which the links tell them apart."""
        unknown = [member for member in self.members if not member.id]

        def are_listed() -> bool:
            answer = self.ask("GET", "/v2/members", through=through)
            by_url = {url: m["id"] for m in answer.json()["members"] for url in m["peerURLs"]}
            for member in unknown:
                member.id = by_url.get(member.advertised_peer_url, "")
            return all(member.id for member in unknown)

        # Who is asked may not have heard of the last change yet.
        wait_until(are_listed, CHANGE_DEADLINE_S, "all members are listed")
        if self.links is not None:
            for member in unknown:
                self.links.identify(member.name, member.id)

    def find_leader(self) -> ClusterMember | None:
        """Return the member that leads in the latest term that any member knows of, by one look.

        Only a leader that takes itself for one counts: others may remember a dead one.
        """
        latest: tuple[int, str] = (0, "")
        for member in self.running:
            keys, leader = member.look("/v2/keys/"), member.look("/v2/members/leader")
            if keys is not None and "x-raft-term" in keys.headers:
                is_itself = leader is not None and leader.status == 200
                leads = is_itself and leader is not None and leader.json()["id"] == member.id
                latest = max(latest, (int(keys.headers["x-raft-term"]), member.id if leads else ""))
        return next((member for member in self.running if member.id == latest[1]), None)

    def leader(self, deadline_s: float = LEADER_DEADLINE_S) -> ClusterMember:
        """Return the leader, waiting until there is one."""
        found: list[ClusterMember] = []

        def has_leader() -> bool:
            found.extend(filter(None, [self.find_leader()]))
            return bool(found)

        try:
            wait_until(has_leader, deadline_s, "a leader")
        except ServerError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from None
        return found[0]

    def followers(self) -> list[ClusterMember]:
        """Return the running members that do not lead."""
        leader = self.leader()
        return [member for member in self.running if member is not leader]

    # Requests that do not mind who answers

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        through: Sequence[ClusterMember] | None = None,
        also: Collection[int] = (),
        deadline_s: float = CHANGE_DEADLINE_S,
    ) -> Answer:
        """Send a request with a JSON body to one member after the other until one succeeds.

        It may be applied twice; `also` are the statuses that tell that the first time was enough.
        Raises: ServerError after `deadline_s`.
        """
        answers: list[Answer] = []
        problems: list[str] = []

        def is_answered() -> bool:
            for member in through or self.running:
                try:
                    answer = request_json(member.client_url, method, path, body)
                except UNANSWERED as error:
                    problems.append(f"{member.name}: {error!r}")
                    continue
                if answer.status < 300 or answer.status in also:
                    answers.append(answer)
                    return True
                problems.append(f"{member.name}: {answer.status} {answer.body!r}")
            return False

        try:
            wait_until(is_answered, deadline_s, f"{method} {path}")
        except ServerError as error:
            raise ServerError(f"{error}: {problems[-3:]}\n{self.log_tail()}") from None
        return answers[0]

    # Changes of the members

    def add(
        self, *, through: Sequence[ClusterMember] | None = None, is_hidden: bool = False
    ) -> ClusterMember:
        """Announce a new member and return it, not started; it will join what there is now.

        One that `is_hidden` is not where it says.
        """
        member = self._make()
        if is_hidden:
            member.hide()
        url = member.advertised_peer_url
        self.ask("POST", "/v2/members", {"peerURLs": [url]}, through=through, also=(409,))
        peers = [f"{m.name}={m.advertised_peer_url}" for m in self.members]
        member.peers = [*peers, f"{member.name}={url}"]
        member.state = "existing"
        self.members.append(member)
        self.identify(through=through)
        return member

    def remove(
        self, member: ClusterMember, *, through: Sequence[ClusterMember] | None = None
    ) -> None:
        """Have the others forget a member; its process is left to find out."""
        try:
            self.ask("DELETE", f"/v2/members/{member.id}", through=through, also=(410,))
        except ServerError:
            # One that was to remove itself can have ended before it could answer.
            if member.is_running or through is None or member not in through:
                raise
        self.members.remove(member)
        self.removed.append(member)

    def replace(self, member: ClusterMember) -> ClusterMember:
        """Lose a member's disk: remove it and return a new one, which has joined."""
        member.kill()
        others = [other for other in self.running if other is not member]
        self.remove(member, through=others)
        joining = self.add(through=others)
        joining.launch()
        joining.wait_ready()
        return joining

    def move(self, member: ClusterMember, *, is_former_kept: bool = False) -> None:
        """Give a member another peer address, and tell the cluster; needs `links`.

        The former one leads nowhere afterwards unless it is kept.
        """
        assert self.links is not None
        former = member.proxy_port
        assert former is not None
        self._connect(member)
        path = f"/v2/members/{member.id}"
        self.ask("PUT", path, {"peerURLs": [member.advertised_peer_url]})
        if not is_former_kept:
            self.links.close_port(former)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def request_json(url: str, method: str, path: str, body: Any = None) -> Answer:
    """Send one request, with a JSON body if there is one, on a connection of its own."""
    with Connection(url) as connection:
        data = None if body is None else json.dumps(body)
        return connection.request(method, path, data, {"Content-Type": "application/json"})


def _has_lost_a_port(member: ClusterMember) -> bool:
    return "address already in use" in member.log_text().lower()
