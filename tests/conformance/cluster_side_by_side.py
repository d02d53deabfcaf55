"""Three etcdpy and three etcd, brought into the same state and asked the same things.

Which member leads is chance, and so are ports and ids.  So each cluster has a cast: a part in the
play ("leader", "a", "b") for each member, and everything that is a member's own is shown as its
part's.  Lists that go by id are checked to do so, and then sorted by part.
"""

import difflib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.conformance.normal import CORS
from tests.conformance.side_by_side import Pair
from tests.harness.cluster import Cluster, ClusterMember, request_json
from tests.harness.process import Kind, Member, wait_until
from tests.http.rawsocket import exchange, request

T = TypeVar("T")

#: What three members have written of themselves: three records, three names, a version.
FRESH_INDEX = 7
#: How long both may take to come to the same, and how long an answer may take.
SETTLE_S = 10.0
ANSWER_S = 20.0

#: The faces of a member, beside the keys API.
CLIENT_FACES = (
    "/v2/members",
    "/v2/members/",
    "/v2/members/leader",
    "/v2/machines",
    "/health",
    "/version",
    "/v2/stats/self",
    "/v2/stats/leader",
    "/v2/stats/store",
)
PEER_FACES = ("/members", "/version", "/health", "/raft/probing")

_PART = re.compile(r"@([a-z]+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|\+00:00)")
_DURATION = re.compile(r"(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|s)")
#: Reads are counted too, and the harness reads to know where the members are.
_COUNTERS_OF_READS = ("getsSuccess", "getsFail")
_COUNTS_OF_APPENDS = {"recvAppendRequestCnt", "sendAppendRequestCnt"}
_RATES = ("recvPkgRate", "recvBandwidthRate", "sendPkgRate", "sendBandwidthRate")
#: These headers are said to be there.
_VARYING_HEADERS = ("Date", "X-Raft-Index", "X-Raft-Term", "Content-Length")
_LISTS_BY_ID = ("/v2/members", "/v2/members/", "/members")


class Ask(NamedTuple):
    """What `Side.ask` takes."""

    part: str
    method: str
    path: str
    form: dict[str, str] | None = None
    peers: Sequence[str] | None = None


class Side:
    """One of the two clusters, with its cast."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.cast: dict[str, ClusterMember] = {}

    def __getitem__(self, part: str) -> ClusterMember:
        return self.cast[part]

    def cast_all(self) -> None:
        """Give the parts: the leader, and the others in the order of their names."""
        leader = self.cluster.leader()
        others = [member for member in self.cluster.members if member is not leader]
        self.cast = {"leader": leader, **dict(zip("ab", others, strict=True))}

    def recast_leader(self, old: str) -> None:
        """Give the leader's part to whoever leads now, `old` to who had it, "a" to who is left."""
        former = self.cast.pop("leader")
        leader = self.cluster.leader()
        (left,) = (m for m in self.cast.values() if m is not leader)
        self.cast = {"leader": leader, "a": left, old: former}

    @property
    def running(self) -> dict[str, ClusterMember]:
        """The parts whose players run."""
        return {part: member for part, member in self.cast.items() if member.is_running}

    def ask(
        self,
        part: str,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        peers: Sequence[str] | None = None,
    ) -> str:
        """Ask a member for something and return its answer, as it can be compared.

        `@b` stands for the id of b in a path, for its URL in `peers`, which are a JSON body.
        """
        path = _PART.sub(lambda match: self.cast[match[1]].id, path)
        if peers is None:
            answer = self.cast[part].request(method, path, form, ANSWER_S)
        else:
            urls = [_PART.sub(lambda match: self.cast[match[1]].peer_url, url) for url in peers]
            answer = request_json(self.cast[part].client_url, method, path, {"peerURLs": urls})
        index = answer.headers.get("x-etcd-index")
        kind = answer.headers.get("content-type")
        return self.named(f"{answer.status} {kind} index={index} {answer.body.decode()}")

    def ask_all(self, *asks: Ask) -> list[str]:
        """Ask for several things at once: they may all take their time."""
        with ThreadPoolExecutor(len(asks)) as pool:
            return list(pool.map(lambda ask: self.ask(*ask), asks))

    def named(self, text: str) -> str:
        """Return a text with parts in place of what is a member's own."""
        for part, member in self.cast.items():
            text = text.replace(member.client_url, f"<client of {part}>")
            text = text.replace(f"127.0.0.1:{member.client_port}", f"<address of {part}>")
            text = text.replace(member.advertised_peer_url, f"<peer of {part}>")
            if member.id:
                text = re.sub(rf"\b(?:{member.id}|{int(member.id, 16)})\b", f"<id of {part}>", text)
            text = re.sub(rf'("name": ?"|name=|Name:){member.name}\b', rf"\1<{part}>", text)
        return text


