"""GET /v2/stats/self, /v2/stats/leader and /v2/stats/store: counters as JSON objects.

Source: spec/observability.md section 3.
"""

from etcdpy.http import wire
from etcdpy.http.backend import Backend
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.wire import JSON_TYPE, Request, Response


async def get_self(backend: Backend, request: Request) -> Response:
    """Answer GET /v2/stats/self."""
    return Response(200, JSON_TYPE, gojson.dumps(backend.self_stats()))


async def get_leader(backend: Backend, request: Request) -> Response:
    """Answer GET /v2/stats/leader; only the leader knows."""
    figures = backend.leader_stats()
    if figures is None:
        return wire.message(403, b'"not current leader"')
    return Response(200, JSON_TYPE, gojson.dumps(figures))


async def get_store(backend: Backend, request: Request) -> Response:
    """Answer GET /v2/stats/store."""
    return Response(200, JSON_TYPE, gojson.dumps(backend.store_stats()))
