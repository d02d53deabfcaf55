"""The real HTTP server over a `TreeBackend`, in a thread of its own, for tests with raw sockets."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import uvloop

from etcdpy.http import wire
from etcdpy.http.acceptor import Listener
from etcdpy.http.app import HttpServer
from etcdpy.http.limits import Limits
from etcdpy.http.routes import Routes
from etcdpy.http.tables import CLIENT_ROUTES
from etcdpy.tls.contexts import ServerTls
from tests.http.backend import TreeBackend

DEADLINE_S = 10.0


def listen() -> socket.socket:
    """Return a listening socket on a free loopback port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


class ServerThread:
    """A server as a context manager; `call` runs functions in its loop."""

    def __init__(
        self,
        routes: Routes = CLIENT_ROUTES,
        *,
        cors: bytes = wire.CORS,
        limits: Limits | None = None,
        is_ready: bool = True,
        is_fast: bool = True,
        tls: ServerTls | None = None,
        is_plain: bool = True,
    ) -> None:
        """With `tls` it is spoken beside plain HTTP, or instead of it if not `is_plain`.

        Unless `is_fast`, every request goes by aiohttp.
        """
        self._is_fast = is_fast
        self._tls = tls
        self._is_plain = is_plain
        self.backend = TreeBackend()
        self._routes = routes
        self._cors = cors
        self._limits = limits or Limits()
        self._is_ready = is_ready
        self._socket = listen()
        self.port: int = self._socket.getsockname()[1]
        self._loop = uvloop.new_event_loop()
        self.errors: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.server: HttpServer | None = None

    def call(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns in the server's loop."""
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except Exception as error:  # the caller gets it
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(DEADLINE_S)

    async def _start(self) -> None:
        self.server = HttpServer(self.backend, self._routes, cors=self._cors, limits=self._limits)
        listener = Listener(self._socket, self._is_plain, self._tls is not None)
        await self.server.start([listener], self._tls)
        if self._is_ready:
            self.server.set_ready()
            if not self._is_fast:
                self.server.fast = None
        self._ticker = asyncio.create_task(self.backend.expire_forever())

    async def _stop(self, drain_s: float) -> None:
        assert self.server is not None
        self._ticker.cancel()
        await self.server.stop(drain_s)
        await asyncio.sleep(0)

    def stop(self, drain_s: float = 0.0) -> None:
        """Stop the server; its loop goes on until the context ends."""
        asyncio.run_coroutine_threadsafe(self._stop(drain_s), self._loop).result(DEADLINE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()
