"""A proxy in a thread of its own, and members behind it, for tests with sockets."""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from etcdpy import proxying
from etcdpy.http.acceptor import Listener
from etcdpy.proxy.director import Director
from etcdpy.proxy.figures import Figures
from etcdpy.proxy.members import Members
from etcdpy.proxy.server import ProxyServer
from etcdpy.proxy.upstream import Timeouts, Upstream
from etcdpy.settings.config import Config
from etcdpy.tls.contexts import ClientTls
from tests.harness.loop_thread import DEADLINE_S, LoopThread
from tests.http.server import listen

FAILURE_WAIT_S = 60.0


class _KeptOrder(random.Random):
    """Draws no other order than the given one."""

    def shuffle(self, x: Any) -> None:
        """Leave it."""


class ProxyThread(LoopThread):
    """A proxy in front of `urls`, as a context manager."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeouts: Timeouts | None = None,
        connections_max: int = 1000,
        **settings: object,
    ) -> None:
        """`settings` are those of a Config, by field name."""
        super().__init__()
        self._config = Config.model_validate({"proxy": "on", **settings})
        self._urls = urls
        self._timeouts = timeouts or Timeouts(dial_s=5.0)
        self._connections_max = connections_max
        self.socket = listen()
        self.port: int = self.socket.getsockname()[1]
        self.members: Members
        self.server: ProxyServer

    async def _start(self) -> None:
        upstream = Upstream(ClientTls(), self._timeouts, self._connections_max)
        director = Director(FAILURE_WAIT_S, 30.0, _KeptOrder())
        director.refresh(self._urls)
        self.members = Members(director, upstream, Figures(), FAILURE_WAIT_S)
        self.server = proxying.make_server(self._config, self.members, self._connections_max)
        await self.server.start([Listener(self.socket)])

    async def _stop(self) -> None:
        await self.server.stop()
        self.members.upstream.close()
        await asyncio.sleep(0)


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def dead_url() -> str:
    """Return the URL of a member that is down."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return url_of(probe.getsockname()[1])


class ScriptedMember:
    """A member that says what a test wants: each connection is handed to `script`."""

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        self._script = script
        self._listener = listen()
        self._listener.settimeout(DEADLINE_S)
        self.url = url_of(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.connections_count = 0

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connections_count += 1
            accepted.settimeout(DEADLINE_S)
            self._sockets.append(accepted)
            thread = threading.Thread(target=self._run, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, accepted: socket.socket) -> None:
        with accepted:
            try:
                self._script(accepted)
            except OSError:
                return

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self._sockets:
            accepted.close()
        for thread in (self._acceptor, *self._threads):
            thread.join(DEADLINE_S)


def read_head(connection: socket.socket) -> bytes:
    """Return the head of a request, byte for byte; raises OSError at the end of the connection."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("no whole head")
        data += byte
    return data
