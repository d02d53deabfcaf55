"""/v2/members and the peer port's /members: who is in the cluster.

Source: spec/members.md sections 2, 3 and 6.
"""

import logging
from typing import Any

from etcdpy.http import gojson, wire
from etcdpy.http.backend import Backend
from etcdpy.http.wire import JSON_TYPE, Request, Response
from etcdpy.tree.members import Member

PREFIX = b"/v2/members"
ALLOWED = b"GET,POST,DELETE,PUT"

_log = logging.getLogger(__name__)


async def serve_members(backend: Backend, request: Request) -> Response:
    """Answer every request under /v2/members."""
    headers = b"X-Etcd-Cluster-Id: %x\r\n" % backend.cluster_id
    if request.method != "GET":
        _log.warning("changes of members are not supported: %s refused", request.method)
        return wire.message(500, b'"Internal Server Error"', headers)
    rest = request.path.removeprefix(PREFIX)
    if rest in (b"", b"/"):
        listed = {"members": [_shown(member) for member in backend.members()]}
        return Response(200, JSON_TYPE + headers, gojson.dumps(listed) + b"\n")
    if rest == b"/leader":
        leader = backend.leader()
        if leader is None:
            return wire.message(503, b'"During election"', headers)
        return Response(200, JSON_TYPE + headers, gojson.dumps(_shown(leader)) + b"\n")
    return wire.message(404, b'"Not found"', headers)


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
    return Response(200, headers, gojson.dumps(rows) + b"\n")
