"""One client connection: what comes in, what goes out, and who answers.

A file of its own because it is the socket's side of HTTP, with etcd's manners: requests are read
by `receiver`, by Go's rules, half-closed clients still get their answers, heads and bodies are
bounded in time, and a watch can take the connection over.  A request is answered by the fast path
(`fast`) or by aiohttp's handler (`handler`), which is made for the first request that needs it, so
that a client that only waits for a key costs no more than it must.  Either is given a request
when all before it have been answered, or keeps them in a queue: answers leave in their order.
"""

import asyncio
from typing import cast

from etcdpy.http import wire
from etcdpy.http.acceptor import Arrival
from etcdpy.http.answerers import Handler, Owner
from etcdpy.http.heads import Head, HeadReader
from etcdpy.http.limits import Limit
from etcdpy.http.receiver import BodyPart, Receiver, Refusal
from etcdpy.http.sending import StallWatch
from etcdpy.http.watch import WatchFeed
from etcdpy.http.wire import Framing, Response

# How long a refused client may go on sending before its connection is closed under it, so that
# the refusal is not lost to a reset; Go's number.
LINGER_S = 0.5
# A body of that size is gathered for the fast path; a longer one is read by a handler as it comes.
_GATHERED_BYTES_MAX = 64 * 1024
# As much is read of what follows a request that waits for its answer.
_UNREAD_BYTES_MAX = 64 * 1024


