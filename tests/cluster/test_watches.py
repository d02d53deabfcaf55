"""Watches on a follower: through a leader change, and through a snapshot that skips the log.

The tail that a leader keeps for who lags is 5000 entries, the history that watches can ask for
1000 events.  So a follower gets a snapshot whose history has all that it missed, if most of what it
missed changed nothing; and one that has not, if there were more changes.
Source: spec/watch.md sections 4 and 5; docs/architecture.md.
"""

import http.client
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etcdpy.snapshotter import TAIL_COUNT
from tests.harness.client import Connection
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.link_proxy import Cut, Rule
from tests.harness.links import isolation
from tests.harness.process import Kind, ServerError, wait_until

OPTIONS = ("--heartbeat-interval", "50", "--election-timeout", "500", "--snapshot-count", "200")
DEADLINE_S = 60.0
CONNECTIONS = 16
HISTORY_COUNT = 1000
#: Entries after which nothing that a follower misses is in the leader's log any more.
PAST_THE_TAIL = TAIL_COUNT + 600

PROBE = "probe"
INSTALLED = "finished applying incoming snapshot"
RECEIVING = "receiving database snapshot"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3, *OPTIONS, links=True) as three:
        yield three.start()


class Watching(threading.Thread):
    """A client that reads one watch, from the moment that the member has it, until it ends."""

    def __init__(self, member: ClusterMember, path: str, parameters: str) -> None:
        super().__init__(daemon=True)
        self.events: list[dict[str, Any]] = []
        self.is_cut = False
        self._connection = Connection(member.client_url, DEADLINE_S)
        self._answer = self._connection.open("GET", f"/v2/keys{path}?wait=true&{parameters}")
        assert self._answer.status == 200
        self.start()

    def run(self) -> None:
        with self._connection, self._answer:
            self._read()

    def _read(self) -> None:
        try:
            while line := self._read_line():
                self.events.append(json.loads(line))
        except (http.client.HTTPException, OSError):
            self.is_cut = True

    def _read_line(self) -> bytes:
        """Return the next line, nothing at the end.  `readline` takes a cut for an end."""
        line = b""
        while not line.endswith(b"\n") and (byte := self._answer.read(1)):
            line += byte
        return line

    @property
    def values(self) -> list[str]:
        return [event["node"]["value"] for event in self.events]

    def until_ended(self) -> None:
        self.join(DEADLINE_S)
        assert not self.is_alive()

    def until(self, value: str) -> None:
        """Wait until an event with this value has come."""
        wait_until(lambda: value in self.values, DEADLINE_S, f"an event of {value}")


class Writing(threading.Thread):
    """One connection's share of many requests, each answered with the same status."""

    def __init__(self, url: str, path: str, count: int, status: tuple[int, ...]) -> None:
        super().__init__(daemon=True)
        self.problem = ""
        self._url, self._path, self._count, self._status = url, path, count, status
        self.start()

    def run(self) -> None:
        with Connection(self._url, DEADLINE_S) as connection:
            for _ in range(self._count):
                answer = connection.request("PUT", self._path, {"value": "x"})
                if answer.status not in self._status:
                    self.problem = repr(answer)
                    return


