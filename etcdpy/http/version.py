"""GET /version: the server's version and the one that the cluster has agreed on.

Source: spec/observability.md section 1.
"""

from etcdpy import ETCD_VERSION
from etcdpy.http.backend import Backend
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.wire import JSON_TYPE, Request, Response


async def get_version(backend: Backend, request: Request) -> Response:
    """Answer GET /version."""
    versions = {
        "etcdserver": ETCD_VERSION,
        "etcdcluster": backend.cluster_version or "not_decided",
    }
    return Response(200, JSON_TYPE, gojson.dumps(versions))