class Connection(asyncio.Protocol):
    """A client connection; see the module."""

    __slots__ = (
        "_drained",
        "_gathered",
        "_gathering",
        "_handler",
        "_is_ending",
        "_is_held",
        "_is_leaving",
        "_is_refusing",
        "_loop",
        "_owner",
        "_receiver",
        "_stall_watch",
        "_timer",
        "arrival",
        "cors",
        "feed",
        "is_half_closed",
        "is_waiting",
        "is_writing_paused",
        "transport",
    )

    def __init__(
        self,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        *,
        arrival: Arrival,
        heads: HeadReader,
        cors: bytes,
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._receiver = Receiver(heads, owner.limits.head_bytes_max)
        self.transport: asyncio.Transport | None = None
        self.arrival = arrival
        self.cors = cors
        self.feed: WatchFeed | None = None
        self.is_half_closed = False
        self.is_waiting = False  # the fast path owes an answer
        self._handler: Handler | None = None
        self._gathering: Head | None = None  # a request of the fast path whose body is coming
        self._gathered: list[bytes] = []
        self._is_held = False  # the transport does not read
        self.is_writing_paused = False
        self._is_refusing = False  # what comes is thrown away
        self._is_ending = False  # no request is taken any more
        self._is_leaving = False  # to be cut as soon as nothing is owed
        self._drained: asyncio.Future[None] | None = None  # for who waits for a slow client
        self._timer: asyncio.TimerHandle | None = None  # of a head, a gathered body, a refusal
        self._stall_watch: StallWatch | None = None  # since the client did not read at first

    # What answers

    @property
    def has_more(self) -> bool:
        """Whether requests can still come."""
        return not self.is_half_closed or self._receiver.unread_bytes > 0

    @property
    def is_open(self) -> bool:
        """Whether bytes written now can still reach the client."""
        return self.transport is not None

    @property
    def is_answering(self) -> bool:
        """Whether a request has come that is not answered."""
        return self.is_waiting or (self._handler is not None and self._handler.is_busy)

    def send(self, data: bytes) -> None:
        """Write bytes as they are; nothing happens once the client is gone."""
        self._write_out()
        if self.transport is not None:
            self.transport.write(data)

    def send_soon(self, data: bytes) -> None:
        """Write bytes as `send` does, at the end of the loop's turn."""
        if self.transport is not None:
            self._owner.outgoing.add(self.transport, data)

    def _write_out(self) -> None:
        """Write what was to be sent soon."""
        if self.transport is not None:
            self._owner.outgoing.settle(self.transport)

    def respond(self, response: Response, framing: Framing) -> bool:
        """Write a whole response; return whether another request may follow."""
        framing = self.settle(framing)
        self.send(wire.encode(response, framing, self._owner.date(), self.cors))
        return self.answered(is_kept=wire.is_kept(response, framing))

    def find_plain_date(self) -> bytes | None:
        """Return the Date line of now if an answer can be written without a look at its framing."""
        return self._owner.date() if self._handler is None else None

    def settle(self, framing: Framing) -> Framing:
        """Return how a request is to be answered, now that its body was taken or left."""
        if self._handler is not None and self._handler.is_body_broken:
            return framing._replace(is_keep_alive=False)
        return framing

    def answered(self, *, is_kept: bool) -> bool:
        """Hear that all of a response has been written; return whether another may follow."""
        is_kept = is_kept and not self._is_leaving
        self._is_ending = self._is_ending or not is_kept
        return is_kept

    async def drain(self) -> None:
        """Wait while the client does not take what was written, or until it is gone."""
        if self.is_writing_paused and self.transport is not None:
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)

    def stream_head(self, headers: bytes, framing: Framing) -> bytes:
        """Return the head of a response that goes on for as long as there are events."""
        return wire.encode_stream_head(headers, framing, self._owner.date(), self.cors)

    def begin_wait(self) -> None:
        """Take no other request before `end_wait`."""
        self.is_waiting = True
        self._owner.waiting_count += 1

    def end_wait(self, *, is_kept: bool = True) -> None:
        """Go on with what has come meanwhile, after the answer; or end the connection."""
        if not self.is_waiting:
            return
        self.is_waiting = False
        self._owner.waiting_count -= 1
        if not is_kept or self._is_leaving:
            self.close()
        elif self._is_held or self.is_half_closed or self._receiver.unread_bytes:
            self._loop.call_soon(self.take_events)

    def cut_when_answered(self) -> None:
        """End the connection now, or as soon as it has answered what it was asked."""
        self._is_leaving = True
        if not self.is_answering:
            self.cut()

    def close(self) -> None:
        """End the connection when what was written has left."""
        self._is_ending = True
        self._write_out()
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """End the connection now, in the middle of whatever it does."""
        if self.feed is not None:
            self.feed.cut()
        self._is_ending = self._is_refusing = True
        self._write_out()
        transport, self.transport = self.transport, None
        if self._handler is not None:
            self._handler.force_close()
        if transport is not None:
            transport.close()

    def end_with(self, words: bytes) -> None:
        """Send the last bytes, maybe none, and close the connection when the client has them."""
        self._is_refusing = self._is_ending = True
        if self._handler is not None:
            self._handler.clear()
        self._stop_timer()
        transport = self.transport
        if transport is None:
            return
        self.send(words)
        if self.is_half_closed or not words or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self._timer = self._loop.call_later(LINGER_S, self.cut)

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection."""
        self.transport = cast(asyncio.Transport, transport)
        self._owner.connection_made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection, and its watch at once."""
        self.transport = None
        self._is_ending = self._is_refusing = True
        self._stop_timer()
        if self._stall_watch is not None:
            self._stall_watch.end()
        if self.feed is not None:
            self.feed.cut()
        self.end_wait()
        self._end_drain()
        if self._handler is not None:
            self._handler.break_body(self._receiver.truncation, is_last=True)
            self._handler.connection_lost(exc)
        self._owner.connection_lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._owner.outgoing.lookout.arrivals += 1
        if not self._is_refusing:
            self._receiver.feed(data)
            self.take_events()

    def eof_received(self) -> bool:
        """Keep the sending side open for as long as an answer is due."""
        self.is_half_closed = True
        self._write_out()
        if self.feed is not None:
            self.feed.finish()
        if not self._is_refusing and not self._receiver.unread_bytes:
            self._end_input()
        # With TLS the transport closes both sides, whatever is said here.
        return not self.arrival.is_tls and (self.is_answering or self._receiver.unread_bytes > 0)

    def pause_writing(self) -> None:
        """Hear that the client does not read."""
        self.is_writing_paused = True
        owner = self._owner
        if self._stall_watch is None and self.transport is not None:
            self._stall_watch = StallWatch(self._loop, self.transport, owner.limits, owner.reached)
        if self._stall_watch is not None:
            self._stall_watch.begin()
        if self.feed is not None:
            self.feed.pause()

    def resume_writing(self) -> None:
        """Hear that the client reads again."""
        self.is_writing_paused = False
        if self._stall_watch is not None:
            self._stall_watch.end()
        if self.feed is not None:
            self.feed.resume()
        self._end_drain()
        if self._is_held:
            self.take_events()

    def _end_drain(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)

    # Requests that arrive

    def take_events(self) -> None:
        """Answer what has come, or give it to who does, up to one that has to be waited for."""
        receiver = self._receiver
        while not self._is_refusing:
            if self._must_wait():
                # Not before there is much: who reads hears that the client is gone.
                if not self.is_waiting or receiver.unread_bytes > _UNREAD_BYTES_MAX:
                    self.hold()
                break
            event = receiver.next_event()
            if event is None:
                self.release()
                break
            if isinstance(event, Head):
                self._stop_timer()  # what follows has a time of its own
                self._take_head(event)
                if not receiver.unread_bytes and not self._is_held:
                    break
            elif isinstance(event, BodyPart):
                self._take_body(event)
            else:
                self._take_refusal(event)
        if self._timer is not None or self._gathering is not None or receiver.has_begun_head:
            self.watch_time()
        if self.is_half_closed and not receiver.unread_bytes:
            self._end_input()

    def _must_wait(self) -> bool:
        if self.is_waiting:
            return True
        if self._handler is not None and self._handler.is_busy:
            return self._handler.is_full
        return self.is_writing_paused

    def hold(self) -> None:
        """Read nothing more for now."""
        if not self._is_held and self.transport is not None and not self.transport.is_closing():
            self._is_held = True
            self.transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        if self._is_held:
            self._is_held = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def _take_head(self, head: Head) -> None:
        if self._is_ending:
            self._is_refusing = True
            return
        fast, handler = self._owner.fast, self._handler
        fields = head.fields
        if (
            fast is not None
            and fields.is_kept
            and not head.is_http10
            and not fields.has_expectation
            and (handler is None or not handler.is_busy)
            and fast.is_for(head.target)
        ):
            size = fields.body_size
            if not size:
                self._serve(head, b"")
                return
            if 0 < size <= _GATHERED_BYTES_MAX and size <= self._owner.limits.body_bytes_max:
                body = self._receiver.take_whole_body()
                if body is not None:
                    self._serve(head, body)
                else:
                    self._gathering = head
                return
        self._give(head)

    def _serve(self, head: Head, body: bytes) -> None:
        """Have a whole request served by the fast path, or else by the handler."""
        fast = self._owner.fast
        if fast is None or not fast.serve(self, head, body):
            handler = self._give(head)
            if body:
                handler.take_body(BodyPart(body, is_last=True))

    def _take_body(self, part: BodyPart) -> None:
        head = self._gathering
        if head is None:
            assert self._handler is not None
            self._is_refusing = bool(part.fault)
            self._handler.take_body(part)
            if part.fault and not self._handler.is_busy:  # it was answered without its body
                self.end_with(b"")
            return
        self._gathered.append(part.data)
        self._stop_timer()  # it may not stand still for longer
        if part.is_last:
            body = b"".join(self._gathered)
            self._gathering, self._gathered = None, []
            self._serve(head, body)

    def _break_body(self) -> None:
        """Let the handler find out that a body does not come whole."""
        head, parts = self._gathering, self._gathered
        if head is not None:
            self._gathering, self._gathered = None, []
            self._stop_timer()
            self._give(head).take_body(BodyPart(b"".join(parts), is_last=False))
        if self._handler is not None:
            self._handler.break_body(self._receiver.truncation, is_last=self._receiver.is_chunked)

    def _take_refusal(self, refusal: Refusal) -> None:
        """End the connection, behind the requests before."""
        handler = self._handler
        if refusal.is_too_long:
            self._owner.reached[Limit.HEAD_BYTES] += 1
        if self._is_ending:
            self._is_refusing = True
        elif handler is not None and handler.is_busy:
            self._is_refusing = True
            handler.take_refusal(refusal)
        else:
            self.end_with(refusal.data)

    def _give(self, head: Head) -> Handler:
        """Give a request to the handler, whose answer must not overtake those before it."""
        self._write_out()
        if self._handler is None:
            self._handler = self._owner.make_handler(self)
        self._handler.take_head(head)
        return self._handler

    def _end_input(self) -> None:
        """Judge what is left when nothing more comes, and close if nothing is owed."""
        refusal = None
        if not self._is_refusing:
            self._break_body()
            refusal = self._receiver.end()
        if refusal is not None:
            self._take_refusal(refusal)
        elif not self.is_answering and not self._is_ending:
            self.close()

    # Time

    def watch_time(self) -> None:
        """Give a head or a gathered body that has begun its time, where the client has to go on.

        It has not while nothing is read here, nor while it waits for an answer.
        """
        if self._is_refusing:
            return
        is_head = self._gathering is None
        is_begun = not is_head or self._receiver.has_begun_head
        if not is_begun or self._is_held or self._is_ending or self.is_answering:
            self._stop_timer()
        elif self._timer is None:
            limits = self._owner.limits
            time_s = limits.head_s if is_head else limits.body_s
            if time_s is not None:
                limit = Limit.HEAD_TIMEOUT if is_head else Limit.BODY_TIMEOUT
                self._timer = self._loop.call_later(time_s, self._drop_slow, limit)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_slow(self, limit: Limit) -> None:
        """Close on a client that has begun a request and does not go on."""
        self._timer = None
        self._owner.reached[limit] += 1
        self.cut()
