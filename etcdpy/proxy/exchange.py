"""One request of a client, and the way back for its answer; whatever holds it meanwhile.

A file of its own because this is all that the proxy's parts know of a client: they answer an
exchange, and hear from it that the client has gone, without knowing its connection.
Source: RFC 9112.
"""

from typing import Protocol

from etcdpy.http import wire
from etcdpy.http.heads import Head
from etcdpy.http.wire import Framing, Response
from etcdpy.proxy.body import Body

#: A body that nobody reads is waited for if it is smaller; a larger one ends the connection.
_UNREAD_BYTES_MAX = 256 * 1024


class Connection(Protocol):
    """What an exchange needs of the connection that it came on."""

    is_half_closed: bool
    is_writing_paused: bool
    client_host: str

    def date(self) -> bytes:
        """Return the Date line of now."""

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still there."""

    def exchange_done(self, *, is_kept: bool) -> None:
        """Go on to the next request, or close."""

    def refuse(self, words: bytes) -> None:
        """Say the last words to a client that sends no request that anybody may see."""

    def cut(self) -> None:
        """End the connection now, in the middle of whatever it does."""


class Holder(Protocol):
    """What holds a request that is not answered yet."""

    def leave(self) -> None:
        """Hear that the client is gone: nobody reads an answer."""

    def half_close(self) -> None:
        """Hear that the client sends nothing more."""

    def pause(self) -> None:
        """Hear that the client does not read."""

    def resume(self) -> None:
        """Hear that it reads again."""


class Exchange:
    """One request on a connection, and the way back for its answer."""

    __slots__ = ("_connection", "body", "cors", "framing", "head", "holder", "is_done")

    def __init__(
        self, connection: Connection, head: Head, framing: Framing, body: Body | None
    ) -> None:
        self._connection = connection
        self.head = head
        self.framing = framing
        self.body = body
        self.cors = b""
        self.holder: Holder | None = None
        self.is_done = False

    @property
    def is_half_closed(self) -> bool:
        """Whether the client sends nothing more."""
        return self._connection.is_half_closed

    @property
    def is_writing_paused(self) -> bool:
        """Whether the client does not read at the moment."""
        return self._connection.is_writing_paused

    @property
    def client_host(self) -> str:
        """The address that the request comes from, empty for a unix socket."""
        return self._connection.client_host

    @property
    def date(self) -> bytes:
        """The Date line of now."""
        return self._connection.date()

    def respond(self, response: Response) -> None:
        """Send a whole answer of the proxy's own, and end the exchange."""
        framing = self.frame_unread()
        data = wire.encode(response, framing, self.date, self.cors)
        self.write(data)
        self.finish(is_kept=wire.is_kept(response, framing))

    def frame_unread(self) -> Framing:
        """Return the framing of an answer; the connection ends where the body may never come."""
        body = self.body
        if body is None or body.is_over:
            is_broken = body is not None and bool(body.fault)
            return self.framing._replace(is_keep_alive=False) if is_broken else self.framing
        if body.is_waited_for or not 0 <= body.left < _UNREAD_BYTES_MAX:
            return self.framing._replace(is_keep_alive=False)
        return self.framing

    def write(self, data: bytes) -> None:
        """Send bytes as they are; nothing happens once the client is gone."""
        self._connection.write(data)

    def ask_for_body(self) -> None:
        """Tell a client that waits with its body that it is wanted."""
        if self.body is not None and self.body.is_waited_for:
            self.body.is_waited_for = False
            self.write(wire.CONTINUE)

    def finish(self, *, is_kept: bool) -> None:
        """End the exchange after its whole answer."""
        if not self.is_done:
            self.is_done = True
            self.holder = None
            self._connection.exchange_done(is_kept=is_kept)

    def refuse(self, status: int) -> None:
        """Answer a request that is none, and end the connection."""
        self.is_done = True
        self._connection.refuse(wire.refusal(status))

    def cut(self) -> None:
        """End the connection in the middle of the answer, so that the client notices."""
        if not self.is_done:
            self.is_done = True
            self.holder = None
            self._connection.cut()
