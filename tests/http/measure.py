"""What a request costs between socket and tree; run by hand: `python -m tests.http.measure`.

In processor time, so that a busy machine disturbs less.  The comments in etcdpy/http that speak of
cost have their figures from here.
"""

import asyncio
import time
import timeit
from collections.abc import Callable
from functools import partial

from etcdpy.http import keys, wire
from etcdpy.http.heads import HeadReader
from etcdpy.http.receiver import Receiver
from etcdpy.http.tables import CLIENT_ROUTES
from etcdpy.http.wire import Request, Response
from tests.http.alone import Transport, connect
from tests.http.backend import TreeBackend

VALUE = b"x" * 256
FORM = b"value=" + VALUE
GET = b"GET /v2/keys/bench/key HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n\r\n"
PUT = (
    b"PUT /v2/keys/bench/key HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b"
) % (len(FORM), FORM)


def microseconds(name: str, run: Callable[[], object], count: int = 20_000) -> None:
    best = min(timeit.repeat(run, timer=time.process_time, number=count, repeat=7)) / count
    print(f"{name:45} {best * 1e6:8.2f} us")


def parts() -> None:
    receiver = Receiver(HeadReader(is_muxed=True))

    def receive(data: bytes, events: int) -> None:
        receiver.feed(data)
        for _ in range(events):
            receiver.next_event()

    microseconds("receive the head of a GET", lambda: receive(GET, 1))
    microseconds("receive a PUT", lambda: receive(PUT, 2))
    get = Request("GET", b"/v2/keys/bench/key")
    put = Request("PUT", b"/v2/keys/bench/key", b"", b"application/x-www-form-urlencoded", FORM)
    microseconds("find the face of a target", lambda: CLIENT_ROUTES.resolve("GET", get.path))
    microseconds("parse a GET", lambda: keys.parse(get, 1))
    microseconds("parse a PUT", lambda: keys.parse(put, 1))
    backend = TreeBackend()
    plan = keys.parse(put, 1)
    assert isinstance(plan, keys.Write)
    event = backend.tree.set(plan.command.path, value=VALUE, now_ns=1)
    renderer = keys.KeysRenderer(backend.cluster_id)
    status = backend.raft_status()
    body = keys.body_of(event, False)
    response = Response(200, renderer.head_lines(7, status), body)
    date = wire.DateLine()
    microseconds("render an event", lambda: keys.body_of(event, False))
    microseconds("encode a response", lambda: wire.encode(response, wire.PLAIN, date()))
    microseconds(
        "encode a plain response",
        lambda: renderer.encode_plain(200, 7, status, body, date=date(), cors=wire.CORS),
    )


def guard(backend: TreeBackend, headers: bytes) -> None:
    """Turn auth on, with root's password checked already."""
    for path, value in (
        (b"/2/enabled", b"true"),
        (b"/2/users/root", b'{"user":"root","password":"","roles":["root"]}'),
    ):
        backend.tree.set(path, value=value, now_ns=1)
    user = backend.authority.store.find_user("root")
    assert user is not None
    backend.authority.remembered.add(headers, user)


async def whole() -> None:
    for name, authorization in (("", b""), (" with a password", b"Basic cm9vdDpwdw==")):
        backend = TreeBackend()
        lines = b""
        if authorization:
            guard(backend, authorization)
            lines = b"Authorization: %b\r\n" % authorization
        server, connection = await connect(backend, Transport())
        get, put = (data.replace(b"\r\n", b"\r\n" + lines, 1) for data in (GET, PUT))
        connection.data_received(put)
        microseconds(f"GET{name}, from bytes to answer", partial(connection.data_received, get))
        microseconds(f"PUT{name}, applied at once", partial(connection.data_received, put))
        await server.stop()


async def main() -> None:
    parts()
    await whole()


if __name__ == "__main__":
    asyncio.run(main())
