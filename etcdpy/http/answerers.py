"""Who answers the requests of a connection, as the connection sees them.

A file of its own because these are its contracts: with the server that it belongs to, with the fast
path and with aiohttp's handler, of which it knows no more than this.
"""

from typing import TYPE_CHECKING, Protocol

from etcdpy.http.heads import Head
from etcdpy.http.limits import Limits, Reached
from etcdpy.http.outgoing import Outgoing
from etcdpy.http.receiver import BodyPart, Refusal

if TYPE_CHECKING:
    from etcdpy.http.connection import Connection


class FastPath(Protocol):
    """Answers requests without a task."""

    def is_for(self, target: bytes) -> bool:
        """Tell whether a request for `target` may be served here."""

    def serve(self, connection: "Connection", head: Head, body: bytes) -> bool:
        """Answer a whole request, now or when what it waits for has come; False: not here."""


class Handler(Protocol):
    """Answers requests in a task of its own, one after the other."""

    is_busy: bool  # a request that was given here has not been answered

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken now."""

    @property
    def is_body_broken(self) -> bool:
        """Whether no request can follow the one that is being answered."""

    def take_head(self, head: Head) -> None:
        """Take a request, to be answered after those before it."""

    def take_body(self, part: BodyPart) -> None:
        """Take a part of the last request's body."""

    def break_body(self, cause: bytes, *, is_last: bool) -> None:
        """Hear that a body breaks off; with `is_last` nothing can follow it."""

    def take_refusal(self, refusal: Refusal) -> None:
        """Take the end of the connection, behind the requests before it."""

    def clear(self) -> None:
        """Forget the requests that wait."""

    def force_close(self) -> None:
        """End now."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hear that the client is gone."""


class Owner(Protocol):
    """The server that a connection belongs to.  `fast` is None until requests are answered."""

    fast: FastPath | None
    waiting_count: int
    limits: Limits
    reached: Reached
    outgoing: Outgoing

    def date(self) -> bytes:
        """Return the Date line of now: the same object for a second."""

    def make_handler(self, connection: "Connection") -> Handler:
        """Return the handler of a connection's requests that `fast` does not serve."""

    def connection_made(self, connection: "Connection") -> None:
        """Hear of a new connection."""

    def connection_lost(self, connection: "Connection") -> None:
        """Hear that a connection has ended."""
