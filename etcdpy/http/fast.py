"""The fast path: requests for keys, answered where they are read, without a task.

A file of its own because it is on the path of nearly every request, and form may give way to speed
here: tests/http/measure.py has what each step costs.  It decides nothing: `keys` says what is
asked for, `auth.access` whether it is allowed, and `runner` does it, as for requests that come by
aiohttp.  What it does not know it declines, and aiohttp's handler serves it.
Source: spec/keys.md sections 1, 2 and 16.
"""

import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any

from etcdpy.errors import EtcdError
from etcdpy.http import keys
from etcdpy.http.access import Access
from etcdpy.http.connection import Connection
from etcdpy.http.heads import Head
from etcdpy.http.routes import Match, Routes
from etcdpy.http.runner import Asked, KeysRunner
from etcdpy.http.target import TargetError
from etcdpy.http.wire import ANONYMOUS, PLAIN, Caller, Framing, Request

log = logging.getLogger("etcdpy.http.app")

_HEAD = Framing(is_head=True)
# A target that means what it says: nothing in it is to be decoded, cleaned or refused.
_PLAIN_TARGET = re.compile(
    rb"(/v2/keys(?:/[A-Za-z0-9_~!$*,;=@:-][A-Za-z0-9_~!$*,;=@:.-]*)*)(?:\?([!-~]*))?"
).fullmatch
_PREFIX_SIZE = len(keys.PREFIX)


class FastKeys:
    """Serves requests for keys on all connections of one listener; see the module."""

    __slots__ = ("_access", "_authority", "_backend", "_now_ns", "_routes", "_runner", "_spawn")

    def __init__(
        self,
        runner: KeysRunner,
        routes: Routes,
        access: Access | None,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`spawn` has the few requests served in a task that wait for a password check."""
        self._spawn = spawn
        self._runner = runner
        self._backend = runner.backend
        self._now_ns = runner.backend.now_ns
        self._authority = runner.backend.authority
        self._routes = routes
        self._access = access

    def is_for(self, target: bytes) -> bool:
        """Tell whether a request for `target` may be served here."""
        return target.startswith(keys.PREFIX) and not log.isEnabledFor(logging.DEBUG)

    def serve(self, connection: Connection, head: Head, body: bytes) -> bool:
        """Answer a whole request, now or when what it waits for has come; False: not here."""
        method, target, _, fields = head
        plain = _PLAIN_TARGET(target)
        if plain is not None and method in keys.METHODS:
            path, query = plain.groups(b"")
        else:
            match = self._find(method, target)
            if match is None:
                return False
            path, query = match.path, match.raw_query
        authorization, names = fields.authorization, connection.arrival.certificate_names
        caller = Caller(authorization, names) if authorization or names else ANONYMOUS
        content_type = b""
        if method in keys.METHODS_WITH_FORM:
            content_type = fields.content_type
        else:
            body = b""
        request = Request(method, path, query, content_type, body, b"", caller)
        if self._access is not None and not self._may_enter(connection, head):
            return False
        began_ns = self._now_ns()
        framing = PLAIN if method != "HEAD" else _HEAD
        asked = Asked(method, path, began_ns, framing)
        try:
            plan = keys.parse(request, began_ns)
            if self._authority.is_enabled() and not self._authority.judge_key(
                caller,
                keys.key_of(request),
                is_write=isinstance(plan, keys.Write),
                is_recursive=plan.is_recursive,
            ):
                connection.begin_wait()
                self._spawn(self._run_checked(plan, request, asked, connection))
                return True
        except EtcdError as error:
            self._runner.refuse(error, asked, connection)
            return True
        self._runner.run(plan, asked, connection, connection)
        return True

    async def _run_checked(
        self, plan: keys.Plan, request: Request, asked: Asked, connection: Connection
    ) -> None:
        is_kept = False
        try:
            is_kept = await self._runner.run_checked(plan, request, asked, connection)
        finally:
            connection.end_wait(is_kept=is_kept)

    def _find(self, method: str, target: bytes) -> Match | None:
        """Return where a target leads that has to be looked at closely, None if not to keys."""
        try:
            match = self._routes.resolve(method, target)
        except TargetError:
            return None
        return match if isinstance(match, Match) and match.route.is_keys else None

    def _may_enter(self, connection: Connection, head: Head) -> bool:
        """Tell whether the request names us right, and set who may read the answer."""
        assert self._access is not None
        headers = head.fields.headers
        if not connection.arrival.is_tls and not self._access.knows(headers.get("Host", "")):
            return False
        connection.cors = self._access.cors_for(headers.get("Origin", ""))
        return True
