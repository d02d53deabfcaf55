"""The peer port of a member of a running cluster, which answers what a test wants it to."""

import asyncio
import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

CLUSTER_ID = 0xC3C3E1FE6B491ED9


def row(member_id: int, *peer_urls: str, name: str = "", client_url: str = "") -> dict[str, Any]:
    """Return a member as `/members` lists it."""
    fields: dict[str, Any] = {"id": member_id, "peerURLs": list(peer_urls)}
    if name:
        fields["name"] = name
    if client_url:
        fields["clientURLs"] = [client_url]
    return fields


@dataclass
class FakePeer:
    """Serves on a loopback port while it is entered; what it answers may be changed meanwhile."""

    members: list[dict[str, Any]] = field(default_factory=list)
    cluster_id: str = f"{CLUSTER_ID:x}"
    cluster_version: str = "3.4.0"
    is_etcdpy: bool = True
    is_silent: bool = False
    body: bytes | None = None  # of `/members`, in place of `members`
    status: int = 200
    asked: list[str] = field(default_factory=list)  # the paths of all requests

    async def __aenter__(self) -> Self:
        """Listen; `url` is where."""
        self._server = web.Server(self._answer)
        self._listening = await asyncio.get_running_loop().create_server(
            self._server, "127.0.0.1", 0
        )
        self.port = self._listening.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.close()
        await self._server.shutdown(0.1)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path)
        if self.is_silent:
            await asyncio.get_running_loop().create_future()
        headers = {"X-Etcd-Cluster-ID": self.cluster_id}
        if request.path == "/version":
            version = {"etcdserver": "3.4.23", "etcdcluster": self.cluster_version}
            return web.json_response(version, headers=headers)
        assert request.path == "/members"
        if self.is_etcdpy:
            headers["X-Etcdpy-Protocol"] = "1"
        body = json.dumps(self.members).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status, headers=headers)
