"""One request on its way to a member, and the answer on its way back.

A file of its own because it is the task of one request.  Members are tried in the director's order
until one answers; who does not is left alone for a while.  A request that changes something is not
sent to a second member once the first may have seen it: it could be done twice.  An answer that
breaks off is cut at the client too, which must not take it for whole.
Source: spec/cluster.md section 9.
"""

import asyncio
import logging
import time

from etcdpy.http import wire
from etcdpy.http.heads import CHUNKED
from etcdpy.proxy import forwarding
from etcdpy.proxy.answers import AnswerHead
from etcdpy.proxy.body import Body
from etcdpy.proxy.director import Endpoint
from etcdpy.proxy.exchange import Exchange
from etcdpy.proxy.figures import CROWDED, FAILED_GETTING, FAILED_SENDING, ZERO_ENDPOINTS, label_of
from etcdpy.proxy.forwarding import Outgoing
from etcdpy.proxy.members import Members
from etcdpy.proxy.routing import is_watch
from etcdpy.proxy.upstream import CrowdedError, UpstreamConnection, UpstreamError

log = logging.getLogger("etcdpy.proxy.httpproxy")

#: Methods that change nothing, so that they can be asked again.
_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))


class _BrokenBodyError(Exception):
    """The client's body breaks off, which says nothing of any member."""

    def __init__(self, fault: bytes) -> None:
        super().__init__(fault)
        self.fault = fault


