"""Acceptor: takes connections from listening sockets, up to a bound.

A file of its own because asyncio's servers accept whatever comes: each idle connection holds a
file descriptor, and the log and the snapshots need some too.  At the bound nothing is accepted;
who connects waits in the kernel's queue until another connection has ended, as with etcd.
Source: spec/config.md section 5.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence

#: Connections taken in one turn of the loop, so that a flood of them does not starve the others.
ACCEPTS_PER_TURN_MAX = 64
#: How long to wait when the system has no descriptor or memory left for one more.
STARVED_S = 0.5

_STARVED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Accepts from `sockets`, which are its own from now on, while fewer than `connections_max`.

    `make_protocol` is called once for each connection.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.Protocol],
        connections_max: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = tuple(sockets)
        self._make_protocol = make_protocol
        self._connections_max = connections_max
        self._tls = tls
        self._open_count = 0  # accepted and not yet closed
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_listening = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        for listener in self._sockets:
            listener.setblocking(False)
        self._listen()

    def connection_closed(self) -> None:
        """Take note that one of the connections has ended."""
        self._open_count -= 1
        self._listen()

    async def close(self) -> None:
        """Stop listening, and forget connections that have no transport yet."""
        self._is_closed = True
        self._pause()
        if self._timer is not None:
            self._timer.cancel()
        for listener in self._sockets:
            listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _listen(self) -> None:
        is_full = self._open_count >= self._connections_max
        if self._is_listening or self._is_closed or is_full or self._timer is not None:
            return
        self._is_listening = True
        for listener in self._sockets:
            self._loop.add_reader(listener, self._accept, listener)

    def _pause(self) -> None:
        if self._is_listening:
            self._is_listening = False
            for listener in self._sockets:
                self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        """Take what waits at one listener."""
        for _ in range(ACCEPTS_PER_TURN_MAX):
            if self._open_count >= self._connections_max:
                self._pause()
                return
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _STARVED:
                    raise
                self._pause()
                self._timer = self._loop.call_later(STARVED_S, self._try_again)
                return
            self._open_count += 1
            task = self._loop.create_task(self._connect(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _try_again(self) -> None:
        self._timer = None
        self._listen()

    async def _connect(self, accepted: socket.socket) -> None:
        """Give an accepted socket its transport; with TLS that takes a handshake."""
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, accepted, ssl=self._tls)
        except (OSError, asyncio.CancelledError) as error:
            accepted.close()
            self.connection_closed()
            if isinstance(error, asyncio.CancelledError):
                raise
