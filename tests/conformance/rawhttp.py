"""A client that sees the bytes: requests go out untouched, answers come back with their framing.

It cleans no path, follows no redirect, adds no header that it was not told to, and reads bodies
by the framing that the head announces, so that wrong framing is an error and not a guess.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

DEADLINE_S = 20.0


class WireError(Exception):
    """The server's bytes are no answer: broken framing, or the connection ended inside one."""


class Head(NamedTuple):
    """Status and headers of a response, names spelt as they came."""

    status: int
    headers: dict[str, str]


class Wire:
    """One TCP connection, with TLS where there is a context for it."""

    def __init__(
        self, port: int, deadline_s: float = DEADLINE_S, tls: ssl.SSLContext | None = None
    ) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(deadline_s)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="127.0.0.1")
        self._buffer = b""

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: str | None,
        *,
        is_last: bool = True,
    ) -> None:
        """Send a request; a body gets its Content-Length unless it brings its own framing."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
        if is_last:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        data = b"" if body is None else body.encode()
        if body is not None and "Transfer-Encoding" not in headers:
            lines.append(f"Content-Length: {len(data)}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + data)

    def read_head(self) -> Head:
        """Read a status line and headers."""
        raw = self._until(b"\r\n\r\n", "the response head")
        first, *lines = raw.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name] = value
        return Head(int(first.split(" ")[1]), headers)

    def read_body(self, method: str, head: Head) -> bytes:
        """Read the body that belongs to `head`."""
        if method == "HEAD" or head.status in (204, 304):
            return b""
        if head.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self.read_chunk, b""))
        return self._exactly(int(head.headers["Content-Length"]))

    def read_chunk(self) -> bytes:
        """Read one chunk; the empty one ends the body."""
        data = self._exactly(int(self._until(b"\r\n", "a chunk header"), 16))
        if self._exactly(2) != b"\r\n":
            raise WireError("a chunk does not end where it says")
        return data

    def read_to_end(self) -> bytes:
        """Return all bytes until the server closes."""
        data, self._buffer = self._buffer, b""
        while part := self.sock.recv(65536):
            data += part
        return data

    def _fill(self, where: str) -> None:
        part = self.sock.recv(65536)
        if not part:
            raise WireError(f"connection closed inside {where}: {self._buffer!r}")
        self._buffer += part

    def _until(self, mark: bytes, where: str) -> bytes:
        while mark not in self._buffer:
            self._fill(where)
        data, _, self._buffer = self._buffer.partition(mark)
        return data

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill("the response body")
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


class WatchReader:
    """The body of an open watch, line by line."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.is_ended = False
        self._text = b""

    def collect(self, count: int, quiet_s: float) -> list[bytes]:
        """Return the lines that have come: `count` or more, then silence for `quiet_s`, or the end.

        Raises: WireError when fewer come before the deadline.
        """
        end = time.monotonic() + DEADLINE_S
        while not self.is_ended:
            have = self._text.count(b"\n")
            left_s = quiet_s if have >= count else max(0.05, end - time.monotonic())
            self.wire.sock.settimeout(left_s)
            try:
                part = self.wire.read_chunk()
            except TimeoutError:
                if have < count:
                    raise WireError(f"{have} of {count} events came: {self._text!r}") from None
                break
            self.is_ended = part == b""
            self._text += part
        *lines, self._text = self._text.split(b"\n")
        return lines
