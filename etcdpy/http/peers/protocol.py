"""What two members must agree on before one hears the other: headers, ids, versions, refusals.

A file of its own because it is a wire format that both ends share and neither owns; it knows no
socket.  What follows the agreement is in `frames` and `snapshot_stream`.  Rules for changing
it: what an older release sends must go on being understood, or `PROTOCOL_VERSION` is raised and
both are spoken for as long as a rolling upgrade may take.

Each member dials every other one and speaks on the connection that it dialled, or, while it has
none, on the one that the other side dialled:

    GET /raft/stream/etcdpy/<sender>     answered 101; then frames, both ways
    POST /raft/snapshot/etcdpy           one snapshot; answered 204 when it lies durable there

By version 1 of the protocol the acceptor's frames are only answers: such a member must be dialled.

The path of the stream is one that a real etcd answers with its headers, so that it is known for
what it is and not taken for a broken member; the headers are etcd's where it has them.
Source: spec/cluster.md section 2, spec/members.md section 5.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from etcdpy.consensus.codec import ENTRY_BYTES_MAX
from etcdpy.errors import PeerError
from etcdpy.urls import UrlError, parse_urls

PROTOCOL_VERSION = 2
#: All that are spoken here, the newest first.
PROTOCOL_VERSIONS = (2, 1)
#: From which version on both sides carry messages on one stream.
TWO_WAY_VERSION = 2
#: The oldest release whose members can be in a cluster with this one; etcd's rule and number.
MIN_CLUSTER_VERSION = "3.0.0"

STREAM_PATH = "/raft/stream/etcdpy"
SNAPSHOT_PATH = "/raft/snapshot/etcdpy"
UPGRADE = "etcdpy-peer"

CLUSTER_ID = "X-Etcd-Cluster-ID"
SERVER_VERSION = "X-Server-Version"
MIN_VERSION = "X-Min-Cluster-Version"
SENDER = "X-Server-From"
ADDRESSEE = "X-Raft-To"
PEER_URLS = "X-PeerURLs"
PROTOCOLS = "X-Etcdpy-Protocols"  # those that the dialling side speaks, by comma
PROTOCOL = "X-Etcdpy-Protocol"  # the one that the accepting side chose
STREAM_SEED = "X-Etcdpy-Stream"  # where the checksums of this stream's frames begin

# A member has a handful of URLs; this only bounds what is believed of a stranger.
PEER_URLS_COUNT_MAX = 16

_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.[0-9A-Za-z.+-]{1,64})?")


class Cause(StrEnum):
    """Why a peer is refused, or not reached: what is counted, and what is logged once."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"  # a connection that is only half there
    REAL_ETCD = "real etcd"
    NOT_A_MEMBER = "not a member"  # something that answers HTTP, and no more
    CLUSTER_ID = "cluster id"
    MEMBER_ID = "member id"
    UNKNOWN = "unknown member"
    REMOVED = "removed member"
    VERSION = "version"
    PROTOCOL = "protocol version"
    BROKEN = "protocol broken"
    BUSY = "busy"
    OUTDATED = "earlier term"  # a snapshot of a leader that leads no more
    NO_ROOM = "no room"  # on the disk, for a snapshot
    STOPPED = "stopped"


class RefusedError(PeerError):
    """What a peer brings is refused, and not because it broke the protocol."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Refusal(NamedTuple):
    """An answer that ends the conversation."""

    status: int
    cause: Cause
    message: str


#: The statuses of our own refusals, by cause; a dialling member reads them the other way round.
STATUSES: Mapping[Cause, int] = {
    Cause.BROKEN: 400,
    Cause.UNKNOWN: 404,
    Cause.OUTDATED: 409,
    Cause.REMOVED: 410,
    Cause.CLUSTER_ID: 412,
    Cause.MEMBER_ID: 421,
    Cause.VERSION: 426,
    Cause.PROTOCOL: 505,
    Cause.BUSY: 503,
    Cause.STOPPED: 503,
    Cause.NO_ROOM: 507,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this member is, as its peers are told."""

    cluster_id: int
    member_id: int
    version: str  # of the etcd release whose behaviour it has
    peer_urls: tuple[str, ...] = ()


class Ways(NamedTuple):
    """From whom to whom what comes on a stream is, and the bounds of both directions."""

    sender: int
    to: int
    frame_bytes_max: int  # of what comes
    write_bytes_max: int  # what may wait unsent before the stream is full


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Bounds and times, the same on all members but for tests."""

    queue_count_max: int = 4_096  # messages that wait; Raft has fewer appends in flight
    queue_bytes_max: int = 32 << 20  # twice what Raft lets be in flight
    write_bytes_max: int = 1 << 20  # unsent in the socket's buffer before the queue begins
    batch_bytes_max: int = 4 << 20  # of several messages in one frame; one alone may be larger
    # A frame that is received: one append with one entry of the largest size, and its own fields.
    frame_bytes_max: int = ENTRY_BYTES_MAX + (1 << 20)
    dial_s: float = 3.0
    ping_s: float = 1.0
    silence_s: float = 5.0  # as etcd's read and write deadlines between members
    backoff_min_s: float = 0.05
    backoff_max_s: float = 1.0
    goodbye_s: float = 0.5  # for bytes that were written already to leave when the member stops
    snapshot_bytes_s: int = 64 << 20  # a second, to one peer
    snapshot_stall_s: float = 10.0  # without progress
    snapshot_finish_s: float = 120.0  # for the receiver's disk, after the last byte
    snapshots_max: int = 2  # sent at a time
    guests_max: int = 8  # members that dial before this one has heard of them

    def ways(self, sender: int, to: int) -> Ways:
        """Return from whom to whom a stream's messages are, with its bounds."""
        return Ways(sender, to, self.frame_bytes_max, self.write_bytes_max)

    def __post_init__(self) -> None:
        assert self.ping_s < self.silence_s
        assert 0 < self.backoff_min_s <= self.backoff_max_s
        assert self.batch_bytes_max <= self.frame_bytes_max


