"""Where etcdpy answers otherwise than the recordings, each with its reason: the whole list.

A test fails on any difference that is not here, and on any entry that is no difference any more.
`docs/differences.md` has the same list for users.
"""

from dataclasses import dataclass

from etcdpy.http.peers.protocol import PROTOCOL_VERSION
from tests.conformance.transcript import Step

END = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def expected(steps: list[Step]) -> list[Step]:
    """Return the recorded steps as etcdpy is to answer them.

    etcd sends quorum reads through its log, etcdpy does not: where a recording shows the raft
    index, each quorum read up to then has moved it by one there and not here.
    """
    quorum_reads = 0
    changed = []
    for step in steps:
        quorum_reads += _is_quorum_read(step)
        changed.append(_with_raft_index(step, -quorum_reads))
    return changed


def _is_quorum_read(step: Step) -> bool:
    request = step.get("request", {"method": ""})
    return request["method"] == "GET" and "quorum=true" in request["path"]


def _with_raft_index(step: Step, shift: int) -> Step:
    response = step.get("response", {})
    index = response.get("headers", {}).get("X-Raft-Index", "")
    if not index.isdigit():
        return step
    headers = {**response["headers"], "X-Raft-Index": str(int(index) + shift)}
    return {**step, "response": {**response, "headers": headers}}


# What /members of the peer port has beside etcd's headers: who joins must know whom it has asked.
JOINERS_MARK = f"X-Etcdpy-Protocol: {PROTOCOL_VERSION}\r\n"


@dataclass(frozen=True, slots=True)
class Edge:
    """Bytes that are answered otherwise, and why that is accepted."""

    data: bytes
    reason: str


EDGES = {
    "length beside chunks": Edge(
        b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "refused with 400, as RFC 9112 allows: a proxy that goes by the length sees other requests"
        " than etcd, which goes by the chunks",
    ),
    "long first line": Edge(
        b"GET /v2/keys/%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (b"n" * 5000),
        "answered; etcd closes without a word, unless there is TLS or it is not the first request"
        " of its connection",
    ),
    "http 2 preface": Edge(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "closed without a word: there is no gRPC here",
    ),
    "http 2 preface later": Edge(
        b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "505, as for every version of HTTP that is not spoken; etcd makes an exception of this one,"
        " to answer 400",
    ),
    "unread chunks": Edge(
        b"PUT /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (300_000, bytes(300_000)) + END,
        "answered at once and read to its end, after which the connection goes on; etcd reads"
        " 256 KiB before it answers, and closes if that was not all",
    ),
    "long list of peer URLs": Edge(
        b"PUT /v2/members/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 16386\r\n\r\nnull" + b" " * 16382,
        "a body of more than 16 KiB is refused with 400: no member has that many URLs, and reading"
        " them would hold up all else; etcd has no bound",
    ),
}
