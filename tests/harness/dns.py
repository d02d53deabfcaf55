"""A real name server on loopback, and processes that ask it and nobody else.

    with NameServer() as names:
        names.add("_etcd-server._tcp.ex.test", "SRV", "0 0 2380 n1.ex.test.")
        subprocess.run(names.private("etcd", ...))

`/etc/resolv.conf` knows no ports, so the server has port 53 of an address of its own, and who is to
ask it gets a `resolv.conf` of its own, in a mount namespace.  Both need rights that root has.
"""

import os
import random
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

PORT = 53
UDP_BYTES_MAX = 512
TCP_BYTES_MAX = 65535
RESOLV_CONF = "/etc/resolv.conf"


class NameServer:
    """Answers for the names that were added, with NXDOMAIN for all others."""

    def __init__(self, directory: Path) -> None:
        """Skips the test where this machine does not allow it.  `directory` takes a file."""
        self.asked: list[str] = []  # `NAME TYPE` of each question, in lower case
        self.failing: set[str] = set()  # types of records that it cannot answer for
        self._records: dict[tuple[dns.name.Name, int], list[str]] = {}
        self.address, self._udp, self._tcp = _bind(self)
        self._resolv_conf = directory / "resolv.conf"
        self._resolv_conf.write_text(f"nameserver {self.address}\noptions timeout:1\n")
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in (self._udp, self._tcp)
        ]

    def add(self, name: str, kind: str, *values: str) -> None:
        """Add records, written as in a zone file."""
        key = (dns.name.from_text(name), dns.rdatatype.from_text(kind))
        self._records.setdefault(key, []).extend(values)

    def clear(self) -> None:
        """Forget all records."""
        self._records.clear()

    def private(self, *command: str) -> list[str]:
        """Return a command whose process asks this server only.

        Skips the test where mount namespaces are not allowed.
        """
        mount = f'mount --bind "$0" {RESOLV_CONF} && exec "$@"'
        words = ["unshare", "--mount", "sh", "-c", mount, str(self._resolv_conf)]
        if not _can_mount(words):
            pytest.skip("no right to mount in a namespace of its own")
        return [*words, *command]

    def answer(self, wire: bytes, bytes_max: int) -> bytes:
        """Return the answer to a question; a cut one where it is larger than `bytes_max`."""
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query, recursion_available=True)
        (question,) = query.question
        self.asked.append(f"{question.name} {dns.rdatatype.to_text(question.rdtype)}".lower())
        if dns.rdatatype.to_text(question.rdtype) in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        values = self._records.get((question.name, question.rdtype), [])
        if values:
            kind = dns.rdatatype.to_text(question.rdtype)
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, *values))
        elif not any(name == question.name for name, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        whole = response.to_wire(max_size=TCP_BYTES_MAX)
        if len(whole) <= bytes_max:
            return whole
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
        self.close()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Stop listening, where the server was never entered."""
        for server in (self._udp, self._tcp):
            server.server_close()


def _bind(names: NameServer) -> tuple[str, "_UdpServer", "_TcpServer"]:
    """Return an address whose port 53 is ours now."""
    for _ in range(20):
        address = (
            f"127.{random.randrange(16, 250)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        )
        try:
            udp = _UdpServer((address, PORT), names)
        except PermissionError:
            pytest.skip("no right to listen on port 53")
        except OSError:
            continue
        try:
            return address, udp, _TcpServer((address, PORT), names)
        except OSError:
            udp.server_close()
    raise AssertionError("no address of loopback has its port 53 free")


def _can_mount(words: Sequence[str]) -> bool:
    if shutil.which("unshare") is None or not os.path.exists(RESOLV_CONF):
        return False
    return subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0


class _UdpServer(socketserver.UDPServer):
    def __init__(self, address: tuple[str, int], names: NameServer) -> None:
        self.names = names
        super().__init__(address, _UdpHandler)


class _TcpServer(socketserver.TCPServer):
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], names: NameServer) -> None:
        self.names = names
        super().__init__(address, _TcpHandler)


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _UdpServer)
        wire, sock = self.request
        sock.sendto(self.server.names.answer(wire, UDP_BYTES_MAX), self.client_address)


class _TcpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _TcpServer)
        self.request.settimeout(5.0)
        (length,) = struct.unpack("!H", self._receive(2))
        wire = self.server.names.answer(self._receive(length), TCP_BYTES_MAX)
        self.request.sendall(struct.pack("!H", len(wire)) + wire)

    def _receive(self, count: int) -> bytes:
        data: bytes = self.request.recv(count, socket.MSG_WAITALL)
        return data
