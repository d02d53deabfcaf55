"""How the two ends of a request are written: where it comes from, and whom it asks.

A file of its own because these are texts for a log and an answer, and `app` has enough to do.
"""


def remote_of(address: object) -> str:
    """Return where a connection comes from as etcd's log shows it; `@` for a unix socket."""
    if not isinstance(address, tuple):
        return "@"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def url_of_server(host: str, *, is_tls: bool) -> str:
    """Return the URL by which a client knows the server, nothing if its `Host` does not say."""
    return f"{'https' if is_tls else 'http'}://{host}" if host else ""
