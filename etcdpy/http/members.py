"""/v2/members and the peer port's /members: who is in the cluster, and changing that.

Source: spec/members.md sections 2, 3, 3.2 and 6.
"""

import logging
from typing import Any, NamedTuple

from etcdpy.errors import ReconfigurationError
from etcdpy.http import failures, member_requests, wire
from etcdpy.http.backend import Backend
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.member_requests import PREFIX, Change, RequestError
from etcdpy.http.peers.protocol import PROTOCOL, PROTOCOL_VERSION
from etcdpy.http.wire import JSON_TYPE, Request, Response
from etcdpy.tree.members import Member, MemberRefusal

ALLOWED = b"GET,POST,DELETE,PUT"

_log = logging.getLogger("etcdpy.etcdserver.api.v2http")


class _Refused(NamedTuple):
    """How a refusal by the cluster is answered; the words may name the member's id."""

    status: int
    words: str


_INTERNAL = _Refused(500, "Internal Server Error")
_NO_SUCH_MEMBER = _Refused(404, "No such member: {:x}")
_URL_EXISTS = _Refused(409, MemberRefusal.PEER_URL_EXISTS.value)

# By method and cause; every other cause is for the log, and 500 for the client.
_REFUSED: dict[tuple[str, str], _Refused] = {
    ("POST", MemberRefusal.PEER_URL_EXISTS.value): _URL_EXISTS,
    ("POST", MemberRefusal.ID_EXISTS.value): _Refused(409, MemberRefusal.ID_EXISTS.value),
    ("PUT", MemberRefusal.PEER_URL_EXISTS.value): _URL_EXISTS,
    ("PUT", MemberRefusal.ID_NOT_FOUND.value): _NO_SUCH_MEMBER,
    ("DELETE", MemberRefusal.ID_NOT_FOUND.value): _NO_SUCH_MEMBER,
    ("DELETE", MemberRefusal.ID_REMOVED.value): _Refused(410, "Member permanently removed: {:x}"),
}
_GERUNDS = {"POST": "adding", "PUT": "updating", "DELETE": "removing"}


async def guard(backend: Backend, request: Request) -> Response | None:
    """Refuse changes by others than root; who only looks is not asked."""
    if request.method == "GET":
        return None
    return await backend.authority.refuse(request)


async def serve_members(backend: Backend, request: Request) -> Response:
    """Answer every request under /v2/members."""
    headers = b"X-Etcd-Cluster-Id: %x\r\n" % backend.cluster_id
    if request.method == "GET":
        return _show(backend, request.path, headers)
    try:
        return await _change(backend, request.method, member_requests.parse(request), headers)
    except RequestError as refusal:
        if refusal.status == 405:  # a member is missing in the path, which is not a wrong verb
            return wire.text(405, refusal.words, headers)
        return wire.message(refusal.status, gojson.quote(refusal.words), headers)
    except ReconfigurationError as refusal:
        return _respond_refused(request.method, refusal, headers)


def _show(backend: Backend, path: bytes, headers: bytes) -> Response:
    """Answer a GET: all members, or the leader."""
    rest = path.removeprefix(PREFIX)
    if rest in (b"", b"/"):
        listed = {"members": [_shown(member) for member in backend.members()]}
        return Response(200, JSON_TYPE + headers, gojson.dumps(listed) + b"\n")
    if rest == b"/leader":
        leader = backend.leader()
        if leader is None:
            return wire.message(503, b'"During election"', headers)
        return Response(200, JSON_TYPE + headers, gojson.dumps(_shown(leader)) + b"\n")
    return wire.message(404, b'"Not found"', headers)


async def _change(backend: Backend, method: str, change: Change, headers: bytes) -> Response:
    """Do what is asked for and answer it.  Raises: ReconfigurationError."""
    if method == "POST":
        member = await backend.add_member(change.peer_urls)
        return Response(201, JSON_TYPE + headers, gojson.dumps(_shown(member)) + b"\n")
    if method == "PUT":
        await backend.update_member(change.member_id, change.peer_urls)
    else:
        await backend.remove_member(change.member_id)
    return Response(204, headers, is_length_hidden=True)


def _respond_refused(method: str, refusal: ReconfigurationError, headers: bytes) -> Response:
    """Return the answer to a change that the cluster refuses or cannot make now."""
    cause, member_id = refusal.cause, refusal.member_id
    answer = _REFUSED.get((method, cause), _INTERNAL)
    if answer is _INTERNAL:
        _log.error("error %s member %x (%s)", _GERUNDS[method], member_id, cause)
        failures.note(cause)
    words = answer.words.format(member_id)
    return wire.message(answer.status, gojson.quote(words.encode()), headers)


def _shown(member: Member) -> dict[str, Any]:
    """Return a member as clients see it."""
    return {
        "id": f"{member.id:x}",
        "name": member.name,
        "peerURLs": member.peer_urls,
        "clientURLs": member.client_urls,
    }


async def get_peer_members(backend: Backend, request: Request) -> Response:
    """Answer GET /members of the peer port: ids are numbers, empty fields are left out."""
    rows = []
    for member in backend.members():
        row: dict[str, Any] = {"id": member.id, "peerURLs": member.peer_urls}
        if member.name:
            row["name"] = member.name
        if member.client_urls:
            row["clientURLs"] = member.client_urls
        rows.append(row)
    headers = JSON_TYPE + b"X-Etcd-Cluster-Id: %x\r\n" % backend.cluster_id
    headers += b"%b: %d\r\n" % (PROTOCOL.encode(), PROTOCOL_VERSION)  # so that joiners know us
    return Response(200, headers, gojson.dumps(rows) + b"\n")
