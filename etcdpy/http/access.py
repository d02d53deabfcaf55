"""Who may ask from a browser: the origins that may read answers, the names we may be called by.

A file of its own because both are judged before any route is looked for.  An origin only decides
on headers, whatever is asked is served; a name that is not on the list is refused, so that a page
of a stranger whose name has been made to lead here (DNS rebinding) gets nothing.  With TLS the
certificate has said who we are, and names are not looked at.
Source: spec/config.md sections 6 and 7.
"""

import logging
from collections.abc import Iterable

from etcdpy.http import wire
from etcdpy.http.wire import Response
from etcdpy.urls import go_quote, split_host_port

log = logging.getLogger("etcdpy.embed")

ANY = "*"

_MISDIRECTED = """
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist %s

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

"""


class Access:
    """The two lists of a member; either lets everybody in where it holds `*`."""

    __slots__ = ("_headers", "_hosts")

    def __init__(self, origins: Iterable[str] = (ANY,), hosts: Iterable[str] = (ANY,)) -> None:
        """`origins` are URLs without a path, `hosts` names without a port, as they are typed."""
        listed, names = frozenset(origins), frozenset(hosts)
        self._headers: dict[str, bytes] | None = None
        if ANY not in listed:
            self._headers = {origin: wire.cors_lines(origin) for origin in listed}
        self._hosts = None if ANY in names else names

    def cors_for(self, origin: str) -> bytes:
        """Return the lines with which a page of `origin` may read the answer."""
        return wire.CORS if self._headers is None else self._headers.get(origin, b"")

    def knows(self, host: str) -> bool:
        """Tell whether we may be called by `Host`."""
        return self._hosts is None or _name_of(host) in self._hosts

    def find_refusal(self, host: str) -> Response | None:
        """Return the answer to a request for another `Host` than we may be called by."""
        if self.knows(host):
            return None
        quoted = go_quote(_name_of(host))
        log.warning("rejecting HTTP request from %s to prevent DNS rebinding attacks", quoted)
        body = (_MISDIRECTED % quoted).encode("utf-8", "surrogateescape")
        return Response(421, wire.TEXT_TYPE + wire.NOSNIFF, body, is_bare=True)


def _name_of(host: str) -> str:
    try:
        return split_host_port(host).host
    except ValueError:
        return host


def make_access(origins: Iterable[str], hosts: Iterable[str]) -> Access | None:
    """Return the access that two settings describe, None if everybody is let in."""
    origins, hosts = tuple(origins), tuple(hosts)
    return None if ANY in origins and ANY in hosts else Access(origins, hosts)
