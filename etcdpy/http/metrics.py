"""/metrics: the figures of the member, in Prometheus' text form.

Any method is answered, as by etcd; HEAD without the body.
Source: spec/observability.md section 4.
"""

import gzip

from etcdpy.http.backend import Backend
from etcdpy.http.wire import Request, Response
from etcdpy.metrics.exposition import CONTENT_TYPE

#: The text is mostly repetition: what a higher level saves, it costs in time of the loop.
_GZIP_LEVEL = 1


async def get_metrics(backend: Backend, request: Request) -> Response:
    """Answer /metrics."""
    return show(backend.monitor.render_metrics(), request.accept_encoding)


def show(text: bytes, accept_encoding: str) -> Response:
    """Return the answer that shows rendered metrics, compressed where the client understands it."""
    if is_gzip_accepted(accept_encoding):
        packed = gzip.compress(text, _GZIP_LEVEL, mtime=0)
        return Response(200, b"Content-Encoding: gzip\r\n" + CONTENT_TYPE, packed)
    return Response(200, CONTENT_TYPE, text)


def is_gzip_accepted(accept_encoding: str) -> bool:
    """Tell whether a client takes gzip, as the real server reads its header."""
    for part in accept_encoding.split(","):
        word = part.strip()
        if word == "gzip" or word.startswith("gzip;"):
            return True
    return False
