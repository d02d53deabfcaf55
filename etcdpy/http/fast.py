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
from etcdpy.http.auth.access import Doubt
from etcdpy.http.connection import Connection
from etcdpy.http.events import KEYS_ROOT, render_value
from etcdpy.http.form import FORM_TYPE
from etcdpy.http.heads import Head
from etcdpy.http.routes import Match, Routes
from etcdpy.http.runner import Asked, KeysRunner
from etcdpy.http.target import TargetError
from etcdpy.http.wire import PLAIN, Caller, Framing, Request

log = logging.getLogger("etcdpy.http.app")

_HEAD = Framing(is_head=True)
# What a GET without parameters is until somebody has to know its path.
_ANY_READ = keys.Read(KEYS_ROOT)
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
        method, target, fields = head.method, head.target, head.fields
        plain = _PLAIN_TARGET(target)
        if plain is not None and method in keys.METHODS:
            path, query = plain.groups(b"")
        else:
            match = self._find(method, target)
            if match is None:
                return False
            path, query = match.path, match.raw_query
        if self._access is not None and not self._may_enter(connection, head):
            return False
        asked = Asked(method, path, _HEAD if method == "HEAD" else PLAIN)
        if plain is not None and not query and method == "GET":
            if self._is_admitted(_ANY_READ, asked, head, connection):
                self._read(connection, asked)
            return True
        try:
            plan = self._plan(asked, query, fields.content_type, body)
        except EtcdError as error:
            self._runner.refuse(error, asked, connection)
            return True
        if self._is_admitted(plan, asked, head, connection):
            self._runner.run(plan, asked, connection, connection)
        return True

    def _plan(self, asked: Asked, query: bytes, content_type: bytes, body: bytes) -> keys.Plan:
        """Return what is asked for.  Raises: EtcdError."""
        method, path, now_ns = asked.method, asked.path, self._now_ns()
        if method == "PUT" and not query and content_type == FORM_TYPE:
            plan = keys.find_plain_put(path, body, now_ns)
            if plan is not None:
                return plan
        if method not in keys.METHODS_WITH_FORM:
            content_type = body = b""
        return keys.parse(Request(method, path, query, content_type, body), now_ns)

    def _is_admitted(
        self, plan: keys.Plan, asked: Asked, head: Head, connection: Connection
    ) -> bool:
        """Tell whether a caller may do what is planned; if not, the answer is seen to."""
        authority = self._authority
        if not authority.is_enabled():
            return True
        caller = Caller(head.fields.authorization, connection.arrival.certificate_names)
        try:
            doubt = authority.judge_key(
                caller,
                keys.key_of(asked.path),
                is_write=isinstance(plan, keys.Write),
                is_recursive=plan.is_recursive,
            )
        except EtcdError as error:
            self._runner.refuse(error, asked, connection)
            return False
        if doubt is None:
            return True
        connection.begin_wait()
        self._spawn(self._run_checked(plan, doubt, asked, connection))
        return False

    def _read(self, connection: Connection, asked: Asked) -> None:
        """Answer a GET without parameters."""
        runner, backend = self._runner, self._backend
        key = asked.path[_PREFIX_SIZE:]
        runner.traffic.received["GET"] += 1
        found = backend.find_value(KEYS_ROOT + key)
        if found is None:
            runner.read(keys.Read(KEYS_ROOT + key), asked, connection, connection)
            return
        body = render_value(key, found.value, found.modified_index, found.created_index)
        runner.traffic.succeeded("GET", asked.path, asked.took_ns())
        runner.answer(200, backend.store_index, body, PLAIN, connection)

    async def _run_checked(
        self, plan: keys.Plan, doubt: Doubt, asked: Asked, connection: Connection
    ) -> None:
        """Do what is planned once the caller's password has been checked."""
        if plan is _ANY_READ:
            plan = keys.Read(KEYS_ROOT + keys.key_of(asked.path))
        is_kept = False
        try:
            is_kept = await self._runner.run_checked(plan, doubt, asked, connection)
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