@dataclass(frozen=True, slots=True)
class Sides:
    """Both clusters."""

    ours: Side
    theirs: Side

    def __iter__(self) -> Iterator[Side]:
        yield self.ours
        yield self.theirs

    def both(self, action: Callable[[Side], T]) -> tuple[T, T]:
        """Do something on both at once; not for what starts processes."""
        with ThreadPoolExecutor(2) as pool:
            ours, theirs = pool.map(action, self)
        return ours, theirs

    def each(self, action: Callable[[Side], T]) -> tuple[T, T]:
        """Do something on one after the other."""
        return action(self.ours), action(self.theirs)

    def ask(self, *ask: Any, **more: Any) -> str:
        """Ask both for the same thing; assert that they answer alike."""
        return self.ask_all(Ask(*ask, **more))[0]

    def ask_all(self, *asks: Ask) -> list[str]:
        """Ask both for the same things, all at once; assert that they answer alike."""
        ours, theirs = self.both(lambda side: side.ask_all(*asks))
        assert ours == theirs, _difference(
            *(dict(zip(map(str, asks), answers, strict=True)) for answers in (ours, theirs))
        )
        return ours

    def assert_alike(self, show: Callable[[Side], dict[str, str]]) -> None:
        """Assert that both show the same, soon: what changes reaches all members in its time."""
        end = time.monotonic() + SETTLE_S
        while True:
            ours, theirs = self.both(show)
            if ours == theirs or time.monotonic() > end:
                break
            time.sleep(0.1)
        assert ours == theirs, _difference(ours, theirs)

    def assert_faces_alike(self) -> None:
        """Assert that all members that run show the same of themselves and of the cluster."""
        self.assert_alike(faces)


@dataclass(frozen=True, slots=True)
class ClusterPair(Pair):
    """A member of each cluster in the same part, to be asked by what asks single members."""

    sides: Sides

    def shown(self, member: Member, path: str, reply: bytes) -> str:
        """Return a response of either with parts in place of what is a member's own."""
        side = self.sides.ours if member is self.etcdpy else self.sides.theirs
        return shown(side, path, reply)


@contextmanager
def running_clusters(directory: Path, *options: str, links: bool = False) -> Iterator[Sides]:
    """Run three members of each kind, freshly started.

    Timers are the defaults: with shorter ones a loaded machine has elections of its own.
    """
    with (
        Cluster(Kind.ETCDPY, directory / "etcdpy", 3, *options, links=links) as ours,
        Cluster(Kind.ETCD, directory / "etcd", 3, *options, links=links) as theirs,
    ):
        sides = Sides(Side(ours), Side(theirs))
        for side in sides:
            start_fresh(side.cluster)
            side.cast_all()
        yield sides


def start_fresh(cluster: Cluster) -> Cluster:
    """Found a cluster and wait until all its members have its own first writes."""
    cluster.start()
    for member in cluster.members:
        wait_for_index(member, FRESH_INDEX)
    return cluster


def wait_for_index(member: ClusterMember, index: int) -> None:
    """Wait until a member has applied what has this index."""

    def is_there() -> bool:
        answer = member.look("/v2/keys/")
        return answer is not None and answer.index >= index

    wait_until(is_there, ANSWER_S, f"index {index} at {member.name}")


def wait_until_long_connected(side: Side) -> None:
    """Wait until the members take an addition: they refuse one for another reason."""
    for part in side.running:

        def is_refused_for_the_url(part: str = part) -> bool:
            return side.ask(part, "POST", "/v2/members", peers=["@a"]).startswith("409 ")

        wait_until(is_refused_for_the_url, ANSWER_S, "all connected for long enough")


# What is compared


