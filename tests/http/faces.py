"""Asks one face directly, without a server."""

import asyncio

from etcdpy.http.backend import Backend
from etcdpy.http.routes import Handler
from etcdpy.http.wire import Request, Response


def ask(handler: Handler, backend: Backend, path: bytes = b"/", method: str = "GET") -> Response:
    """Return the answer of a face."""

    async def run() -> Response:
        return await handler(backend, Request(method, path))

    return asyncio.run(run())
