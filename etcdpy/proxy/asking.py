"""Watches that a proxy itself opens at members, on behalf of those who share them.

A file of its own because it is the only place where a shared watch speaks to a member: which
request that is, and how its body becomes events.
Source: spec/watch.md section 1.
"""

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from etcdpy.http.heads import Head
from etcdpy.proxy.answers import AnswerHead
from etcdpy.proxy.follower import INDEX
from etcdpy.proxy.forwarding import Outgoing
from etcdpy.proxy.members import Members
from etcdpy.proxy.upstream import CrowdedError, UpstreamConnection, UpstreamError

#: A longer event is no event of a member; so much is held of one that is not whole.
EVENT_BYTES_MAX = 64 << 20
#: So much of a refusal is read.
_REFUSAL_BYTES_MAX = 64 * 1024


class NoMemberError(Exception):
    """No member has answered; `status` and the text are those of the answer to clients."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Question(NamedTuple):
    """A watch as it is asked of members, but for where it begins."""

    path: bytes
    is_recursive: bool
    fields: bytes
    host: bytes

    @classmethod
    def of(cls, path: bytes, head: Head, *, is_recursive: bool) -> "Question":
        """Return the watch of a decoded path for the client that has sent `head`."""
        lines = b""
        if head.fields.authorization:
            lines += b"Authorization: %b\r\n" % head.fields.authorization
        origin = head.fields.headers.get("Origin", "")
        if origin:
            lines += b"Origin: %b\r\n" % origin.encode("utf-8", "surrogateescape")
        host = head.fields.headers.get("Host", "")
        return cls(path, is_recursive, lines, host.encode("utf-8", "surrogateescape"))

    def outgoing(self, *, wait_index: int = 0, is_stream: bool = False) -> Outgoing:
        """Return the request."""
        query = "wait=true"
        query += "&recursive=true" if self.is_recursive else ""
        query += f"&waitIndex={wait_index}" if wait_index else ""
        query += "&stream=true" if is_stream else ""
        target = f"{quote_from_bytes(self.path)}?{query}"
        return Outgoing(f"GET {target} HTTP/1.1\r\n".encode(), self.host, self.fields)


class Opened(NamedTuple):
    """What a member says to a watch; without `refusal` the body is still to come."""

    answer: AnswerHead
    connection: UpstreamConnection
    refusal: bytes | None

    @property
    def start_index(self) -> int:
        """The member's index when the watch began."""
        value = self.answer.find(INDEX) or b""
        return int(value) if value.isdigit() else 0


async def open_watch(members: Members, request: Outgoing) -> Opened:
    """Return what the first member says that answers at all; the connection is the caller's.

    Raises: NoMemberError.
    """
    endpoints = members.available()
    if not endpoints:
        raise NoMemberError(503, "zero endpoints currently available")
    for endpoint in endpoints:
        members.figures.shared_opened_count += 1
        connection: UpstreamConnection | None = None
        try:
            connection = await members.upstream.connect(endpoint.url, is_fresh=True)
            connection.begin(is_for_head=False)
            await connection.send(request.head(endpoint.host, 0))
            answer = await connection.head()
            if answer.status == 200:
                return Opened(answer, connection, None)
            return Opened(answer, connection, await _read_refusal(connection))
        except CrowdedError:
            raise NoMemberError(503, "too many requests at once") from None
        except UpstreamError as error:
            members.fail(endpoint, str(error))
        except BaseException:
            if connection is not None:
                connection.close()
            raise
    raise NoMemberError(502, f"unable to get response from {len(endpoints)} endpoint(s)")


async def _read_refusal(connection: UpstreamConnection) -> bytes:
    """Return the body of an answer, which is short.  Raises: UpstreamError."""
    body = _Whole()
    connection.deliver_to(body)
    is_whole = await body.over
    connection.close()
    if not is_whole:
        raise UpstreamError("the answer broke off", is_sent=True)
    return bytes(body.data)


class _Whole:
    """Gathers a short body."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > _REFUSAL_BYTES_MAX:
            self.end(False)

    def end(self, is_whole: bool) -> None:
        if not self.over.done():
            self.over.set_result(is_whole)


class Events:
    """The events of an open watch: `on_event` is called with the index and the line of each.

    `over` is done when the body has ended, or holds what is no event.
    """

    def __init__(self, on_event: Callable[[int, bytes], None]) -> None:
        self._on_event = on_event
        self._rest = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.over.done():
            return
        *lines, self._rest = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        for line in lines:
            index = _index_of(line)
            if not index:
                self.end(False)
                return
            self._on_event(index, line + b"\n")
        if len(self._rest) > EVENT_BYTES_MAX:
            self.end(False)

    def end(self, is_whole: bool) -> None:
        """Hear that nothing more comes."""
        if not self.over.done():
            self.over.set_result(None)


def _index_of(line: bytes) -> int:
    """Return the index of an event, 0 for what is none."""
    try:
        index = json.loads(line)["node"]["modifiedIndex"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return index if type(index) is int and index > 0 else 0
