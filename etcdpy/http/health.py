"""GET /health: whether a leader is known and a quorum answers; and the peer port's probe.

Source: spec/observability.md section 2, spec/members.md section 6.
"""

from etcdpy.http.backend import Backend
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.wire import NOSNIFF, TEXT_TYPE, Request, Response


async def get_health(backend: Backend, request: Request) -> Response:
    """Answer GET /health; the value is a string, as clients expect it."""
    if await backend.monitor.is_healthy():
        return Response(200, TEXT_TYPE, b'{"health":"true"}')
    return Response(503, TEXT_TYPE + NOSNIFF, b'{"health":"false"}\n')


async def get_probing(backend: Backend, request: Request) -> Response:
    """Answer /raft/probing, by which real members measure round trips: any method, always 200."""
    now = gojson.format_time(backend.now_ns())
    return Response(200, TEXT_TYPE, b'{"OK":true,"Now":"%b"}\n' % now.encode())