class Relay:
    """Carries one exchange; the holder of its client's request meanwhile."""

    def __init__(self, exchange: Exchange, members: Members) -> None:
        self._exchange = exchange
        self._members = members
        self._method = exchange.head.method
        self._is_watch = is_watch(exchange.head)
        self._label = label_of(self._method)
        self._connection: UpstreamConnection | None = None
        self._is_body_sent = False  # some of a body that is not kept: it can't be sent again
        self._is_all_sent = False  # the member has the whole request
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_chunked = False
        self._is_endless = False  # a watch: the answer has begun, and has no end of its own
        self._is_mid_event = False  # the line of an event has begun: a watch is not ended in it
        self._is_ending = False  # as soon as it has its end
        self._is_kept = False
        self._task = asyncio.ensure_future(self._run())
        exchange.holder = self
        exchange.ask_for_body()

    @property
    def task(self) -> "asyncio.Task[None]":
        """What runs until the answer is through."""
        return self._task

    # What the client does

    def leave(self) -> None:
        """End the request at the member too."""
        if self._method in _HARMLESS and self._connection is not None:
            log.info("client %s closed request prematurely", self._exchange.client_host)
        self._task.cancel()

    def half_close(self) -> None:
        """End a watch as soon as it has begun; whatever else was asked is still answered."""
        self._is_ending = self._is_endless
        if self._is_ending and not self._is_mid_event:
            self.end(is_whole=True)

    def pause(self) -> None:
        """Have the member wait for the client."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Go on."""
        if self._connection is not None:
            self._connection.resume()

    # The way there

    async def _run(self) -> None:
        try:
            await self._carry()
        except _BrokenBodyError as error:
            self._refuse(500, f"failed to read request body: {error.fault.decode('latin-1')}")
        except CrowdedError:
            self._members.figures.dropped[self._label, CROWDED] += 1
            self._refuse(503, "too many requests at once")
        finally:
            if self._connection is not None:
                self._connection.close()

    async def _carry(self) -> None:
        exchange, members = self._exchange, self._members
        body, data = exchange.body, b""
        if body is not None:
            if await body.gathered() and body.fault:
                raise _BrokenBodyError(body.fault)
            data = body.take()
        endpoints = members.available()
        if not endpoints:
            members.figures.dropped[self._label, ZERO_ENDPOINTS] += 1
            self._refuse(503, "zero endpoints currently available")
            return
        request = forwarding.outgoing(exchange.head, exchange.client_host)
        began_ns = time.perf_counter_ns()
        for endpoint in endpoints:
            try:
                answer = await self._ask(endpoint, request, data)
            except UpstreamError as error:
                members.figures.dropped[self._label, FAILED_SENDING] += 1
                members.fail(endpoint, str(error))
                if self._is_body_sent or (error.is_sent and self._method not in _HARMLESS):
                    break
                continue
            took_ns = time.perf_counter_ns() - began_ns
            members.figures.handled[self._label, answer.status] += 1
            members.figures.durations[self._label].observe(took_ns)
            await self._return(endpoint, answer)
            return
        members.figures.dropped[self._label, FAILED_GETTING] += 1
        self._refuse(502, f"unable to get response from {len(endpoints)} endpoint(s)")

    async def _ask(self, endpoint: Endpoint, request: Outgoing, data: bytes) -> AnswerHead:
        """Return the head of a member's answer.  Raises: UpstreamError, CrowdedError."""
        connection = await self._members.upstream.connect(endpoint.url)
        try:
            return await self._send(connection, endpoint, request, data)
        except UpstreamError as error:
            # A connection that has waited may have been closed under us, which says nothing of the
            # member.
            is_stale = connection.is_used and not self._is_body_sent
            if not is_stale or (error.is_sent and self._method not in _HARMLESS):
                raise
        fresh = await self._members.upstream.connect(endpoint.url, is_fresh=True)
        return await self._send(fresh, endpoint, request, data)

    async def _send(
        self, connection: UpstreamConnection, endpoint: Endpoint, request: Outgoing, data: bytes
    ) -> AnswerHead:
        """Raises: UpstreamError."""
        self._connection = connection
        body = self._exchange.body
        size, is_whole = len(data), body is None or body.is_taken
        if body is not None and not is_whole:
            size = CHUNKED if body.left < 0 else size + body.held_bytes + body.left
        connection.begin(is_for_head=self._method == "HEAD")
        head = request.head(endpoint.host, size)
        first = wire.chunk(data) if size == CHUNKED and data else data
        await connection.send(head + first)
        self._is_all_sent = is_whole
        if body is not None and not is_whole:
            self._is_body_sent = True
            await self._send_rest(connection, body, is_chunked=size == CHUNKED)
        return await connection.head()

    async def _send_rest(
        self, connection: UpstreamConnection, body: Body, *, is_chunked: bool
    ) -> None:
        """Send what comes of a large body, as it comes; a member may answer before its end.

        Raises: UpstreamError, _BrokenBodyError.
        """
        while not connection.has_answered:
            await body.more()
            is_over, data = body.is_over, body.take()
            if body.fault:
                raise _BrokenBodyError(body.fault)
            if data:
                await connection.send(wire.chunk(data) if is_chunked else data)
            if is_over:
                if is_chunked:
                    await connection.send(wire.LAST_CHUNK)
                self._is_all_sent = True
                return

    # The way back

    async def _return(self, endpoint: Endpoint, answer: AnswerHead) -> None:
        """Hand the answer to the client; returns when it is through."""
        exchange, connection = self._exchange, self._connection
        assert connection is not None
        framing = exchange.frame_unread()
        if framing.is_http10:
            framing = framing._replace(
                is_keep_alive=framing.is_keep_alive and forwarding.is_framed(answer)
            )
        self._is_kept = framing.is_keep_alive
        is_bodiless = forwarding.is_bodiless(answer, framing)
        self._is_chunked = not (framing.is_http10 or forwarding.is_framed(answer) or is_bodiless)
        self._is_endless = self._is_watch and not (forwarding.is_framed(answer) or is_bodiless)
        exchange.write(forwarding.answer_head(answer, framing, exchange.date, exchange.cors))
        connection.deliver_to(self)
        if exchange.is_writing_paused:  # perhaps since the head was written
            connection.pause()
        if exchange.is_half_closed:
            self.half_close()
        await self._over
        if self._is_all_sent:
            self._connection = None
            self._members.upstream.release(endpoint.url, connection)

    def take(self, data: bytes) -> None:
        """Hand on a part of the body."""
        if self._over.done():
            return
        self._exchange.write(wire.chunk(data) if self._is_chunked else data)
        self._is_mid_event = not data.endswith(b"\n")
        if self._is_ending and not self._is_mid_event:
            self.end(is_whole=True)

    def end(self, is_whole: bool) -> None:
        """End the client's answer, once, as the member's has ended."""
        if self._over.done():
            return
        self._over.set_result(None)
        if is_whole:
            if self._is_chunked:
                self._exchange.write(wire.LAST_CHUNK)
            self._exchange.finish(is_kept=self._is_kept)
        else:
            self._exchange.cut()

    def _refuse(self, status: int, words: str) -> None:
        log.info("%s", words)
        self._exchange.respond(forwarding.error_message(status, words))
