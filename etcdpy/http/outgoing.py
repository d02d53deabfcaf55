"""What leaves at the end of the loop's turn: the answers that were made in it, one after the other.

A file of its own because it is about time, not about HTTP.  A client that sleeps is woken by the
write of its answer, which costs more than the write itself; by a row of writes it is woken once.
A seventh more is answered so at 64 connections and more, and at one connection nothing is lost.
"""

import asyncio

from etcdpy.http.lookout import Lookout
from etcdpy.http.traffic import Traffic

# More than that is not held back for one client.
HELD_BYTES_MAX = 16 * 1024


class Outgoing:
    """The answers of one server that have not been written yet, by the transport they are for."""

    __slots__ = ("_data", "_loop", "lookout")

    def __init__(self, loop: asyncio.AbstractEventLoop, traffic: Traffic) -> None:
        self._loop = loop
        self.lookout = Lookout(loop, traffic)
        self._data: dict[asyncio.Transport, bytes] = {}

    def add(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` soon, behind what waits for this transport already."""
        waiting = self._data
        if not waiting:
            self._loop.call_soon(self._write_all)
        before = waiting.get(transport)
        if before is not None:
            data = before + data
        waiting[transport] = data
        if len(data) > HELD_BYTES_MAX:
            self.settle(transport)

    def settle(self, transport: asyncio.Transport) -> None:
        """Write now what waits for this transport: what comes next must not overtake it."""
        data = self._data.pop(transport, None)
        if data is not None:
            transport.write(data)

    def _write_all(self) -> None:
        waiting, self._data = self._data, {}
        for transport, data in waiting.items():
            if not transport.is_closing():  # a client that is gone
                transport.write(data)
        if len(waiting) == 1:
            self.lookout.begin()
