"""KeysRunner: does what a keys request asks for, and writes its answer.

A file of its own because requests come by two ways, the fast path and aiohttp's tasks, and what is
done for them must be the same.  Nothing is awaited: a read is answered at once, a write or a quorum
read when its result is called back, a watch lasts until either side ends it.
Source: spec/keys.md, spec/watch.md section 5.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any, Protocol

from etcdpy.errors import EtcdError
from etcdpy.http import keys
from etcdpy.http.auth.access import Doubt
from etcdpy.http.backend import Backend
from etcdpy.http.connection import Connection
from etcdpy.http.keys import KeysRenderer, Plan, Read, Watch, Write
from etcdpy.http.listing import ListingSender
from etcdpy.http.traffic import QUORUM_GET
from etcdpy.http.watch import WatchFeed
from etcdpy.http.wire import PLAIN, UNCHUNKED_BYTES_MAX, Framing, Response
from etcdpy.tree.event import Event
from etcdpy.tree.node import LargeListingError
from etcdpy.tree.picture import Picture
from etcdpy.tree.watch import Watcher

log = logging.getLogger("etcdpy.http.app")

_UNWRITTEN = "an answer could not be written"


class Waiter(Protocol):
    """Who has to know that an answer is owed, and when it is written."""

    def begin_wait(self) -> None:
        """Hear that the answer will be written later."""

    def end_wait(self, *, is_kept: bool) -> None:
        """Hear that it is written, and whether another request may follow."""


class KeysRunner:
    """Runs the requests for keys of all connections of one listener."""

    __slots__ = ("_listings", "_spawn", "backend", "render_event", "renderer", "traffic")

    def __init__(
        self,
        backend: Backend,
        renderer: KeysRenderer,
        render_event: Callable[[Event], bytes],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`render_event` makes the line of a watched event; `spawn` runs what takes its time."""
        self.backend = backend
        self.renderer = renderer
        self.render_event = render_event
        self.traffic = backend.monitor.traffic
        self._listings = ListingSender()
        self._spawn = spawn

    def run(
        self,
        plan: Plan,
        asked: "Asked",
        connection: Connection,
        waiter: Waiter,
    ) -> bool | None:
        """Do what was asked by a caller who may.

        Returns whether another request may follow; None while the answer is owed, for then it is
        `waiter` that hears of its end.
        """
        backend, traffic = self.backend, self.traffic
        try:
            if isinstance(plan, Watch):
                return self._watch(plan, asked, connection, waiter)
            if isinstance(plan, Read) and plan.is_quorum:
                asked.method = QUORUM_GET
            traffic.received[asked.method] += 1
            if isinstance(plan, Write):
                pending = _Pending(self, asked, connection, waiter, plan.is_value_hidden)
                backend.submit(plan.command, pending)
                return pending.begin()
            if plan.is_quorum:
                waiting = _QuorumRead(self, plan, asked, connection, waiter)
                backend.linearized().add_done_callback(waiting.go_on)
                waiter.begin_wait()
                return None
            return self.read(plan, asked, connection, waiter)
        except EtcdError as error:
            return self.fail(error, asked, connection)

    async def run_checked(
        self, plan: Plan, doubt: Doubt, asked: "Asked", connection: Connection
    ) -> bool:
        """Do what `run` does when the caller's password has been checked, and wait for its end."""
        try:
            await self.backend.authority.settle(doubt)
        except EtcdError as error:
            return self.refuse(error, asked, connection)
        return await self.run_to_end(plan, asked, connection)

    async def run_to_end(self, plan: Plan, asked: "Asked", connection: Connection) -> bool:
        """Do what `run` does, and wait for its end."""
        wait = _TaskWait()
        is_kept = self.run(plan, asked, connection, wait)
        return await wait.ended if is_kept is None else is_kept

    def read(
        self, plan: Read, asked: "Asked", connection: Connection, waiter: Waiter
    ) -> bool | None:
        """Answer a read from the tree as it is now; returns what `run` does."""
        try:
            if plan.is_recursive:
                self.traffic.recursive_reads_count += 1
            event = self.backend.get(
                plan.path, is_recursive=plan.is_recursive, is_sorted=plan.is_sorted
            )
        except LargeListingError:
            # Taken at once: in the task's first turn the directory may be gone.
            picture = self.backend.picture(
                plan.path, is_recursive=plan.is_recursive, is_sorted=plan.is_sorted
            )
            waiter.begin_wait()
            self._spawn(self._list(picture, asked, connection, waiter))
            return None
        except EtcdError as error:
            return self.fail(error, asked, connection)
        return self.succeed(event, asked, connection)

    async def _list(
        self, picture: Picture, asked: "Asked", connection: Connection, waiter: Waiter
    ) -> None:
        """Answer with a large listing, while others are served."""
        is_kept = False
        try:
            is_kept = await self._listings.serve(
                picture, self.backend, self.renderer, connection, asked.framing
            )
            took_ns = asked.took_ns()
            self.traffic.succeeded(asked.method, asked.path, took_ns)
        finally:
            waiter.end_wait(is_kept=is_kept)

    def succeed(
        self, event: Event, asked: "Asked", connection: Connection, is_value_hidden: bool = False
    ) -> bool:
        """Answer what was done; return whether another request may follow."""
        self.traffic.succeeded(asked.method, asked.path, asked.took_ns())
        status, body = keys.status_of(event), keys.body_of(event, is_value_hidden)
        return self.answer(status, event.index, body, asked.framing, connection)

    def answer(
        self, status: int, index: int, body: bytes, framing: Framing, connection: Connection
    ) -> bool:
        """Write a success at a store index; return whether another request may follow."""
        renderer, raft = self.renderer, self.backend.raft_status()
        date = connection.find_plain_date()
        if date is not None and framing is PLAIN and len(body) <= UNCHUNKED_BYTES_MAX:
            cors = connection.cors
            data = renderer.encode_plain(status, index, raft, body, date=date, cors=cors)
            connection.send_soon(data)
            return True
        response = Response(status, renderer.head_lines(index, raft), body)
        return connection.respond(response, framing)

    def refuse(self, error: EtcdError, asked: "Asked", connection: Connection) -> bool:
        """Answer what may not even be tried, which counts as nothing."""
        return connection.respond(self.renderer.respond_error(error), asked.framing)

    def fail(self, error: EtcdError, asked: "Asked", connection: Connection) -> bool:
        """Answer what did not work; return whether another request may follow."""
        response = self.renderer.respond_error(error)
        self.traffic.failed[response.status, asked.method] += 1
        return connection.respond(response, asked.framing)

    def _watch(
        self, plan: Watch, asked: "Asked", connection: Connection, waiter: Waiter
    ) -> bool | None:
        """Begin a watch.  Raises: EtcdError 401."""
        backend, framing = self.backend, asked.framing
        self.traffic.watches_count += 1
        watcher = backend.watch(
            plan.path, is_recursive=plan.is_recursive, is_stream=plan.is_stream, since=plan.since
        )
        held = _HeldWatch(backend, watcher, framing, connection, waiter)
        is_chunked = not framing.is_http10
        feed = WatchFeed(
            watcher, self.render_event, connection.send, held.end, is_chunked=is_chunked
        )
        connection.feed = feed
        if connection.is_writing_paused:
            feed.pause()
        waiter.begin_wait()
        headers = self.renderer.head_lines(watcher.start_index, backend.raft_status())
        feed.start(connection.stream_head(headers, framing))
        if connection.is_half_closed:
            feed.finish()
        elif not connection.is_open:
            feed.cut()
        return None


