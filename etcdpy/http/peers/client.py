"""The client with which a member reaches others: TCP and unix sockets, with TLS and without.

A file of its own because both the transport and a member that has not joined yet dial peers, and
because aiohttp has no TLS over unix sockets, and one path for all requests there: a peer URL
`unix://NAME:PORT` means the socket file `NAME:PORT`.
Source: spec/tls.md section 4, spec/config.md section 5.
"""

import asyncio
import ssl

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from yarl import URL

from etcdpy.tls.contexts import ClientTls
from etcdpy.urls import TLS_SCHEMES


def open_session(connect_s: float | None = None) -> aiohttp.ClientSession:
    """Return a client that keeps nothing: no connection, no cookie, no bound on a whole request.

    `connect_s` bounds what it takes to connect.
    """
    return aiohttp.ClientSession(
        connector=_Connector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
        auto_decompress=False,
    )


def url_of(text: str) -> URL:
    """Return a URL for a session, in which a socket's name keeps its capitals."""
    return URL(text, encoded=text.startswith("unix"))


def tls_of(url: URL, tls: ClientTls) -> ssl.SSLContext | bool:
    """Return the `ssl` of a request to a peer.  Raises: TlsError for files that can't be used."""
    return tls.context() if url.scheme in TLS_SCHEMES else True


class _Connector(aiohttp.TCPConnector):
    """Connects to unix sockets as well."""

    allowed_protocol_schema_set = aiohttp.TCPConnector.allowed_protocol_schema_set | {
        "unix",
        "unixs",
    }

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's name
    ) -> ResponseHandler:
        if not req.url.scheme.startswith("unix"):
            return await super()._create_connection(req, traces, timeout)
        path = f"{req.url.raw_host}:{req.url.explicit_port}"
        context = req.ssl if req.url.scheme == "unixs" else None
        assert not isinstance(context, bool | aiohttp.Fingerprint)
        async with asyncio.timeout(timeout.sock_connect):
            _, protocol = await self._loop.create_unix_connection(
                self._factory,
                path,
                ssl=context,
                server_hostname=(
                    None if context is None else req.server_hostname or req.url.raw_host
                ),
            )
        return protocol
