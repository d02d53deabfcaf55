"""What a member makes of the answers of a registry.

Source: spec/cluster.md section 4.1.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from yarl import URL

from etcdpy.startup import registry
from etcdpy.startup.registry import (
    InvalidAnswerError,
    Node,
    Registry,
    RegistryError,
    UnavailableError,
    open_registry,
)

DEADLINE_S = 20.0
NODE = b'{"node":{"key":"/a","value":"v","createdIndex":2,"modifiedIndex":3}}'


@dataclass
class FakeServer:
    """Gives these answers, the last one for ever."""

    answers: list[web.Response]
    asked: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        self.forms.append((await request.read()).decode())
        answer = self.answers[0]
        if len(self.answers) > 1:
            del self.answers[0]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Registry]:
        server = web.Server(self.answer)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            async with open_registry(URL(f"http://127.0.0.1:{self.port}"), None) as client:
                yield client
        finally:
            listening.close()
            await server.shutdown(0.1)


def ask(server: FakeServer, question: Callable[[Registry], Awaitable[Node]]) -> Node:
    async def run() -> Node:
        async with asyncio.timeout(DEADLINE_S), server.run() as client:
            return await question(client)

    return asyncio.run(run())


def get(client: Registry) -> Awaitable[Node]:
    return client.get("/v2/keys/a b")


def answer(status: int = 200, body: bytes = NODE, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=body, headers=named)


def test_the_questions_are_etcds() -> None:
    server = FakeServer([answer(X_Etcd_Index="7")])

    async def all_of_them(client: Registry) -> Node:
        await client.get("/v2/keys/a b")
        await client.create("/v2/keys/a/1f", "m=http://h:1")
        return await client.wait("/v2/keys/a", 9, is_recursive=True)

    assert ask(server, all_of_them) == Node("/a", "v", 2, 3, (), 7)
    assert server.asked == [
        "GET /v2/keys/a%20b?quorum=false&recursive=false&sorted=false",
        "PUT /v2/keys/a/1f?prevExist=false",
        "GET /v2/keys/a?recursive=true&wait=true&waitIndex=9",
    ]
    assert server.forms == ["", "value=m%3Dhttp%3A%2F%2Fh%3A1", ""]


def test_a_wait_that_ends_with_nothing_is_begun_again() -> None:
    server = FakeServer([answer(body=b""), answer()])
    assert ask(server, lambda c: c.wait("/a", 1, is_recursive=False)).value == "v"
    assert len(server.asked) == 2


def test_a_redirect_is_followed() -> None:
    server = FakeServer([])

    async def redirected(client: Registry) -> Node:
        location = f"http://127.0.0.1:{server.port}/there"
        server.answers = [answer(307, b"", Location=location), answer()]
        return await client.get("/here")

    assert ask(server, redirected).key == "/a"
    assert server.asked[1] == "GET /there"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (answer(500), UnavailableError, "client: etcd member {url} has no leader"),
        (answer(503), UnavailableError, "client: etcd member {url} has no leader"),
        (
            answer(502),
            UnavailableError,
            "client: etcd member {url} returns server error [Bad Gateway]",
        ),
        (answer(599), UnavailableError, "client: etcd member {url} returns server error []"),
        (answer(302), UnavailableError, "client: location header not set"),
        (answer(302, Location="/x"), UnavailableError, 'unsupported protocol scheme ""'),
        (
            answer(404, b'{"errorCode":100,"message":"Key not found","cause":"/a","index":4}'),
            RegistryError,
            "100: Key not found (/a) [4]",
        ),
        (answer(404, b"{}"), RegistryError, "0:  () [0]"),
        (answer(404, b"404 page not found"), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b""), RegistryError, "client: response body is empty"),
        (answer(200, b"{"), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b"[]"), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b"{}"), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b'{"node":[]}'), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b'{"node":{"value":1}}'), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b'{"node":{"nodes":7}}'), InvalidAnswerError, "client: response is invalid"),
        (
            answer(200, b'{"node":{"createdIndex":-1}}'),
            InvalidAnswerError,
            "client: response is invalid",
        ),
        (answer(200, NODE, X_Etcd_Index="x"), InvalidAnswerError, "client: response is invalid"),
        (answer(200, b"[" * 100_000), InvalidAnswerError, "client: response is invalid"),
    ],
)
def test_what_is_no_answer_is_said(given: web.Response, error: type[Exception], words: str) -> None:
    server = FakeServer([given])
    with pytest.raises(error) as refused:
        ask(server, get)
    assert type(refused.value) is error or error is RegistryError
    assert str(refused.value).startswith(words.format(url=f"http://127.0.0.1:{server.port}"))


def test_a_stranger_may_not_say_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ANSWER_BYTES_MAX", 1000)
    with pytest.raises(RegistryError, match="more than 1000 bytes"):
        ask(FakeServer([answer(body=b" " * 1001)]), get)


def test_redirects_that_lead_nowhere_end() -> None:
    server = FakeServer([])

    async def around(client: Registry) -> Node:
        server.answers = [answer(302, Location=f"http://127.0.0.1:{server.port}/x")]
        return await client.get("/x")

    with pytest.raises(UnavailableError, match="client: too many redirects"):
        ask(server, around)
    assert len(server.asked) == registry.REDIRECTS_MAX + 1


def test_who_is_not_there_is_worth_another_try() -> None:
    async def run() -> None:
        async with open_registry(URL("http://127.0.0.1:1"), None) as client:
            await client.get("/x")

    with pytest.raises(UnavailableError) as refused:
        asyncio.run(run())
    assert str(refused.value) == "dial tcp 127.0.0.1:1: connect: connection refused"
