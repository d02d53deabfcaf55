"""A server's connection without a socket: on the loop of the test, whose time may be virtual."""

import asyncio
from typing import Any

from etcdpy.http.acceptor import PLAIN
from etcdpy.http.app import HttpServer
from etcdpy.http.connection import Connection
from etcdpy.http.limits import Limits
from etcdpy.http.tables import CLIENT_ROUTES
from tests.http.backend import TreeBackend


class Transport(asyncio.Transport):
    """Counts what is written, and says that it is full at `full_bytes`, as a client does that
    does not read before `read`.
    """

    def __init__(self, full_bytes: int | None = None) -> None:
        super().__init__()
        self._full_bytes = full_bytes
        self.connection: Connection | None = None
        self.written_bytes = 0
        self._read_bytes = 0  # of what was written
        self.is_held = False  # nothing is read from the client
        self.is_closed = False

    def read(self) -> None:
        """Read all that was written, as the client."""
        was_full = self._is_full()
        self._read_bytes = self.written_bytes
        if was_full:
            assert self.connection is not None
            self.connection.resume_writing()

    def _is_full(self) -> bool:
        return self._full_bytes is not None and self.get_write_buffer_size() >= self._full_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0 if self._full_bytes is None else self.written_bytes - self._read_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        was_full = self._is_full()
        self.written_bytes += len(data)
        if self._is_full() and not was_full:
            assert self.connection is not None
            self.connection.pause_writing()

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_held = True

    def resume_reading(self) -> None:
        self.is_held = False


async def connect(
    backend: TreeBackend,
    transport: Transport,
    limits: Limits | None = None,
    *,
    is_fast: bool = True,
) -> tuple[HttpServer, Connection]:
    """Return a new connection over `transport`, and its server, which is to be stopped.

    Unless `is_fast`, every request goes by aiohttp.
    """
    server = HttpServer(backend, CLIENT_ROUTES, limits=limits or Limits())
    await server.start([])
    server.set_ready()
    if not is_fast:
        server.fast = None
    connection = server._make_connection(PLAIN)
    transport.connection = connection
    connection.connection_made(transport)
    return server, connection
