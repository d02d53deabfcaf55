"""What a proxy answers by itself: the order of the checks before any member is asked.

A file of its own because this order is a proxy's: metrics are its own, a read-only one refuses all
but GET, and then come the checks that a member makes before it looks at any key, with its answers.
Source: spec/cluster.md section 9; the real proxy.
"""

import json
from collections.abc import Callable, Iterable

from etcdpy.http import metrics, target, wire
from etcdpy.http.access import Access
from etcdpy.http.heads import Head
from etcdpy.http.routes import answer_asterisk, redirect
from etcdpy.http.wire import Response

METRICS = b"/metrics"
CONFIG = b"/v2/config/local/proxy"
_KEYS = b"/v2/keys/"
_NOT_IMPLEMENTED = Response(501, is_bare=True)
_OPTIONS = Response(200)


class Routing:
    """The proxy's own answers."""

    def __init__(
        self,
        access: Access,
        *,
        is_readonly: bool,
        render_metrics: Callable[[], bytes],
        endpoints: Callable[[], Iterable[str]],
    ) -> None:
        """`endpoints` gives the URLs of the members that are asked now."""
        self._access = access
        self._is_readonly = is_readonly
        self._render_metrics = render_metrics
        self._endpoints = endpoints

    def cors_for(self, head: Head) -> bytes:
        """Return what a browser is told with the answer to a request."""
        return self._access.cors_for(head.fields.headers.get("Origin", ""))

    def answer(self, head: Head) -> Response | None:
        """Return the answer to a request, None where a member has to give it.

        Raises: TargetError when the target cannot stand in a request line.
        """
        path, raw_query = target.split(head.target, head.method)
        if head.target == b"*":
            return answer_asterisk(head.method)._replace(is_bare=True)
        if not path.startswith(b"/"):
            return wire.NOT_FOUND._replace(is_bare=True)
        if path == METRICS:
            return self._answer_metrics(head)
        if self._is_readonly and head.method != "GET":
            return _NOT_IMPLEMENTED._replace(is_length_hidden=head.method == "HEAD")
        return self._answer_path(head, path, raw_query)

    def _answer_path(self, head: Head, path: bytes, raw_query: bytes) -> Response | None:
        if head.method == "OPTIONS":
            return _OPTIONS
        cleaned = target.clean(path)
        if cleaned != path and head.method != "CONNECT":
            return redirect(head.method, cleaned, raw_query)
        return self._answer_config(head) if path == CONFIG else None

    def _answer_metrics(self, head: Head) -> Response:
        accepted = head.fields.headers.get("Accept-Encoding", "")
        return metrics.show(self._render_metrics(), accepted)._replace(is_bare=True)

    def _answer_config(self, head: Head) -> Response:
        if head.method != "GET":
            return wire.method_not_allowed(b"GET")
        shown = json.dumps({"endpoints": list(self._endpoints())}, separators=(",", ":"))
        return Response(200, wire.TEXT_TYPE, shown.encode() + b"\n")


def is_watch(head: Head) -> bool:
    """Tell whether a request may wait for an event: it ends when its client sends nothing more."""
    path, _, query = head.target.partition(b"?")
    return head.method == "GET" and path.startswith(_KEYS) and b"wait=true" in query
