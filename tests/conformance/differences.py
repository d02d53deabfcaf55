"""Where etcdpy answers otherwise than the recordings, each with its reason: the whole list.

A test fails on any difference that is not here, and on any entry that is no difference any more.
`docs/differences.md` has the same list for users.
"""

from dataclasses import dataclass

from tests.conformance.transcript import Step

# Scenarios that cannot pass as a whole yet.
MISSING = {
    "auth_guest_denied": "users and roles (/v2/auth) are not there yet",
}


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


# Paths that etcd serves and etcdpy does not serve yet.
MISSING_FACES = (
    "/metrics",
    "/debug/vars",
    "/v2/auth/enable",
    "/v2/auth/users",
    "/v2/auth/roles",
    "/config/local/log",
)


def is_change_of_members(method: str, path: str) -> bool:
    """Tell whether a request changes members: all of them get 500 until that is there."""
    is_members = path.partition("?")[0] in ("/v2/members", "/v2/members/") or path.startswith(
        "/v2/members/"
    )
    return is_members and method in ("POST", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Edge:
    """Bytes that are answered otherwise, and why that is accepted."""

    data: bytes
    reason: str
    half_close: bool = False


EDGES = {
    "malformed host": Edge(
        b"GET /version HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "the Host header is never used, therefore not looked at",
    ),
    "bad chunk in one packet": Edge(
        b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "the parser reports the fault before the request: 400 as text, not as error 210",
    ),
    "raw utf-8 in a redirected query": Edge(
        "GET /v2/keys//a?x=é HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(),
        "raw bytes of a target are escaped before the parser: the page shows them so, too",
    ),
    "empty lines first": Edge(
        b"\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "the parser skips them, as RFC 9112 advises; etcd closes",
    ),
    "repeated media type": Edge(
        b"PUT /v2/keys/a?ttl=x HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "the parser refuses headers repeated that must be single; Go takes the first",
    ),
}