class Greeting(NamedTuple):
    """Who has dialled, once all that can be checked without the membership is checked."""

    sender: int
    version: str
    peer_urls: tuple[str, ...]  # where it can be dialled; what a stranger says of itself
    protocol: int  # the newest version that both sides speak


class Acceptance(NamedTuple):
    """What the accepting side has said of a stream."""

    protocol: int
    seed: int


def greet(identity: Identity, to: int) -> dict[str, str]:
    """Return the headers with which a member dials another one."""
    return {
        CLUSTER_ID: f"{identity.cluster_id:x}",
        SENDER: f"{identity.member_id:x}",
        ADDRESSEE: f"{to:x}",
        SERVER_VERSION: identity.version,
        MIN_VERSION: MIN_CLUSTER_VERSION,
        PEER_URLS: ",".join(identity.peer_urls),
        PROTOCOLS: ",".join(map(str, PROTOCOL_VERSIONS)),
    }


def refuse(cause: Cause, message: str) -> Refusal:
    """Return the refusal for one of our own causes."""
    return Refusal(STATUSES[cause], cause, message)


def hear(
    headers: Mapping[str, str], identity: Identity, removed: Collection[int]
) -> Greeting | Refusal:
    """Return who dials, or why that one is not heard.  The order of the checks is etcd's."""
    spoken = headers.get(PROTOCOLS, "").replace(" ", "").split(",")
    protocol = next((v for v in PROTOCOL_VERSIONS if str(v) in spoken), None)
    if protocol is None:
        got = headers.get(PROTOCOLS, "none")[:32]
        return refuse(
            Cause.PROTOCOL,
            f"peer protocol version {PROTOCOL_VERSION} is spoken here (got {got})",
        )
    complaint = check_versions(headers, identity)
    if complaint:
        return refuse(Cause.VERSION, complaint)
    return _check_ids(headers, identity, removed, protocol)


def _check_ids(
    headers: Mapping[str, str], identity: Identity, removed: Collection[int], protocol: int
) -> Greeting | Refusal:
    got = headers.get(CLUSTER_ID, "")
    if find_id(got) != identity.cluster_id:
        return refuse(
            Cause.CLUSTER_ID,
            f"request cluster ID mismatch (got {got[:16]} want {identity.cluster_id:x})",
        )
    sender = find_id(headers.get(SENDER, ""))
    if not sender:
        return refuse(Cause.UNKNOWN, "invalid from")
    if sender in removed:
        return refuse(Cause.REMOVED, f"removed member {sender:x}")
    addressee = headers.get(ADDRESSEE, "")
    if find_id(addressee) != identity.member_id or sender == identity.member_id:
        return refuse(
            Cause.MEMBER_ID,
            f"request member ID mismatch (got {addressee[:16]} want {identity.member_id:x})",
        )
    version = headers.get(SERVER_VERSION, "")[:32]
    return Greeting(sender, version, _peer_urls(headers), protocol)


def find_id(text: str) -> int | None:
    """Return the id that `text` spells, None if it spells none."""
    return int(text, 16) if _ID.fullmatch(text) else None


def check_versions(headers: Mapping[str, str], identity: Identity) -> str:
    """Return why two releases can't be in one cluster, nothing if they can."""
    sender = headers.get(SENDER, "")[:16]
    theirs, least = headers.get(SERVER_VERSION, ""), headers.get(MIN_VERSION, "")
    remote, wanted = _parse_version(theirs), _parse_version(least)
    local, lowest = _parse_version(identity.version), _parse_version(MIN_CLUSTER_VERSION)
    assert local is not None
    assert lowest is not None
    pair = f"remote[{sender}]={theirs[:32]}, local={identity.version}"
    if remote is None or remote < lowest:
        return f"remote version is too low: {pair}"
    if wanted is None or wanted > local:
        return f"local version is too low: {pair}"
    return ""


def check_acceptor(headers: Mapping[str, str]) -> Acceptance:
    """Return what the other side has said of the stream that it accepted.

    Raises: PeerError if it accepted something else.
    """
    chosen = headers.get(PROTOCOL, "none")[:32]
    protocol = next((v for v in PROTOCOL_VERSIONS if str(v) == chosen), None)
    if protocol is None:
        raise PeerError(f"accepted with protocol version {chosen}")
    seed = find_id(headers.get(STREAM_SEED, ""))
    if seed is None or seed >= 2**32:
        raise PeerError("accepted without a seed for the stream")
    return Acceptance(protocol, seed)


def _parse_version(text: str) -> tuple[int, int] | None:
    found = _VERSION.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[2]))


def _peer_urls(headers: Mapping[str, str]) -> tuple[str, ...]:
    texts = headers.get(PEER_URLS, "").split(",")
    if len(texts) > PEER_URLS_COUNT_MAX:
        return ()
    try:
        return parse_urls(text for text in texts if text)
    except UrlError:
        return ()
