"""Gateway: accepts connections, dials a member for each, and looks after those that were away.

A file of its own because it owns the tasks and sockets of a gateway.  An endpoint that is not
reached is not tried again by clients: once every `retry_delay_s` the gateway tries by itself.  A
client for whom nobody is left is closed.
Source: spec/cluster.md section 10.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from etcdpy import logs
from etcdpy.dialing import describe_dial
from etcdpy.gateway.endpoints import Endpoint, Endpoints
from etcdpy.gateway.pairs import Pair
from etcdpy.http.acceptor import Acceptor, Listener

log = logging.getLogger("etcdpy.tcpproxy")

T = TypeVar("T")

#: How long a member's machine may be silent; etcd waits for as long as the system does.
DIAL_S = 5.0


class Gateway:
    """See the package.  `serve` once."""

    def __init__(self, endpoints: Endpoints, retry_delay_s: float, connections_max: int) -> None:
        """At most `connections_max` clients are served at once; more wait to be accepted."""
        self._endpoints = endpoints
        self._retry_delay_s = retry_delay_s
        self._connections_max = connections_max
        self._acceptor: Acceptor | None = None
        self._pairs: dict[Pair, asyncio.Task[None] | None] = {}

    @property
    def connections_count(self) -> int:
        """How many clients are served."""
        return len(self._pairs)

    async def serve(self, listener: Listener) -> None:
        """Pass connections on until the task is cancelled; the listener is closed then."""
        self._acceptor = Acceptor(
            [listener],
            lambda _: Pair(self._client_came, self._pair_ended).client,
            self._connections_max,
            None,
        )
        self._acceptor.start()
        addresses = [endpoint.address for endpoint in self._endpoints.all]
        log.info("ready to proxy client requests", extra=logs.fields(endpoints=addresses))
        try:
            await self._look_after_inactive()
        finally:
            await self._acceptor.close()
            tasks = [task for task in self._pairs.values() if task is not None]
            for task in tasks:
                task.cancel()
            for pair in list(self._pairs):
                pair.abort()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _client_came(self, pair: Pair) -> None:
        self._pairs[pair] = asyncio.get_running_loop().create_task(self._connect(pair))

    def _pair_ended(self, pair: Pair) -> None:
        task = self._pairs.pop(pair, None)
        if task is not None:
            task.cancel()
        assert self._acceptor is not None
        self._acceptor.connection_closed()

    async def _connect(self, pair: Pair) -> None:
        """Give a client its member, or close it."""
        while (endpoint := self._endpoints.pick()) is not None:
            loop = asyncio.get_running_loop()
            try:
                await _dial(loop.create_connection(lambda: pair.member, *_target(endpoint)))
            except OSError as error:
                self._deactivate(endpoint, error)
            else:
                self._pairs[pair] = None
                return
        pair.abort()

    def _deactivate(self, endpoint: Endpoint, error: OSError) -> None:
        """Leave an endpoint out; of several that wait for it, one says so."""
        if not endpoint.is_active:
            return
        endpoint.is_active = False
        self._warn("deactivated endpoint", endpoint, error)

    async def _look_after_inactive(self) -> None:
        while True:
            await asyncio.sleep(self._retry_delay_s)
            await asyncio.gather(*map(self._try_again, self._endpoints.inactive()))

    async def _try_again(self, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await _dial(loop.create_connection(asyncio.Protocol, *_target(endpoint)))
        except OSError as error:
            text = "failed to activate endpoint (stay inactive for another interval)"
            self._warn(text, endpoint, error)
            return
        transport.close()
        endpoint.is_active = True
        log.info("activated", extra=logs.fields(address=endpoint.address))

    def _warn(self, text: str, endpoint: Endpoint, error: OSError) -> None:
        fields = logs.fields(
            address=endpoint.address,
            interval=self._retry_delay_s,
            error=describe_dial(endpoint.address, error),
        )
        log.warning("%s", text, extra=fields)


def _target(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint.host, endpoint.record.port


async def _dial(connection: Awaitable[T]) -> T:
    """Raises: OSError, also when it takes too long."""
    async with asyncio.timeout(DIAL_S):
        return await connection
