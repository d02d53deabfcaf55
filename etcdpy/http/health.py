"""GET /health: whether a leader is known and a quorum answers.

Source: spec/observability.md section 2.
"""

from etcdpy.http.backend import Backend
from etcdpy.http.wire import NOSNIFF, TEXT_TYPE, Request, Response


async def get_health(backend: Backend, request: Request) -> Response:
    """Answer GET /health; the value is a string, as clients expect it."""
    if await backend.is_healthy():
        return Response(200, TEXT_TYPE, b'{"health":"true"}')
    return Response(503, TEXT_TYPE + NOSNIFF, b'{"health":"false"}\n')
