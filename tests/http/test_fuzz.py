"""Random bytes at a server's door: it answers or closes, reports nothing, and goes on."""

import random
from collections.abc import Iterator

import pytest

from etcdpy.http.limits import Limits
from tests.http.rawsocket import exchange, put, request
from tests.http.server import ServerThread

ROUNDS = 300
PIECES = (
    b"GET",
    b"PUT",
    b"POST",
    b"OPTIONS",
    b"CONNECT",
    b"foo",
    b" ",
    b"/",
    b"/v2/keys",
    b"/v2/keys/a",
    b"//",
    b"/..",
    b"%",
    b"%zz",
    b"%00",
    b"?",
    b"&",
    b";",
    b"=",
    b"*",
    b"http://",
    b"wait=true",
    b"ttl=1",
    b"value=1",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b" HTTP/9.9",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b"\xff",
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: application/x-www-form-urlencoded\r\n",
    b"Content-Type: a/b; c\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n",
    b"Connection: close\r\n",
    b"5\r\nvalue\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
)
STARTS = (
    request(target=b"/v2/keys/a?wait=true&stream=true", is_last=False),
    request(is_last=False),
    put(b"/v2/keys/fuzz", b"value=1&ttl=100", is_last=False),
    put(b"/v2/keys/fuzz", b"value=1", b"Expect: 100-continue\r\n", is_last=False),
    b"",
)


@pytest.fixture(scope="module")
def shared() -> Iterator[ServerThread]:
    with ServerThread(limits=Limits(head_s=0.5, body_s=0.5)) as one:
        yield one


@pytest.fixture
def server(shared: ServerThread, caplog: pytest.LogCaptureFixture) -> Iterator[ServerThread]:
    yield shared
    assert exchange(shared.port, request()).status == 200
    assert shared.errors == []
    assert [record for record in caplog.get_records("call") if record.exc_info] == []


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with a few bytes changed, lost, or put in."""
    text = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        position = chance.randrange(len(text) + 1)
        edit = chance.randrange(3)
        if edit == 0:
            text[position:position] = chance.choice(PIECES)
        elif edit == 1:
            del text[position : position + chance.randrange(1, 9)]
        else:
            text[position : position + 1] = bytes([chance.randrange(256)])
    return bytes(text)


@pytest.mark.parametrize("seed", range(4))
def test_changed_requests(server: ServerThread, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        data = b"".join(mutate(chance.choice(STARTS), chance) for _ in range(2))
        reply = exchange(server.port, data, half_close=True)
        assert reply.data == b"" or reply.data.startswith(b"HTTP/1."), data


@pytest.mark.parametrize("seed", range(4))
def test_pieces_in_any_order(server: ServerThread, seed: int) -> None:
    chance = random.Random(1000 + seed)
    for _ in range(ROUNDS // 4):
        data = b"".join(chance.choices(PIECES, k=chance.randrange(1, 15)))
        reply = exchange(server.port, data, half_close=True)
        assert reply.data == b"" or reply.data.startswith(b"HTTP/1."), data
