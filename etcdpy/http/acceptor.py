"""Acceptor: takes connections from listening sockets, up to a bound.

A file of its own because asyncio's servers accept whatever comes: each idle connection holds a
file descriptor, and the log and the snapshots need some too.  At the bound nothing is accepted;
who connects waits in the kernel's queue until another connection has ended, as with etcd.

A socket may serve plain HTTP, TLS, or both: then the first byte tells.  What is no TLS on a socket
that has nothing else is closed without a byte.  A connection gets its protocol only when the
handshake is done and the client has been admitted; until then nothing of it is read.
Source: spec/config.md section 5, spec/tls.md section 3.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from etcdpy.tls.contexts import NotAdmittedError, ServerTls, log_refusal

#: Connections taken in one turn of the loop, so that a flood of them does not starve the others.
ACCEPTS_PER_TURN_MAX = 64
#: How long to wait when the system has no descriptor or memory left for one more.
STARVED_S = 0.5
#: How long a client may take from connecting to the end of the handshake.
HANDSHAKE_S = 60.0
#: After how long a silent client is asked for a sign of life, and how often; Go's number.
KEEPALIVE_S = 30

_STARVED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
#: The first byte of TLS: a record that carries a handshake.
_HANDSHAKE_RECORD = b"\x16"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and what is spoken there."""

    socket: socket.socket
    is_plain: bool = True
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a connection before its first request.

    `certificate_names` are the common names of the client's verified certificates, its own first,
    where these stand for users.
    """

    is_tls: bool = False
    certificate_names: tuple[str, ...] = ()


PLAIN = Arrival()


class NoTlsError(Exception):
    """Something else than a handshake came to a socket that serves TLS only."""


class Acceptor:
    """Accepts from `listeners`, which are its own from now on, while fewer than `connections_max`.

    `make_protocol` is called once for each connection.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        make_protocol: Callable[[Arrival], asyncio.Protocol],
        connections_max: int,
        tls: ServerTls | None,
    ) -> None:
        """`tls` is needed where a listener has it."""
        assert tls is not None or not any(listener.is_tls for listener in listeners)
        self._loop = asyncio.get_running_loop()
        self._listeners = tuple(listeners)
        self._make_protocol = make_protocol
        self._connections_max = connections_max
        self._tls = tls
        self._open_count = 0  # accepted and not yet closed
        self.full_count = 0  # how often as many were open as may be
        self._arriving: dict[asyncio.Task[None], socket.socket] = {}
        self._connecting: set[asyncio.Task[None] | None] = set()  # those of them at the last step
        self._is_listening = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        for listener in self._listeners:
            listener.socket.setblocking(False)
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
        for listener in self._listeners:
            listener.socket.close()
        arriving = dict(self._arriving)
        for task in arriving:
            if task not in self._connecting:
                task.cancel()
        await asyncio.gather(*arriving, return_exceptions=True)
        for task, accepted in arriving.items():
            if task.cancelled():  # perhaps before it had begun
                accepted.close()

    def _listen(self) -> None:
        is_full = self._open_count >= self._connections_max
        if self._is_listening or self._is_closed or is_full or self._timer is not None:
            return
        self._is_listening = True
        for listener in self._listeners:
            self._loop.add_reader(listener.socket, self._accept, listener)

    def _pause(self) -> None:
        if self._is_listening:
            self._is_listening = False
            for listener in self._listeners:
                self._loop.remove_reader(listener.socket)

    def _accept(self, listener: Listener) -> None:
        """Take what waits at one listener."""
        for _ in range(ACCEPTS_PER_TURN_MAX):
            if self._open_count >= self._connections_max:
                self.full_count += 1
                self._pause()
                return
            try:
                accepted, address = listener.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _STARVED:
                    raise
                self._pause()
                self._timer = self._loop.call_later(STARVED_S, self._try_again)
                return
            self._open_count += 1
            task = self._loop.create_task(self._connect(accepted, listener, _Source.of(address)))
            self._arriving[task] = accepted
            task.add_done_callback(self._arriving.pop)

    def _try_again(self) -> None:
        self._timer = None
        self._listen()

    async def _connect(
        self, accepted: socket.socket, listener: Listener, source: "_Source"
    ) -> None:
        """Give an accepted socket its transport and its protocol."""
        accepted.setblocking(False)
        _keep_alive(accepted)
        is_protocol_told = False
        try:
            if not listener.is_tls:
                is_protocol_told = await self._connect_plain(accepted)
            else:
                is_protocol_told = await self._connect_maybe_tls(accepted, listener, source)
        except (OSError, NoTlsError, NotAdmittedError) as error:
            accepted.close()
            if listener.is_tls:
                log_refusal(str(source), error)
        finally:
            if not is_protocol_told:  # else it tells us when the connection ends
                self.connection_closed()

    async def _connect_plain(self, accepted: socket.socket) -> bool:
        """Connect a client; return that its protocol knows of it.  Raises: OSError."""
        # Not to be cancelled: uvloop would close a transport whose protocol has it already, and
        # tell it nothing.  It takes a turn or two, and waits for nobody.
        task = asyncio.current_task()
        self._connecting.add(task)
        try:
            await self._loop.connect_accepted_socket(lambda: self._make_protocol(PLAIN), accepted)
        finally:
            self._connecting.discard(task)
        return True

    async def _connect_maybe_tls(
        self, accepted: socket.socket, listener: Listener, source: "_Source"
    ) -> bool:
        """Connect a client of a socket with TLS; return whether its protocol knows of it.

        Raises: OSError, NoTlsError, NotAdmittedError.
        """
        assert self._tls is not None
        async with asyncio.timeout(HANDSHAKE_S):
            first = await self._peek(accepted)
        if first != _HANDSHAKE_RECORD:
            if not listener.is_plain or not first:
                raise NoTlsError(
                    "tls: first record does not look like a TLS handshake" if first else "EOF"
                )
            return await self._connect_plain(accepted)
        gate = _Gate()
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: gate, accepted, ssl=self._tls.context(), ssl_handshake_timeout=HANDSHAKE_S
        )
        try:
            names = await self._tls.admit(transport.get_extra_info("ssl_object"), source.host)
        except BaseException:
            transport.abort()
            raise
        if gate.is_lost or self._is_closed:
            transport.abort()
            return False
        protocol = self._make_protocol(Arrival(is_tls=True, certificate_names=names))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        return True

    async def _peek(self, accepted: socket.socket) -> bytes:
        """Return the first byte that a client sends, which stays unread; nothing at its end."""
        arrived: asyncio.Future[None] = self._loop.create_future()

        def note() -> None:
            if not arrived.done():
                arrived.set_result(None)

        while True:
            try:
                return accepted.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                pass
            arrived = self._loop.create_future()
            self._loop.add_reader(accepted, note)
            try:
                await arrived
            finally:
                self._loop.remove_reader(accepted)


def host_of(address: object) -> str:
    """Return the host of a socket's address, empty for a unix socket.

    An IPv4 address in IPv6's clothes is IPv4.
    """
    if not isinstance(address, tuple):
        return ""
    host = str(address[0])
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return host


def _keep_alive(accepted: socket.socket) -> None:
    """Have the system find out when the client is gone."""
    if accepted.family in (socket.AF_INET, socket.AF_INET6):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a connection comes from; both are empty for a unix socket."""

    host: str = ""
    port: int = 0

    @staticmethod
    def of(address: object) -> "_Source":
        """Return it from what `accept` tells."""
        return (
            _Source(host_of(address), int(address[1])) if isinstance(address, tuple) else _Source()
        )

    def __str__(self) -> str:
        """Return it as etcd's log shows it."""
        if not self.host:
            return "@"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Gate(asyncio.Protocol):
    """Holds a connection from its handshake until its client is admitted."""

    def __init__(self) -> None:
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing before the real protocol is there."""
        cast(asyncio.ReadTransport, transport).pause_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that there is nobody to admit any more."""
        self.is_lost = True