class Asked:
    """One request, as far as its answer and its figures need it."""

    __slots__ = ("_began_ns", "framing", "method", "path")

    def __init__(self, method: str, path: bytes, framing: Framing) -> None:
        """`path` is as it was asked for; the request's time begins now."""
        self.method = method
        self.path = path
        self._began_ns = monotonic_ns()  # a wall clock can be set
        self.framing = framing

    def took_ns(self) -> int:
        """Return for how long it has been served."""
        return monotonic_ns() - self._began_ns


class _Pending:
    """A write on its way: the proposal's result, as `Backend.submit` wants it."""

    __slots__ = (
        "_asked",
        "_connection",
        "_is_begun",
        "_is_kept",
        "_is_value_hidden",
        "_runner",
        "_waiter",
    )

    def __init__(
        self,
        runner: KeysRunner,
        asked: Asked,
        connection: Connection,
        waiter: Waiter,
        is_value_hidden: bool,
    ) -> None:
        self._runner = runner
        self._asked = asked
        self._connection = connection
        self._waiter = waiter
        self._is_value_hidden = is_value_hidden
        self._is_begun = False
        self._is_kept: bool | None = None

    def begin(self) -> bool | None:
        """Return what `KeysRunner.run` does: the result may be there already."""
        if self._is_kept is None:
            self._is_begun = True
            self._waiter.begin_wait()
        return self._is_kept

    def done(self) -> bool:
        """Tell whether nobody waits any more: somebody always does."""
        return False

    def set_result(self, event: Event) -> None:
        """Answer with what was done."""
        try:
            is_kept = self._runner.succeed(
                event, self._asked, self._connection, self._is_value_hidden
            )
        except Exception:  # an edge: whoever applies entries must not stumble over one answer
            log.exception(_UNWRITTEN)
            is_kept = False
        self._end(is_kept)

    def set_exception(self, error: EtcdError) -> None:
        """Answer with why it was not done."""
        try:
            is_kept = self._runner.fail(error, self._asked, self._connection)
        except Exception:  # as above: entries are refused where they are applied
            log.exception(_UNWRITTEN)
            is_kept = False
        self._end(is_kept)

    def _end(self, is_kept: bool) -> None:
        self._is_kept = is_kept
        if self._is_begun:
            self._waiter.end_wait(is_kept=is_kept)


