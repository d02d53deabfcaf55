"""Raw bytes to a server and all that comes back."""

import errno
import socket
from typing import NamedTuple

DEADLINE_S = 30.0
FORM_HEAD = b"Content-Type: application/x-www-form-urlencoded\r\n"


# What a send or a half-close meets where the server has answered and closed already.
_CLOSED = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}


class Reply(NamedTuple):
    """All bytes that came until the server closed."""

    data: bytes

    @property
    def status(self) -> int:
        """The status of the first response, 0 where there is none."""
        return int(self.data.split(b" ", 2)[1]) if self.data else 0

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


def connect(port: int) -> socket.socket:
    """Return a connection with a deadline."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(DEADLINE_S)
    return sock


def read_all(sock: socket.socket) -> bytes:
    """Return what comes until the server closes or resets."""
    parts = []
    try:
        while part := sock.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_response(sock: socket.socket) -> bytes:
    """Return one response with a Content-Length, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
            while len(body) < size:
                body += sock.recv(65536)
            assert len(body) == size
    return head + b"\r\n\r\n" + body


def exchange(port: int, data: bytes, *, half_close: bool = False) -> Reply:
    """Send bytes and return all that comes until the server closes."""
    with connect(port) as sock:
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # answered and closed before all was sent
            if error.errno not in _CLOSED:
                raise
        return Reply(read_all(sock))


def request(
    method: bytes = b"GET",
    target: bytes = b"/v2/keys/",
    headers: bytes = b"",
    body: bytes | None = None,
    *,
    is_last: bool = True,
) -> bytes:
    """Return the bytes of a request; `headers` are whole lines."""
    head = b"%b %b HTTP/1.1\r\nHost: x\r\n%b" % (method, target, headers)
    if is_last:
        head += b"Connection: close\r\n"
    if body is not None:
        head += b"Content-Length: %d\r\n" % len(body)
    return head + b"\r\n" + (body or b"")


def put(target: bytes, body: bytes, headers: bytes = b"", *, is_last: bool = True) -> bytes:
    """Return the bytes of a PUT with a form."""
    return request(b"PUT", target, FORM_HEAD + headers, body, is_last=is_last)
