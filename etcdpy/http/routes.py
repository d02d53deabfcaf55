"""Which face answers which path and method: the order of the checks before any handler.

A file of its own because this order is part of the API and the same for every face: OPTIONS,
unclean path, unknown path, wrong method.
Source: spec/keys.md section 1, spec/observability.md section 0.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from etcdpy.http import target, wire
from etcdpy.http.backend import Backend
from etcdpy.http.wire import Request, Response

Handler = Callable[[Backend, Request], Awaitable[Response]]
Guard = Callable[[Backend, Request], Awaitable[Response | None]]

_OPTIONS = Response(200)
_OPTIONS_OF_SERVER = Response(200, is_bare=True)
_BAD_ASTERISK = Response(400, is_closing=True)


class BodyRule(NamedTuple):
    """What of the requests' bodies a face reads; all other bodies stay unread."""

    methods: frozenset[str]
    is_wanted: Callable[[Request], bool]  # judges the head, the media type being there
    bytes_max: int
    too_large: bytes  # what `Request.body_error` is for a longer one


class Route(NamedTuple):
    """One face: its handler, and its methods in the order in which a 405 names them.

    The keys API (`is_keys`) and what members say to each other (`is_raft`) have no handler here:
    they can hold a connection, which only `app` and `fast` know how to do.  A `guard`
    answers what is refused before the body is read; where no methods are named it judges these
    too.  `is_compressible` says that the handler looks at what encodings the client accepts,
    `is_self_naming` that it does at the URL by which the client knows the server.
    """

    handler: Handler | None
    allowed: bytes
    is_raft: bool = False
    is_keys: bool = False
    body: BodyRule | None = None
    guard: Guard | None = None
    is_compressible: bool = False
    is_self_naming: bool = False


class Match(NamedTuple):
    """A request that has found its face."""

    route: Route
    path: bytes
    raw_query: bytes


class Routes:
    """A table of exact paths and one of subtrees, whose paths begin with `key + b"/"`.

    `has_cors` says that browsers may ask: OPTIONS is then answered on every path.
    """

    __slots__ = ("_exact", "_methods", "_subtrees", "has_cors", "has_keys")

    def __init__(
        self,
        exact: Mapping[bytes, Route],
        subtrees: Mapping[bytes, Route],
        *,
        has_cors: bool = True,
    ) -> None:
        self.has_cors = has_cors
        self.has_keys = any(route.is_keys for route in subtrees.values())
        self._exact = {**exact, **subtrees}
        self._subtrees = tuple((path + b"/", route) for path, route in subtrees.items())
        self._methods = {
            route.allowed: frozenset(route.allowed.decode().split(","))
            for route in self._exact.values()
        }

    def resolve(self, method: str, raw_target: bytes) -> Match | Response:
        """Return the face for a request, or the answer that it gets without one.

        Raises: target.TargetError when the target cannot stand in a request line.
        """
        path, raw_query = target.split(raw_target, method)
        if raw_target == b"*":
            return answer_asterisk(method)
        if method == "OPTIONS" and self.has_cors:
            return _OPTIONS
        cleaned = target.clean(path)
        if cleaned != path and method != "CONNECT":
            return redirect(method, cleaned, raw_query)
        route = self._find(path)
        if route is None:
            return wire.NOT_FOUND
        if route.allowed and method not in self._methods[route.allowed]:
            return wire.method_not_allowed(route.allowed)
        return Match(route, path, raw_query)

    def _find(self, path: bytes) -> Route | None:
        for prefix, route in self._subtrees:
            if path.startswith(prefix):
                return route
        return self._exact.get(path)


def answer_asterisk(method: str) -> Response:
    """Return the answer to a request for `*`, which is the server as a whole."""
    return _OPTIONS_OF_SERVER if method == "OPTIONS" else _BAD_ASTERISK


def redirect(method: str, path: bytes, raw_query: bytes) -> Response:
    """Return the 301 to the clean path; only GET has a page, HEAD its type, others nothing."""
    redirect = target.redirect_to(path, raw_query)
    location = b"Location: %b\r\n" % redirect.location
    if method not in ("GET", "HEAD"):
        return Response(301, location)
    headers = b"Content-Type: text/html; charset=utf-8\r\n" + location
    if method == "HEAD":
        return Response(301, headers, is_length_hidden=True)
    return Response(301, headers, redirect.page)
