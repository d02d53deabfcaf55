"""One client's watch that shares another: what it is told, and how that stands in its answer.

A file of its own because it is the meeting of two sides that do not know each other: the client's
exchange, which can end at any moment, and the shared history.
Source: spec/watch.md sections 1 and 5.
"""

from collections.abc import Callable, Sequence

from etcdpy.http import wire
from etcdpy.proxy import forwarding
from etcdpy.proxy.answers import AnswerHead
from etcdpy.proxy.exchange import Exchange
from etcdpy.proxy.sharing import SharedWatch, Told


class Follower:
    """A watch from `position` on, 0 for from now on; the holder of its client's request."""

    __slots__ = (
        "_exchange",
        "_on_leave",
        "_relay",
        "home",
        "is_gone",
        "is_paused",
        "is_stream",
        "position",
    )

    def __init__(
        self,
        exchange: Exchange,
        position: int,
        on_leave: Callable[["Follower"], None],
        relay: Callable[[Exchange], None],
        *,
        is_stream: bool,
    ) -> None:
        """`on_leave` is called when the client has left before its answer had ended.

        `relay` carries a request to a member.
        """
        self._exchange = exchange
        self._on_leave = on_leave
        self._relay = relay
        self.position = position
        self.is_stream = is_stream
        self.is_paused = False
        self.is_gone = False  # there is nobody to be told any more
        self.home: SharedWatch | None = None
        exchange.holder = self

    @property
    def exchange(self) -> Exchange:
        """The client's request, for whoever answers it in another way."""
        return self._exchange

    # What it is told

    def begin(self, admission: "Admission", index: int) -> None:
        """Send the head of the answer, which shows `index`."""
        self._exchange.write(admission.head_for(self._exchange, index))

    def tell(self, events: Sequence[Told]) -> None:
        """Send events; the only one of a watch that is no stream ends the answer."""
        if self.is_stream:
            self._exchange.write(b"".join(event.chunk for event in events))
            return
        self.is_gone = True
        self._exchange.write(events[0].last)
        self._exchange.finish(is_kept=self._exchange.framing.is_keep_alive)

    def cut(self) -> None:
        """Break the answer off, so that the client comes back and asks."""
        self.is_gone = True
        self._exchange.cut()

    def refuse(self, answer: AnswerHead, body: bytes) -> None:
        """Send a member's answer that is none to a watch."""
        self.is_gone = True
        exchange, framing = self._exchange, self._exchange.framing
        sized = [(n, v) for n, v in answer.fields if n.lower() != b"content-length"]
        sized.append((b"Content-Length", b"%d" % len(body)))
        whole = answer._replace(fields=tuple(sized))
        exchange.write(forwarding.answer_head(whole, framing, exchange.date, exchange.cors) + body)
        exchange.finish(is_kept=framing.is_keep_alive)

    def answer(self, response: wire.Response) -> None:
        """Send an answer of the proxy's own."""
        self.is_gone = True
        self._exchange.respond(response)

    # What the client does

    def leave(self) -> None:
        """Be told nothing any more."""
        if not self.is_gone:
            self.is_gone = True
            if self.home is not None:
                self.home.leave(self)
            self._on_leave(self)

    def half_close(self) -> None:
        """End the answer properly if it has begun, else have a member give what there is."""
        has_begun = self.home is not None
        self.leave()
        if has_begun:
            self._exchange.write(wire.LAST_CHUNK)
            self._exchange.finish(is_kept=False)
        else:
            self._relay(self._exchange)

    def pause(self) -> None:
        """Be told nothing for now."""
        self.is_paused = True

    def resume(self) -> None:
        """Be told what has happened meanwhile."""
        self.is_paused = False
        if self.home is not None:
            self.home.resume(self)


class Admission:
    """A member's head of a watch: that these credentials may watch, and the member's index then."""

    def __init__(self, answer: AnswerHead, index: int, at_s: float) -> None:
        self.index = index
        self.at_s = at_s
        self._answer = answer
        self._heads: dict[tuple[int, bool, bytes], bytes] = {}

    def head_for(self, exchange: Exchange, index: int) -> bytes:
        """Return the head of an answer that shows `index`; the same ones are made once."""
        key = (index, exchange.framing.is_keep_alive, exchange.cors)
        head = self._heads.get(key)
        if head is None:
            shown = tuple(
                (name, b"%d" % index if name.lower() == INDEX else value)
                for name, value in self._answer.fields
            )
            answer = self._answer._replace(fields=shown)
            head = forwarding.answer_head(answer, exchange.framing, exchange.date, exchange.cors)
            self._heads = {key: head}
        return head


INDEX = b"x-etcd-index"
