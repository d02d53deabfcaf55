"""The sockets a member listens on, opened before anything is read from disk, as etcd does.

Source: spec/config.md section 5 (order, texts), spec/keys.md section 19 (keep-alive).
"""

import os
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from etcdpy.errors import ConfigError

#: Connections that the kernel holds for us; the value Go's runtime asks for on a stock Linux.
BACKLOG = 4096


def open_listeners(urls: Iterable[str]) -> list[socket.socket]:
    """Return one listening socket per distinct address of `urls`; the caller closes them.

    Raises: ConfigError with etcd's text when an address can't be bound.
    """
    opened: list[socket.socket] = []
    try:
        for address in dict.fromkeys(urlsplit(url).netloc for url in urls):
            opened.append(_listen(address))
    except ConfigError:
        close_listeners(opened)
        raise
    return opened


def close_listeners(sockets: Iterable[socket.socket]) -> None:
    """Stop listening."""
    for listener in sockets:
        listener.close()


def listening_address(listener: socket.socket) -> str:
    """Return where a socket really listens, as the log shows it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family, bind_to = _resolve(host, int(port))
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" stands for all interfaces of both families, as in Go.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != ""))
        listener.bind(bind_to)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ConfigError(f"listen tcp {bind_to[0]}:{port}: bind: {reason}") from error
    return listener


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Map an IP, `localhost` or the empty host to what is bound; names were refused before."""
    if host == "":
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        return family, ("::" if family == socket.AF_INET6 else "0.0.0.0", port)
    if host == "localhost":
        return socket.AF_INET, ("127.0.0.1", port)
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)
