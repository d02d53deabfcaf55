"""GET /health: whether a leader is known and a quorum answers; and the peer port's probe.

Source: spec/observability.md section 2, spec/members.md section 6.
"""

from etcdpy.http import form
from etcdpy.http.backend import Backend
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.wire import NOSNIFF, TEXT_TYPE, Request, Response


async def get_health(backend: Backend, request: Request) -> Response:
    """Answer GET /health; the value is a string, as clients expect it."""
    if await backend.monitor.is_healthy(_excluded_alarms(request.raw_query)):
        return Response(200, TEXT_TYPE, b'{"health":"true"}')
    return Response(503, TEXT_TYPE + NOSNIFF, b'{"health":"false"}\n')


def _excluded_alarms(raw_query: bytes) -> list[str]:
    """Return the alarms that who asks wants left aside: all values of `exclude`."""
    names = []
    for field in raw_query.split(b"&"):
        values: dict[bytes, bytes] = {}
        form.parse(field, values)
        names += [
            name.decode("utf-8", "replace") for name in values.values() if b"exclude" in values
        ]
    return names


async def get_probing(backend: Backend, request: Request) -> Response:
    """Answer /raft/probing, by which real members measure round trips: any method, always 200."""
    now = gojson.format_time(backend.now_ns())
    return Response(200, TEXT_TYPE, b'{"OK":true,"Now":"%b"}\n' % now.encode())
