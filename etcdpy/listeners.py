"""The sockets a member listens on, opened before anything is read from disk, as etcd does.

Source: spec/config.md section 5 (order, texts), spec/keys.md section 19 (keep-alive).
"""

import os
import socket
from collections.abc import Iterable

from etcdpy.errors import ConfigError
from etcdpy.urls import parse_url, split_host_port

#: Connections that the kernel holds for us; the value Go's runtime asks for on a stock Linux.
BACKLOG = 4096
PORT_MAX = 65535
#: Hosts that stand for all interfaces, of both families where the machine has both, as in Go.
WILDCARDS = ("", "0.0.0.0", "::")


def open_listeners(urls: Iterable[str]) -> list[socket.socket]:
    """Return one listening socket per distinct address of `urls`; the caller closes them.

    Raises: ConfigError with etcd's text when an address can't be bound.
    """
    opened: list[socket.socket] = []
    try:
        for address in dict.fromkeys(parse_url(url).host for url in urls):
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
    host, port_text = split_host_port(address)
    port = int(port_text or "0")
    if port > PORT_MAX:
        raise ConfigError(f"listen tcp: address {port_text}: invalid port")
    family, bind_host = _resolve(host)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            is_only_v6 = host not in WILDCARDS
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(is_only_v6))
        listener.bind((bind_host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        shown = f"[{bind_host}]" if ":" in bind_host else bind_host
        raise ConfigError(f"listen tcp {shown}:{port}: bind: {reason}") from error
    return listener


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    """Map an IP, `localhost` or a wildcard to what is bound; names were refused before."""
    if host in WILDCARDS:
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, "::"
        return socket.AF_INET, "0.0.0.0"
    if host == "localhost":
        return socket.AF_INET, "127.0.0.1"
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), host