class _QuorumRead:
    """A read that waits until this member has all that was acknowledged before it."""

    __slots__ = ("_asked", "_connection", "_plan", "_runner", "_waiter")

    def __init__(
        self,
        runner: KeysRunner,
        plan: Read,
        asked: Asked,
        connection: Connection,
        waiter: Waiter,
    ) -> None:
        self._runner = runner
        self._plan = plan
        self._asked = asked
        self._connection = connection
        self._waiter = waiter

    def go_on(self, linearized: "asyncio.Future[int]") -> None:
        """Read, now that it may be done."""
        if linearized.cancelled():  # the member stops
            self._waiter.end_wait(is_kept=False)
            return
        error = linearized.exception()
        reading = _Held(self._waiter)
        is_kept: bool | None
        if isinstance(error, EtcdError):
            is_kept = self._runner.fail(error, self._asked, self._connection)
        else:
            assert error is None
            is_kept = self._runner.read(self._plan, self._asked, self._connection, reading)
        if is_kept is not None:
            self._waiter.end_wait(is_kept=is_kept)


class _Held:
    """The waiter of a request that is waited for already."""

    __slots__ = ("_waiter",)

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter

    def begin_wait(self) -> None:
        """Do nothing: the wait goes on."""

    def end_wait(self, *, is_kept: bool) -> None:
        """Hear that the answer is written."""
        self._waiter.end_wait(is_kept=is_kept)


class _HeldWatch:
    """What a watch holds: a watcher of the tree, and a connection until it ends."""

    __slots__ = ("_backend", "_connection", "_framing", "_waiter", "_watcher")

    def __init__(
        self,
        backend: Backend,
        watcher: Watcher,
        framing: Framing,
        connection: Connection,
        waiter: Waiter,
    ) -> None:
        self._backend = backend
        self._watcher = watcher
        self._framing = framing
        self._connection = connection
        self._waiter = waiter

    def end(self, is_body_whole: bool) -> None:
        """Give both back; called once, by the feed."""
        self._connection.feed = None
        self._backend.unwatch(self._watcher)
        framing = self._framing
        is_kept = is_body_whole and framing.is_keep_alive and not framing.is_http10
        self._waiter.end_wait(is_kept=self._connection.answered(is_kept=is_kept))


class _TaskWait:
    """The waiter of a request that is served in a task: `ended` has whether another may follow."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def begin_wait(self) -> None:
        """Do nothing: the task waits for `ended`."""

    def end_wait(self, *, is_kept: bool) -> None:
        """Let the task go on."""
        if not self.ended.done():
            self.ended.set_result(is_kept)
