"""Loopback ports that no other test run, no worker and no outgoing connection will take.

A file of its own because it is the one thing that test runs on one machine must agree on.  A
member that is down for a restart leaves its port free for a while; whoever draws a port then must
not find that one.  So each process draws from a block of ports that it has locked in a directory
of its user, for as long as it lives, and no block has a port that the system gives to outgoing
connections.
"""

import contextlib
import fcntl
import functools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: What other systems give to outgoing connections: IANA's range.
EPHEMERAL_ELSEWHERE = range(49152, 65536)
#: Below are the ports that services are known by.
PORT_LOW, PORT_END = 10000, 65536
#: For who runs the Procfile beside the tests.
PORTS_OF_PROCFILE = frozenset({22379, 22380, 32379, 32380})
#: More than one test draws, fewer than would leave the workers of a large machine without any.
BLOCK_PORTS = 100
#: A port that was drawn comes again only after this many blocks of others.
BLOCKS_PER_PROCESS = 3


class NoPortError(Exception):
    """All ports are taken; the text says by what."""


class PortBlocks:
    """The ports of one process, of which `draw` returns one after the other."""

    def __init__(self, directory: Path, ports: range, blocks_max: int = BLOCKS_PER_PROCESS) -> None:
        """Lock blocks of `ports` in `directory`, which all runs share, once they are needed."""
        self._directory = directory
        self._ports = ports
        self._blocks_max = blocks_max
        self._locks: list[IO[bytes]] = []
        self._blocks: list[range] = []
        self._drawn = 0

    def draw(self) -> int:
        """Return a port that is free now, another one each time while there are others.

        Raises: NoPortError.
        """
        for _ in range(BLOCK_PORTS * (self._blocks_max + 1)):
            port = self._next()
            if port not in PORTS_OF_PROCFILE and is_free(port):
                return port
        raise NoPortError(f"something else uses all ports of {self._blocks}")

    def close(self) -> None:
        """Leave the ports to others."""
        for lock in self._locks:
            lock.close()
        self._locks.clear()
        self._blocks.clear()

    def _next(self) -> int:
        number, offset = divmod(self._drawn, BLOCK_PORTS)
        is_new = number == len(self._blocks)
        if is_new and (number == self._blocks_max or not self._lock_one()):
            number = 0
            self._drawn = offset
        self._drawn += 1
        return self._blocks[number][offset]

    def _lock_one(self) -> bool:
        """Take one more block; return whether there was one.

        Raises: NoPortError if this process has none at all.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for block in self._all_blocks():
            lock = (self._directory / f"{block.start}").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self._locks.append(lock)
            self._blocks.append(block)
            return True
        if not self._blocks:
            raise NoPortError(f"other test runs hold all ports: see the locks in {self._directory}")
        return False

    def _all_blocks(self) -> Iterator[range]:
        for start in range(self._ports.start, self._ports.stop - BLOCK_PORTS + 1, BLOCK_PORTS):
            yield range(start, start + BLOCK_PORTS)


def is_free(port: int) -> bool:
    """Tell whether a server could listen at this loopback port now."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def ports_to_listen_at(ephemeral: range) -> range:
    """Return the longer of the stretches of ports beside those of outgoing connections."""
    below = range(PORT_LOW, max(PORT_LOW, min(ephemeral.start, PORT_END)))
    above = range(min(PORT_END, max(PORT_LOW, ephemeral.stop)), PORT_END)
    return max(below, above, key=len)


def read_ephemeral(path: Path = EPHEMERAL) -> range:
    """Return the ports that this system gives to outgoing connections."""
    try:
        low, high = path.read_text().split()
    except FileNotFoundError:
        return EPHEMERAL_ELSEWHERE
    return range(int(low), int(high) + 1)


@functools.cache
def _own() -> PortBlocks:
    """Return the blocks of this process, which end with it."""
    directory = Path(tempfile.gettempdir()) / f"etcdpy-test-ports-{os.getuid()}"
    return PortBlocks(directory, ports_to_listen_at(read_ephemeral()))


def free_port() -> int:
    """Return a loopback port that only this process will draw.  Raises: NoPortError."""
    return _own().draw()
