"""The real HTTP server over a `TreeBackend`, in a thread of its own, for tests with raw sockets."""

import asyncio
import socket

from etcdpy.http import wire
from etcdpy.http.acceptor import Listener
from etcdpy.http.app import HttpServer
from etcdpy.http.limits import Limits
from etcdpy.http.routes import Routes
from etcdpy.http.tables import CLIENT_ROUTES
from etcdpy.tls.contexts import ServerTls
from tests.harness.loop_thread import LoopThread
from tests.http.backend import TreeBackend


def listen() -> socket.socket:
    """Return a listening socket on a free loopback port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


class ServerThread(LoopThread):
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
        super().__init__()
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
        self.server: HttpServer | None = None

    async def _start(self) -> None:
        self.server = HttpServer(self.backend, self._routes, cors=self._cors, limits=self._limits)
        listener = Listener(self._socket, self._is_plain, self._tls is not None)
        await self.server.start([listener], self._tls)
        if self._is_ready:
            self.server.set_ready()
            if not self._is_fast:
                self.server.fast = None
        self._ticker = asyncio.create_task(self.backend.expire_forever())

    async def _stop(self, drain_s: float = 0.0) -> None:
        assert self.server is not None
        self._ticker.cancel()
        await self.server.stop(drain_s)
        await asyncio.sleep(0)

    def stop(self, drain_s: float = 0.0) -> None:
        """Stop the server; its loop goes on until the context ends."""
        self.run(self._stop(drain_s))
