"""What a guest says to a running member, well-formed and wrong: no member ends or stays down.

A guest is who knows the cluster's id and is no member here.  It may be one that was added a moment
ago, so it is heard; what of its word is taken stands in etcdpy.http.peers.admission.
"""

import contextlib
import http.client
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack
import pytest

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
)
from etcdpy.http.peers.frames import HEAD_BYTES, FrameEncoder, FrameKind
from etcdpy.http.peers.protocol import SNAPSHOT_PATH, Identity, greet
from tests.cluster.test_peer_port import DEADLINE_S, ETCD_VERSION, open_stream, seed_of
from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.process import Kind, wait_until
from tests.harness.strangers import Stranger

GUEST_ID = 0xBAD01
SEEDS = (1,)
SOAK_SEEDS = range(2, 20)
MESSAGES = 150


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path, 3) as cluster:
        cluster.start()
        yield cluster


class Guest:
    """Speaks to one member, on a new stream whenever that ends the last one."""

    def __init__(self, member: ClusterMember) -> None:
        answer = member.request("GET", "/v2/keys/")
        self.member = member
        self.to = int(member.id, 16)
        self.term = int(answer.headers["x-raft-term"])
        self.index = int(answer.headers["x-raft-index"])
        cluster_id = int(answer.headers["x-etcd-cluster-id"], 16)
        port = f"http://127.0.0.1:{member.peer_port}"
        self.identity = Identity(cluster_id, GUEST_ID, ETCD_VERSION, (port,))
        self._open()

    def _open(self) -> None:
        self._socket, answer = open_stream(self.member, self.identity, self.to)
        self._encoder = FrameEncoder(seed_of(answer))

    def say(self, message: Message) -> bool:
        """Return whether the member goes on to listen; if not there is a new stream."""
        payload = encode_messages([message])
        data = self._encoder.encode(FrameKind.MESSAGES, payload) + payload
        ping = b"\x01" * 8
        self._socket.sendall(data + self._encoder.encode(FrameKind.PING, ping) + ping)
        is_heard = self._hears_pong()
        if not is_heard:
            self._socket.close()
            self._open()
        return is_heard

    def _hears_pong(self) -> bool:
        """Read what the member says up to its answer to a ping, or to the end."""
        reader = self._socket.makefile("rb")
        with reader, contextlib.suppress(ConnectionError):
            while head := reader.read(HEAD_BYTES):
                length, kind, _ = struct.unpack("<III", head)
                reader.read(length)
                if kind == FrameKind.PONG:
                    return True
        return False

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def check_all_live(cluster: Cluster) -> None:
    """Check that the cluster takes writes, now and after a restart of all, and has the first."""
    check_writes(cluster)
    for member in cluster.members:
        member.kill()
    cluster.restart(cluster.members)
    check_writes(cluster)
    answer = cluster.members[0].request("GET", "/v2/keys/before?quorum=true")
    assert answer.json()["node"]["value"] == "kept"
    assert not any("Traceback" in member.log_text() for member in cluster.members)


def check_writes(cluster: Cluster) -> None:
    assert [member.is_running for member in cluster.members] == [True] * 3
    wait_until(lambda: is_writable(cluster.members[0]), 4 * DEADLINE_S, "a write")


def is_writable(member: ClusterMember) -> bool:
    return member.request("PUT", "/v2/keys/after", {"value": "v"}).status in (200, 201)


Case = Callable[[Guest], Message]


def case(kind: MessageKind, later: int = 0, **fields: Any) -> Case:
    """Return a message of the guest's to the leader, of its term or a later one."""

    def say(guest: Guest) -> Message:
        return Message(kind, guest.to, GUEST_ID, guest.term + later, **fields)

    return say


def append_of_garbage(guest: Guest) -> Message:
    entry = Entry(guest.term + 1, guest.index + 1, EntryKind.NORMAL, b"garbage")
    message = case(MessageKind.APPEND, later=1, index=guest.index, log_term=guest.term)(guest)
    return message._replace(entries=[entry], commit=guest.index + 1)


