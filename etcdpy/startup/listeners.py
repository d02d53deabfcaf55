"""The sockets a member listens on, opened before anything is read from disk, as etcd does.

A unix socket `unix://NAME:PORT` is the file `NAME:PORT` in the working directory; it is removed
when the member stops.  One that another process has left behind stays in the way of clients'
listeners and is replaced by peers', as with etcd.
Source: spec/config.md section 5 (order, texts), spec/keys.md section 19 (keep-alive).
"""

import contextlib
import os
import socket
from collections.abc import Iterable

from etcdpy.errors import ConfigError
from etcdpy.http.acceptor import Listener
from etcdpy.urls import TLS_SCHEMES, parse_url, split_host_port

#: Connections that the kernel holds for us; the value Go's runtime asks for on a stock Linux.
BACKLOG = 4096
PORT_MAX = 65535
#: Hosts that stand for all interfaces, of both families where the machine has both, as in Go.
WILDCARDS = ("", "0.0.0.0", "::")


def open_listeners(
    urls: Iterable[str], *, is_unix_replaced: bool = False, is_shared: bool = True
) -> list[Listener]:
    """Return one listener per address of `urls`; the caller closes them.

    Plain HTTP and TLS share a socket where both are wanted at one address, unless not
    `is_shared`: then a second URL finds its address taken.
    Raises: ConfigError with etcd's text when an address can't be bound.
    """
    opened: list[Listener] = []
    wanted: dict[str, set[bool]] = {}  # address with its network: whether TLS is spoken there
    try:
        for url in map(parse_url, urls):
            network = "unix" if url.scheme.startswith("unix") else "tcp"
            key = f"{network} {url.host}" if is_shared else f"{network} {url.host} {len(wanted)}"
            wanted.setdefault(key, set()).add(url.scheme in TLS_SCHEMES)
        for key, kinds in wanted.items():
            network, address, *_ = key.split(" ")
            if network == "unix":
                sock = _listen_unix(address, is_replaced=is_unix_replaced)
            else:
                sock = listen_tcp(address)
            opened.append(Listener(sock, is_plain=False in kinds, is_tls=True in kinds))
    except ConfigError:
        close_listeners(opened)
        raise
    return opened


def close_listeners(listeners: Iterable[Listener]) -> None:
    """Stop listening, and remove the files of unix sockets."""
    for listener in listeners:
        path = _unix_path(listener.socket)
        listener.socket.close()
        if path:
            with contextlib.suppress(OSError):
                os.unlink(path)


def listening_address(listener: Listener) -> str:
    """Return where a listener really listens, as the log shows it."""
    name = listener.socket.getsockname()
    if isinstance(name, str):
        return name
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unix_path(sock: socket.socket) -> str:
    """Return the file of a unix socket that is open, else nothing."""
    if sock.fileno() < 0 or sock.family != socket.AF_UNIX:
        return ""
    return str(sock.getsockname())


def _listen_unix(path: str, *, is_replaced: bool) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if is_replaced:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ConfigError(f"listen unix {path}: bind: {reason}") from error
    return listener


def listen_tcp(address: str) -> socket.socket:
    """Return a socket that listens on `host:port`; the host is an address or `localhost`.

    Raises: ConfigError with etcd's text.
    """
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
