"""GET /v2/machines: all client URLs in one line of text, for old clients.

Source: spec/members.md section 3.
"""

from etcdpy.http.backend import Backend
from etcdpy.http.wire import TEXT_TYPE, Request, Response


async def get_machines(backend: Backend, request: Request) -> Response:
    """Answer GET and HEAD of /v2/machines."""
    urls = sorted(url for member in backend.members() for url in member.client_urls)
    return Response(200, TEXT_TYPE, ", ".join(urls).encode())