CASES: dict[str, Case] = {
    "a proposal": case(MessageKind.PROPOSE, entries=[Entry(0, 0, EntryKind.NORMAL, b"garbage")]),
    "entries that are no commands": append_of_garbage,
    "a vote in the last of all terms": case(MessageKind.VOTE, later=2**64 - 100, hint=1),
    "a vote in a term far ahead": case(MessageKind.VOTE, later=2**61, hint=1),
    "another leader": case(MessageKind.HEARTBEAT),
    "another leader's wish": case(MessageKind.TIMEOUT_NOW),
    "a commit past the end": case(MessageKind.HEARTBEAT, later=1, commit=10**6),
    "a read": case(MessageKind.READ_INDEX, context=1),
    "a transfer": case(MessageKind.TRANSFER, index=5),
    "an answer": case(MessageKind.APPEND_RESPONSE, index=5),
    "an answer of a later term": case(MessageKind.VOTE_RESPONSE, later=5),
    "a removal": case(MessageKind.REMOVED),
}


def test_each_of_these_ends_its_stream_and_nothing_else(cluster: Cluster) -> None:
    leader = cluster.leader()
    leader.request("PUT", "/v2/keys/before", {"value": "kept"})
    terms = set()
    for name, say in CASES.items():
        with Guest(leader) as guest:
            terms.add(guest.term)
            assert not guest.say(say(guest)), name
        assert cluster.leader() is leader, name
    assert len(terms) == 1
    check_all_live(cluster)


@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SOAK_SEEDS)]
)
def test_no_guests_word_ends_a_member_or_keeps_it_down(cluster: Cluster, seed: int) -> None:
    """But for entries and snapshots of a later term: whoever leads may replace what is there."""
    source = random.Random(seed)
    cluster.leader().request("PUT", "/v2/keys/before", {"value": "kept"})
    kinds = [k for k in MessageKind if k not in (MessageKind.SNAPSHOT, MessageKind.APPEND)]
    for member in cluster.members:
        with Guest(member) as guest:
            stranger = Stranger(source, GUEST_ID, guest.to, ConfState((guest.to,)), [b"garbage"])
            for _ in range(MESSAGES):
                guest.say(stranger.say(source.choice(kinds), guest.term, guest.index))
                append = stranger.say(MessageKind.APPEND, guest.term, guest.index)
                if append.entries:
                    guest.say(append)
    check_all_live(cluster)


def snapshot_of(guest: Guest, term: int, rows: Sequence[Any]) -> bytes:
    """Return the body of a snapshot with good checksums, as msgpack packs the rows."""
    meta = SnapshotMeta(10**6, 1, ConfState((guest.to,)))
    head = encode_messages([Message(MessageKind.SNAPSHOT, guest.to, GUEST_ID, term, snapshot=meta)])
    packed = b"".join(map(msgpack.packb, rows))
    foot = msgpack.packb([len(rows), 1, len(packed)])
    body, crc = b"", 0
    for kind, count, data in ((1, 0, head), (2, len(rows), packed), (3, 0, foot)):
        covered = struct.pack("<III", kind, count, len(data))
        crc = crc32(data, crc32(covered, crc))
        body += covered + struct.pack("<I", crc) + data
    return body


def test_snapshots_of_guests_that_are_none_are_refused(cluster: Cluster) -> None:
    follower = cluster.followers()[0]
    follower.request("PUT", "/v2/keys/before", {"value": "kept"})
    snapshots = follower.data_dir / "snapshots"
    before = sorted(snapshots.iterdir())
    with Guest(follower) as guest:
        for later, status, complaint in (
            (0, 400, "claims to lead"),
            (-1, 409, "a snapshot of the leader of term"),
            (1, 400, "snapshot of the tree is damaged at row 1"),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", follower.peer_port)
            body = snapshot_of(guest, guest.term + later, [[99, b"x"]])
            connection.request("POST", SNAPSHOT_PATH, body, greet(guest.identity, guest.to))
            answer = connection.getresponse()
            assert (answer.status, complaint in answer.read().decode()) == (status, True)
            connection.close()
    assert sorted(snapshots.iterdir()) == before
    check_all_live(cluster)
