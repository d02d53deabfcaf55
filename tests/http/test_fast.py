"""The fast path and aiohttp, asked the same: the same bytes, the same counters, the same tree.

Streams of whole requests, some of them damaged, cut into pieces anywhere: what one path takes and
the other leaves must not show.
"""

import random
import re
import socket
from collections.abc import Iterator

import pytest

from tests.http.rawsocket import connect, put, read_all, request
from tests.http.server import ServerThread
from tests.http.test_fuzz import mutate

STREAMS = 60
_CLOCK = re.compile(rb"Date: [^\r]*|\"expiration\":\"[^\"]*\"|\"ttl\":[0-9]*")

KEYS = (
    b"/a",
    b"/a/",
    b"/b.c",
    b"/d/e",
    b"/_h",
    b"/%41",
    b"/a%20b",
    b"//a",
    b"",
)
QUERIES = (
    b"",
    b"?",
    b"?recursive=true&sorted=true",
    b"?quorum=true",
    b"?dir=true",
    b"?prevExist=false",
    b"?prevValue=1",
    b"?prevIndex=x",
    b"?noValueOnSuccess=true",
    b"?wait=true&waitIndex=4",
    b"?%zz",
    b"?a;b",
)
FORMS = (
    b"value=1",
    b"value=%41%zz",
    b"value=a+b%20c",
    b"value=1&ttl=900",
    b"value=" + b"x" * 3000,
    b"dir=true",
    b"",
    b"value",
    b"value=a;b",
)
METHODS = (b"GET", b"GET", b"HEAD", b"DELETE", b"POST", b"PUT", b"OPTIONS", b"FOO")
HEADERS = (
    b"",
    b"",
    b"Expect: 100-continue\r\n",
    b"Origin: http://x\r\n",
    b"Authorization: Basic eDp5\r\n",
)


@pytest.fixture(scope="module")
def both() -> Iterator[list[ServerThread]]:
    with ServerThread() as fast, ServerThread(is_fast=False) as slow:
        yield [fast, slow]
        assert fast.errors == slow.errors == []


def draw_request(chance: random.Random) -> bytes:
    target = b"/v2/keys" + chance.choice(KEYS) + chance.choice(QUERIES)
    method, headers = chance.choice(METHODS), chance.choice(HEADERS)
    if method in (b"PUT", b"POST"):
        form = chance.choice(FORMS)
        if method == b"PUT":
            return put(target, form, headers, is_last=False)
        return request(method, target, headers, form, is_last=False)
    return request(method, target, headers, is_last=False)


def draw_stream(chance: random.Random) -> bytes:
    parts = [draw_request(chance) for _ in range(chance.randrange(1, 8))]
    if chance.random() < 0.4:
        parts[-1] = mutate(parts[-1], chance)
    return b"".join(parts)


def ask(server: ServerThread, stream: bytes, cuts: list[int]) -> bytes:
    """Return all that comes back for a stream that is sent in pieces."""
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                sock.sendall(stream[begin:end])
                server.call(lambda: None)  # it has read the piece, or will with the next one
            sock.shutdown(socket.SHUT_WR)
        except OSError:  # closed by a refusal
            pass
        return _CLOCK.sub(b"(clock)", read_all(sock))


@pytest.mark.parametrize("seed", range(8))
def test_both_paths_say_the_same(both: list[ServerThread], seed: int) -> None:
    chance = random.Random(seed)
    for number in range(STREAMS):
        stream = draw_stream(chance)
        cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(4)))
        fast, slow = (ask(server, stream, cuts) for server in both)
        assert fast == slow, f"seed {seed}, stream {number}: {stream!r} cut at {cuts}"
    trees = [server.call(server.backend.tree.digest) for server in both]
    assert trees[0] == trees[1]
    counts = [server.backend.tree.stats.as_json(0) for server in both]
    assert counts[0] == counts[1]
    traffic = [server.backend.monitor.traffic for server in both]
    assert traffic[0].received == traffic[1].received
    assert traffic[0].failed == traffic[1].failed