def _difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Return what differs, line by line."""
    lines = []
    for name in dict.fromkeys([*ours, *theirs]):
        mine, its = (shown.get(name, "").splitlines() for shown in (ours, theirs))
        if mine != its:
            lines += [name, *(line for line in difflib.ndiff(mine, its) if line[0] in "+-")]
    return "\n".join(lines)


def faces(side: Side) -> dict[str, str]:
    """Return all that the running members of a cluster show, by part and path."""
    asked = [
        (part, member, path, is_peer)
        for part, member in side.running.items()
        for is_peer, paths in ((False, CLIENT_FACES), (True, PEER_FACES))
        for path in paths
    ]
    with ThreadPoolExecutor(4) as pool:
        shown = pool.map(lambda ask: show(side, *ask[1:]), asked)
        return {
            f"{part}{' (peer)' if is_peer else ''}: {path}": text
            for (part, _, path, is_peer), text in zip(asked, shown, strict=True)
        }


def show(
    side: Side,
    member: ClusterMember,
    path: str,
    is_peer: bool = False,
    data: bytes | None = None,
) -> str:
    """Return what a member answers to a GET, or to `data`, as it can be compared."""
    port = member.peer_port if is_peer else member.client_port
    asked = data or request(target=path.encode())
    # etcd's peer port does not close before its client does.
    return shown(side, path, exchange(port, asked, half_close=is_peer).data)


def shown(side: Side, path: str, reply: bytes) -> str:
    """Return a response as it can be compared."""
    head, _, body = reply.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    fields.pop("X-Etcdpy-Protocol", None)  # by which those who join know that it is no etcd
    if body and "Content-Length" in fields:
        assert int(fields["Content-Length"]) == len(body.encode())
    kept = [_shown_field(name, value) for name, value in sorted(fields.items())]
    return side.named("\n".join([first, *kept, "", _shown_body(side, path, fields, body)]))


def _shown_field(name: str, value: str) -> str:
    if name in _VARYING_HEADERS or CORS.get(name) == value:
        return name
    return "X-Etcd-Cluster-Id: <id>" if name == "X-Etcd-Cluster-Id" else f"{name}: {value}"


def _shown_body(side: Side, path: str, fields: Mapping[str, str], body: str) -> str:
    end = body[len(body.rstrip("\n")) :]
    if path == "/v2/machines":
        urls = body.split(", ")
        assert urls == sorted(urls)
        return ", ".join(sorted(side.named(url) for url in urls)) + end
    if not body.startswith(("{", "[")):
        return body
    value = json.loads(body)
    if "message" in value:
        return body
    if path in _LISTS_BY_ID and fields.get("Content-Type") == "application/json":
        rows = value["members"] if isinstance(value, dict) else value
        ids = [int(str(row["id"]), 16 if isinstance(row["id"], str) else 10) for row in rows]
        assert ids == sorted(ids)
        rows.sort(key=lambda row: side.named(json.dumps(row["id"])))
    if path == "/v2/stats/leader" and "followers" in value:
        followers = value["followers"]
        assert list(followers) == sorted(followers)
        rows = sorted(
            (side.named(name), _shown_follower(side, name, f)) for name, f in followers.items()
        )
        value["followers"] = dict(rows)
    if path == "/v2/stats/store":
        for name in _COUNTERS_OF_READS:
            value[name] = "<count>"
    return json.dumps(_without_numbers(value)) + end


def _shown_follower(side: Side, member_id: str, follower: dict[str, Any]) -> dict[str, Any]:
    """Return a follower's figures: zeros where it was never heard of, else that there are some.

    How many appends failed is chance, and so is whether one to a member that just died did:
    etcd counts what it has written to the socket.
    """
    is_gone = any(m.id == member_id and m.has_died for m in side.cast.values())
    if is_gone or follower["counts"]["success"]:
        return {"latency": list(follower["latency"]), "counts": list(follower["counts"])}
    return {**follower, "counts": {**follower["counts"], "fail": "<count>"}}


def _without_numbers(value: Any) -> Any:
    """Return a JSON value without times, and without the counts of what went between members."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in _RATES}
        for name in _COUNTS_OF_APPENDS & kept.keys():
            kept[name] = kept[name] and "<count>"
        return {name: _without_numbers(item) for name, item in kept.items()}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return "<time>"
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return "<duration>"
    return value