def write_many(member: ClusterMember, path: str, count: int, *status: int) -> None:
    """Have `count` requests go through the log, through many connections."""
    share = -(-count // CONNECTIONS)
    writers = [Writing(member.client_url, path, share, status) for _ in range(CONNECTIONS)]
    for writer in writers:
        writer.join(DEADLINE_S)
        assert not writer.is_alive()
        assert not writer.problem


def put(member: ClusterMember, key: str, value: str) -> int:
    """Write and return the index."""
    answer = member.request("PUT", f"/v2/keys{key}", {"value": value}, DEADLINE_S)
    assert answer.status in (200, 201), answer
    return answer.index


def is_taken(member: ClusterMember, key: str) -> bool:
    """Write, and tell whether that was acknowledged."""
    answer = member.try_request("PUT", f"/v2/keys{key}", {"value": PROBE})
    return answer is not None and answer.status in (200, 201)


def cut_off(cluster: Cluster) -> tuple[ClusterMember, ClusterMember]:
    """Cut a follower's links, so that nothing waits in them; return the leader and it."""
    assert cluster.links is not None
    leader = cluster.leader()
    follower = cluster.followers()[0]
    others = [member.name for member in cluster.members if member is not follower]
    cluster.links.cut(isolation(follower.name, others), Cut.RESET)
    return leader, follower


def heal_by_snapshot(cluster: Cluster, follower: ClusterMember) -> None:
    """Bring a follower back, which gets there by a snapshot."""
    assert cluster.links is not None
    before = follower.log_text().count(INSTALLED)
    cluster.links.heal()
    try:
        wait_until(lambda: follower.log_text().count(INSTALLED) > before, DEADLINE_S, INSTALLED)
    except ServerError as error:
        raise ServerError(f"{error}\n{cluster.log_tail()}") from None


def test_watches_live_through_a_change_of_leader(cluster: Cluster) -> None:
    first = cluster.leader()
    follower, other = cluster.followers()
    stream = Watching(follower, "/w", "stream=true&recursive=true")
    poll = Watching(follower, "/poll", "")
    written = [f"before {number}" for number in range(20)]
    for value in written:
        put(follower, "/w/a", value)
    first.kill()
    for member in (follower, other):  # what was on its way to the dead leader is lost
        wait_until(partial(is_taken, member, "/w/probe"), DEADLINE_S, "a write after the election")
    after = [f"after {number}" for number in range(20)]
    for member, value in zip([follower, other] * 10, after, strict=True):
        put(member, "/w/b", value)
    put(other, "/poll", "found")
    poll.until_ended()
    stream.until(after[-1])
    assert (poll.values, poll.is_cut) == (["found"], False)
    assert [value for value in stream.values if value != PROBE] == written + after
    indexes = [event["node"]["modifiedIndex"] for event in stream.events]
    assert indexes == sorted(set(indexes))


def test_watches_are_told_what_a_snapshots_history_has(cluster: Cluster) -> None:
    leader, follower = cut_off(cluster)
    stream = Watching(follower, "/w", "stream=true&recursive=true")
    poll = Watching(follower, "/w/3", "")
    silent = Watching(follower, "/silent", "")
    values = [str(number) for number in range(50)]
    for value in values:
        put(leader, f"/w/{value}", value)
    write_many(leader, "/v2/keys/none?prevExist=true", PAST_THE_TAIL, 404)
    heal_by_snapshot(cluster, follower)
    stream.until(values[-1])
    poll.until_ended()
    put(leader, "/w/later", "later")  # they are as alive as ever
    put(leader, "/silent", "heard")
    stream.until("later")
    silent.until_ended()
    assert stream.values == [*values, "later"]
    assert (poll.values, poll.is_cut) == (["3"], False)
    assert (silent.values, silent.is_cut) == (["heard"], False)


def test_watches_are_cut_when_a_snapshots_history_begins_later(cluster: Cluster) -> None:
    leader, follower = cut_off(cluster)
    index = put(leader, "/w/0", "missed") - 1
    stream = Watching(follower, "/w", "stream=true&recursive=true")
    poll = Watching(follower, "/silent", f"waitIndex={index + 1}")
    patient = Watching(follower, "/silent", f"waitIndex={index + 2 * PAST_THE_TAIL}")
    write_many(leader, "/v2/keys/filler", PAST_THE_TAIL, 200, 201)
    heal_by_snapshot(cluster, follower)
    for watching in (stream, poll):
        watching.until_ended()
        assert (watching.events, watching.is_cut) == ([], True)
    for parameters in (f"waitIndex={index + 1}", f"waitIndex={index + 1}&stream=true"):
        answer = follower.request("GET", f"/v2/keys/w?wait=true&recursive=true&{parameters}")
        assert (answer.status, answer.json()["errorCode"]) == (400, 401)
        oldest = answer.index - HISTORY_COUNT + 1
        assert answer.json()["cause"].endswith(f"[{oldest}/{index + 1}]")
    assert patient.is_alive()  # it has missed nothing
    assert follower.request("GET", "/v2/keys/w/0").json()["node"]["value"] == "missed"


def test_a_follower_killed_while_it_receives_a_snapshot_comes_back(cluster: Cluster) -> None:
    assert cluster.links is not None
    leader, follower = cut_off(cluster)
    for number in range(64):
        put(leader, f"/big/{number}", "x" * 40_000)
    write_many(leader, "/v2/keys/filler", PAST_THE_TAIL, 200, 201)
    slow = Rule(bytes_s=200_000)  # ten seconds and more for the snapshot
    others = [member.name for member in cluster.members if member is not follower]
    cluster.links.heal()
    cluster.links.set_rules({(name, follower.name): slow for name in others})
    wait_until(lambda: RECEIVING in follower.log_text(), DEADLINE_S, "a snapshot on its way")
    follower.kill()
    assert INSTALLED not in follower.log_text()
    cluster.links.heal()
    cluster.restart([follower])
    assert INSTALLED in follower.log_text()
    last = put(leader, "/filler", "last")
    wait_until(
        lambda: follower.request("GET", "/v2/keys/filler").index >= last, DEADLINE_S, "catching up"
    )
    for path in ("/v2/keys/big?recursive=true&sorted=true", "/v2/keys/filler"):
        assert follower.request("GET", path).body == leader.request("GET", path).body
    snapshots = follower.data_dir / "snapshots"
    assert not [path.name for path in snapshots.iterdir() if path.suffix != ".snapshot"]
