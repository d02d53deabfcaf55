"""The client with which a member registers itself: keys of any v2 server, asked as etcd asks.

A file of its own because what is worth another try is decided by how a question failed, and that
is the client's knowledge: a server that is not reached or answers 5xx is `UnavailableError`, all
else that is no answer is final.  Texts are those of etcd's client, which its log shows.
Source: spec/cluster.md section 4.1.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from etcdpy import srv
from etcdpy.dialing import describe_dial
from etcdpy.http.peers.client import open_session
from etcdpy.srv import NameLookupError

#: How long a question may take that is not a wait, and how long connecting; etcd's numbers.
ANSWER_S = 5.0
CONNECT_S = 30.0
REDIRECTS_MAX = 10
#: A registry of a cluster has a line for each of its members: this bounds a stranger.
ANSWER_BYTES_MAX = 4 << 20

NODE_EXISTS = 105
INDEX_CLEARED = 401

_SUCCESSES = (200, 201)
_NO_LEADER = (500, 503)


class RegistryError(Exception):
    """A question has no answer that could be used."""


class UnavailableError(RegistryError):
    """The server could not be reached or cannot answer now: worth another try."""


class InvalidAnswerError(RegistryError):
    """What answers is no v2 server."""

    def __init__(self) -> None:
        super().__init__(
            "client: response is invalid json."
            " The endpoint is probably not valid etcd cluster endpoint."
        )


class RefusedError(RegistryError):
    """An error of the API."""

    def __init__(self, code: int, message: str, cause: str, index: int) -> None:
        super().__init__(f"{code}: {message} ({cause}) [{index}]")
        self.code = code


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an answer, and the index of the server when it was given."""

    key: str
    value: str
    created_index: int
    modified_index: int
    children: tuple["Node", ...] = ()
    index: int = 0

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rpartition("/")[2]


class Registry:
    """The keys of one server, whose paths are those of the URL."""

    def __init__(self, session: aiohttp.ClientSession, base: URL, proxy: URL | None) -> None:
        """`base` is the server; `proxy` that through which it is asked."""
        self._session = session
        self._base = base
        self._shown = str(base).removesuffix("/")
        self._proxy = proxy

    async def get(self, path: str) -> Node:
        """Return a node.  Raises: RegistryError."""
        query = {"quorum": "false", "recursive": "false", "sorted": "false"}
        return await self._ask("GET", path, query)

    async def create(self, path: str, value: str) -> Node:
        """Create a key, which must not be there.  Raises: RegistryError; it is not tried again."""
        return await self._ask("PUT", path, {"prevExist": "false"}, {"value": value})

    async def wait(self, path: str, index: int, *, is_recursive: bool) -> Node:
        """Return what happens at a path from `index` on; there is no bound in time.

        Raises: RegistryError.
        """
        query = {
            "recursive": str(is_recursive).lower(),
            "wait": "true",
            "waitIndex": str(index),
        }
        while True:
            node = _read(await self._send("GET", path, query, None, None))
            if node is not None:  # else the server has ended the wait
                return node

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> Node:
        node = _read(await self._send(method, path, query, form, ANSWER_S))
        if node is None:
            raise RegistryError("client: response body is empty")
        return node

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        form: Mapping[str, str] | None,
        within_s: float | None,
    ) -> "_Answer":
        """Ask, following redirects.  Raises: RegistryError."""
        target = self._base.with_path(path).update_query(query)
        try:
            async with asyncio.timeout(within_s):
                for _ in range(REDIRECTS_MAX + 1):
                    answer = await self._send_once(method, target, form)
                    if answer.status // 100 != 3:
                        break
                    target = _redirected(answer.headers.get("Location", ""))
                else:
                    raise UnavailableError("client: too many redirects")
        except TimeoutError as error:
            raise RegistryError("context deadline exceeded") from error
        if answer.status in _NO_LEADER:
            raise UnavailableError(f"client: etcd member {self._shown} has no leader")
        if answer.status >= 500:
            phrase = HTTPStatus(answer.status).phrase if answer.status in _STATUSES else ""
            raise UnavailableError(
                f"client: etcd member {self._shown} returns server error [{phrase}]"
            )
        return answer

    async def _send_once(
        self, method: str, target: URL, form: Mapping[str, str] | None
    ) -> "_Answer":
        try:
            async with self._session.request(
                method, target, data=form, proxy=self._proxy, allow_redirects=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise RegistryError(f"it answers more than {ANSWER_BYTES_MAX} bytes")
                return _Answer(response.status, response.headers, bytes(body))
        except aiohttp.ServerDisconnectedError as error:
            raise UnavailableError("EOF") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnavailableError(await _words(error, self._proxy or target)) from error


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


_STATUSES = frozenset(int(status) for status in HTTPStatus)


@asynccontextmanager
async def open_registry(base: URL, proxy: URL | None) -> AsyncIterator[Registry]:
    """Yield the client of a server."""
    async with open_session(CONNECT_S) as session:
        yield Registry(session, base, proxy)


def _read(answer: _Answer) -> Node | None:
    """Return the node of an answer, None if it is empty.  Raises: RegistryError."""
    if answer.status in _SUCCESSES and not answer.body:
        return None
    try:
        content = json.loads(answer.body)
        if answer.status not in _SUCCESSES:
            raise _refusal_of(content)
        index = int(answer.headers.get("X-Etcd-Index") or 0)
        return _node_of(content["node"], index)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidAnswerError from error


def _redirected(location: str) -> URL:
    if not location:
        raise UnavailableError("client: location header not set")
    try:
        target = URL(location)
    except ValueError as error:
        raise UnavailableError(f"client: location header not valid URL: {location}") from error
    if not target.host:
        raise UnavailableError(f'unsupported protocol scheme "{target.scheme}"')
    return target


def _refusal_of(content: Any) -> RefusedError:
    """Raises: TypeError or ValueError for what is no object."""
    if not isinstance(content, dict):
        raise TypeError("no object")
    return RefusedError(
        _number(content.get("errorCode", 0)),
        _text(content.get("message", "")),
        _text(content.get("cause", "")),
        _number(content.get("index", 0)),
    )


def _node_of(fields: Any, index: int = 0) -> Node:
    """Raises: TypeError or ValueError for what is no node."""
    if not isinstance(fields, dict):
        raise TypeError("no node")
    return Node(
        _text(fields.get("key", "")),
        _text(fields.get("value", "")),
        _number(fields.get("createdIndex", 0)),
        _number(fields.get("modifiedIndex", 0)),
        tuple(map(_node_of, fields.get("nodes") or ())),
        index,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("no number")
    return value


async def _words(error: Exception, target: URL) -> str:
    """Return why a server was not reached, in Go's words where there are some."""
    is_of_proxy = isinstance(error, aiohttp.ClientProxyConnectionError)
    prefix = "proxyconnect tcp: " if is_of_proxy else ""
    if isinstance(error, aiohttp.ServerTimeoutError):
        return f"{prefix}dial tcp {target.host}:{target.port}: i/o timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, socket.gaierror):
            try:
                await srv.find_addresses(target.host or "")
            except NameLookupError as refusal:
                return f"{prefix}dial tcp: {refusal}"
        elif cause.errno:
            host = f"[{error.host}]" if ":" in error.host else error.host
            return prefix + describe_dial(f"{host}:{error.port}", cause)
    if isinstance(error, ConnectionError | aiohttp.ClientPayloadError):
        return "unexpected EOF"
    return str(error) or type(error).__name__
