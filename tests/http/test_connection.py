"""One connection: what stands before a bad request is done, what follows an end is not."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from etcdpy.http.backend import Outcome
from etcdpy.http.keys import KeysRenderer
from etcdpy.http.limits import Limit, Limits
from etcdpy.http.outgoing import HELD_BYTES_MAX
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.node import NODES_AT_ONCE_MAX
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.harness.virtual_time import run_virtual
from tests.http.alone import Transport
from tests.http.alone import connect as connect_alone
from tests.http.backend import TreeBackend
from tests.http.rawsocket import FORM_HEAD, connect, exchange, put, read_all, read_response, request
from tests.http.server import ServerThread

BAD = b"GET /version HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "aiohttp"])
def shared(request: pytest.FixtureRequest) -> Iterator[ServerThread]:
    with ServerThread(is_fast=request.param) as one:
        yield one


@pytest.fixture
def server(shared: ServerThread, caplog: pytest.LogCaptureFixture) -> Iterator[ServerThread]:
    yield shared
    assert shared.errors == []
    assert [record for record in caplog.get_records("call") if record.exc_info] == []


def statuses(data: bytes) -> list[int]:
    """Return the status of each response; bodies must not hold a status line."""
    return [int(part[2:5]) for part in data.split(b"HTTP/1.")[1:]]


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_requests_before_a_bad_one_are_done_and_answered(server: ServerThread, count: int) -> None:
    good = b"".join(put(b"/v2/keys/n%d" % n, b"value=1", is_last=False) for n in range(count))
    exchange(server.port, request(b"DELETE", b"/v2/keys/n0"))
    reply = exchange(server.port, good + BAD + put(b"/v2/keys/never", b"value=1"))
    assert statuses(reply.data)[0] == 201
    assert statuses(reply.data)[-1] == 400
    assert len(statuses(reply.data)) == count + 1
    assert exchange(server.port, request(target=b"/v2/keys/n%d" % (count - 1))).status == 200
    assert exchange(server.port, request(target=b"/v2/keys/never")).status == 404


def test_a_refused_method_ends_no_connection(server: ServerThread) -> None:
    data = b"".join(
        request(method, b"/v2/keys/a", b"", b"value=1", is_last=False)
        for method in (b"get", b"FOO")
    )
    assert statuses(exchange(server.port, data + request()).data) == [405, 405, 200]


def test_raw_bytes_of_a_target_may_come_in_parts(server: ServerThread) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/u", b"value=1", is_last=False) + b"GET /v2/keys/\xc3")
        assert read_response(sock).startswith(b"HTTP/1.1 201 ")  # the first part has been read
        sock.sendall(b"\xa9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 404 ")
    assert '"cause":"/é"'.encode() in data


@pytest.mark.parametrize("encoding", [b"gzip, chunked", b"", b"identity", b"\x0bchunked"])
def test_only_chunked_bodies_are_stored(server: ServerThread, encoding: bytes) -> None:
    headers = FORM_HEAD + b"Transfer-Encoding: %b\r\n" % encoding
    data = request(b"PUT", b"/v2/keys/smuggled", headers) + b"7\r\nvalue=1\r\n0\r\n\r\n"
    assert exchange(server.port, data).status == 501
    assert exchange(server.port, request(target=b"/v2/keys/smuggled")).status == 404


def test_http_1_0_has_no_transfer_encoding(server: ServerThread) -> None:
    data = request(b"PUT", b"/v2/keys/old", FORM_HEAD + CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")
    reply = exchange(server.port, data + b"7\r\nvalue=1\r\n0\r\n\r\n")
    assert b'"value":""' in reply.body
    assert statuses(reply.data) == [201]


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        (b"PUT", b"/v2/keys/e", b"text/plain"),
        (b"PUT", b"/v2/keys/e", b"a/"),
        (b"GET", b"/version", b""),
        (b"PUT", b"/none", FORM_HEAD[14:-2]),
        (b"PUT", b"/v2/keys//e", FORM_HEAD[14:-2]),
    ],
)
def test_a_body_that_was_not_asked_for_is_no_request(
    server: ServerThread, method: bytes, target: bytes, kind: bytes
) -> None:
    inner = put(b"/v2/keys/inner", b"value=1", is_last=False)
    headers = b"Content-Type: %b\r\nExpect: 100-continue\r\nContent-Length: 9\r\n" % kind
    with connect(server.port) as sock:
        sock.sendall(request(method, target, headers, is_last=False))
        assert b"Connection: close\r\n" in read_response(sock)
        sock.sendall(inner)
        assert read_all(sock) == b""
    assert exchange(server.port, request(target=b"/v2/keys/inner")).status == 404


@pytest.mark.parametrize("lines", [b"Content-Length: 0\r\n", b""])
def test_an_empty_body_is_not_asked_for(server: ServerThread, lines: bytes) -> None:
    headers = FORM_HEAD + b"Expect: 100-continue\r\n" + lines
    data = request(b"PUT", b"/v2/keys/empty", headers, is_last=False)
    assert statuses(exchange(server.port, data + request()).data)[1:] == [200]


@pytest.mark.parametrize(("size", "is_kept"), [(200_000, True), (300_000, False)])
def test_a_large_body_that_nobody_reads_ends_the_connection(
    server: ServerThread, size: int, is_kept: bool
) -> None:
    data = request(b"PUT", b"/none", b"", b"v" * size, is_last=False)
    found = statuses(exchange(server.port, data + request()).data)
    assert found == ([404, 200] if is_kept else [404])


def test_only_the_last_answer_before_a_broken_body_says_close(server: ServerThread) -> None:
    broken = request(b"PUT", b"/v2/keys/b", FORM_HEAD + CHUNKED, is_last=False) + b"zz\r\n"
    data = exchange(server.port, request(is_last=False) * 3 + broken).data
    assert statuses(data) == [200, 200, 200, 400]
    assert data.count(b"Connection: close\r\n") == 1
    assert b'"cause":"invalid byte in chunk length"' in data


def test_a_bad_body_that_nobody_reads_does_not_hurt_its_request(server: ServerThread) -> None:
    data = request(b"GET", b"/v2/keys/", CHUNKED, is_last=False) + b"zz\r\n"
    reply = exchange(server.port, data)
    assert statuses(reply.data) == [200]
    assert b"Connection: close\r\n" in reply.data


def test_a_body_that_breaks_after_its_answer_ends_the_connection(server: ServerThread) -> None:
    with connect(server.port) as sock:
        data = request(b"PUT", b"/v2/stats/self", CHUNKED, is_last=False)
        sock.sendall(data + b"5\r\nhello\r\n")
        assert read_response(sock).startswith(b"HTTP/1.1 405 ")
        sock.sendall(b"zz\r\n" + request())
        assert sock.recv(100) == b""


@pytest.mark.parametrize("digits", [1, 5000])
def test_the_length_of_a_body_that_nobody_reads_may_have_zeros_in_front(
    server: ServerThread, digits: int
) -> None:
    length = b"Content-Length: %b\r\n" % b"7".zfill(digits)
    data = request(b"PUT", b"/v2/machines", length, is_last=False) + b"value=1"
    assert statuses(exchange(server.port, data + request()).data) == [405, 200]


def test_lines_may_end_without_carriage_returns(server: ServerThread) -> None:
    data = (
        b"PUT /v2/keys/lf HTTP/1.1\nHost: x\n" + FORM_HEAD[:-2] + b"\nContent-Length: 7\n\nvalue=1"
    )
    assert statuses(exchange(server.port, data + request()).data) == [201, 200]


Held = list[tuple[Command, Outcome]]


@pytest.fixture
def held(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Return the writes that wait for their commit; what is put there is done by the test."""
    waiting: Held = []
    monkeypatch.setattr(
        server.backend, "submit", lambda command, outcome: waiting.append((command, outcome))
    )
    return waiting


def has_heard_the_end(server: ServerThread) -> bool:
    """Tell whether the one client has closed its sending side, as far as its server knows."""
    assert server.server is not None
    connections = server.server._connections
    return bool(server.call(lambda: [one for one in connections if one.is_half_closed]))


FORM_SIZE_9 = FORM_HEAD + b"Content-Length: 9\r\n"


@pytest.mark.parametrize(
    ("truncated", "expected"),
    [
        (request(b"PUT", b"/v2/keys/t", FORM_SIZE_9, is_last=False), 400),
        (request(b"PUT", b"/v2/keys/t", FORM_SIZE_9, is_last=False) + b"val", 400),
        (request(b"PUT", b"/v2/keys/t", FORM_HEAD + CHUNKED, is_last=False) + b"5\r\nva", 400),
        (request(b"PUT", b"/v2/keys/t", FORM_HEAD + CHUNKED, is_last=False) + b"5", 400),
        (request(b"GET", b"/version", b"Content-Length: 9\r\n", is_last=False) + b"val", 200),
        (b"GET /v2/ke", 400),
        (request(target=b"/v2/keys/none", is_last=False), 404),
    ],
)
def test_what_stands_behind_a_waiting_write_is_answered_after_a_half_close(
    server: ServerThread, held: Held, truncated: bytes, expected: int
) -> None:
    with connect(server.port) as sock:
        sock.sendall(put(b"/v2/keys/w", b"value=1", is_last=False) + truncated)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: bool(held), DEADLINE_S, "the write waits")
        wait_until(lambda: has_heard_the_end(server), DEADLINE_S, "the end is heard")
        command, outcome = held[0]
        server.call(partial(TreeBackend.submit, server.backend, command, outcome))
        data = read_all(sock)
    assert statuses(data)[1:] == [expected], data
    assert server.server is not None
    assert server.server.serving_count == 0


BOTH_WAYS = pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "aiohttp"])
WATCH = request(target=b"/v2/keys/k?wait=true", is_last=False)


def tell(backend: TreeBackend, value: bytes = b"v") -> None:
    """Set the key that is read and watched here."""
    backend.propose(Command(CommandKind.SET, 1, b"/1/k", value))


@BOTH_WAYS
@pytest.mark.parametrize("query", [b"?wait=true", b"?wait=true&stream=true"])
def test_a_body_that_breaks_under_a_watch_ends_the_connection_with_it(
    is_fast: bool, query: bytes
) -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport()
        server, connection = await connect_alone(backend, transport, is_fast=is_fast)
        watch = request(b"GET", b"/v2/keys/k" + query, CHUNKED, is_last=False)
        connection.data_received(watch + b"5\r\nhello\r\n")
        await asyncio.sleep(1)
        connection.data_received(b"zz\r\n")
        await asyncio.sleep(1)
        before_bytes = transport.written_bytes
        assert not transport.is_closed, "the watch goes on"
        tell(backend)
        await asyncio.sleep(1)
        assert transport.written_bytes > before_bytes
        if b"stream" in query:
            assert not transport.is_closed
            connection.eof_received()
            await asyncio.sleep(1)
        assert transport.is_closed
        await server.stop()

    run_virtual(main)


def test_a_body_that_breaks_under_a_large_listing_ends_the_connection_with_it() -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport(full_bytes=1)
        for number in range(NODES_AT_ONCE_MAX + 1):
            backend.tree.set(b"/1/d/%d" % number, value=b"v", now_ns=0)
        server, connection = await connect_alone(backend, transport)
        listing = request(b"GET", b"/v2/keys/d", CHUNKED, is_last=False)
        connection.data_received(listing + b"5\r\nhello\r\n")
        await asyncio.sleep(1)
        connection.data_received(b"zz\r\n")
        assert server.serving_count == 1, "its client has not read the first part"
        while server.serving_count:
            transport.read()
            await asyncio.sleep(1)
        transport.read()
        await asyncio.sleep(1)
        assert transport.written_bytes > NODES_AT_ONCE_MAX
        assert transport.is_closed
        await server.stop()

    run_virtual(main)


@BOTH_WAYS
def test_a_head_that_is_not_read_on_has_its_time_when_it_is(is_fast: bool) -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport(full_bytes=3_000)
        limits = Limits(head_s=60.0, send_s=None)
        server, connection = await connect_alone(backend, transport, limits, is_fast=is_fast)
        tell(backend, b"v" * 1_500)
        get = request(target=b"/v2/keys/k", is_last=False)
        connection.data_received(get)
        await asyncio.sleep(1)
        answer_bytes = transport.written_bytes
        connection.data_received(get + get[:5])
        await asyncio.sleep(50)
        assert not transport.is_held, "it is full when the next head has begun"
        connection.data_received(get[5:] + get[:5])
        assert transport.is_held
        await asyncio.sleep(1_000)
        assert transport.written_bytes == 2 * answer_bytes
        assert not transport.is_closed
        transport.read()
        await asyncio.sleep(50)
        assert not transport.is_held
        assert transport.written_bytes == 3 * answer_bytes
        assert not transport.is_closed
        await asyncio.sleep(20)
        assert transport.is_closed
        assert server.reached == {Limit.HEAD_TIMEOUT: 1}
        await server.stop()

    run_virtual(main)


def test_a_body_that_is_not_read_on_has_its_time_when_it_is() -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport(full_bytes=1)
        server, connection = await connect_alone(
            backend, transport, Limits(body_s=60.0, send_s=None)
        )
        tell(backend)
        write = put(b"/v2/keys/w", b"value=1", is_last=False)
        connection.data_received(request(target=b"/v2/keys/k", is_last=False) + write[:-5])
        await asyncio.sleep(50)
        assert not transport.is_held
        index = backend.tree.index
        connection.data_received(write[-5:-3])
        assert transport.is_held
        await asyncio.sleep(1_000)
        assert not transport.is_closed
        transport.read()
        await asyncio.sleep(50)
        connection.data_received(write[-3:] + write[:-5])
        assert backend.tree.index == index + 1
        await asyncio.sleep(50)
        assert not transport.is_closed
        await asyncio.sleep(20)
        assert transport.is_closed
        assert server.reached == {Limit.BODY_TIMEOUT: 1}
        await server.stop()

    run_virtual(main)


@BOTH_WAYS
@pytest.mark.parametrize("is_ended", [True, False])
def test_a_head_behind_a_request_that_waits_has_its_time_after_the_answer(
    is_fast: bool, is_ended: bool
) -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport()
        limits = Limits(head_s=60.0, send_s=None)
        server, connection = await connect_alone(backend, transport, limits, is_fast=is_fast)
        connection.data_received(WATCH + WATCH[:9])
        await asyncio.sleep(1_000)
        connection.data_received(WATCH[9:15])
        await asyncio.sleep(1_000)
        assert not transport.is_closed
        before_bytes = transport.written_bytes
        tell(backend)
        await asyncio.sleep(50)
        assert transport.written_bytes > before_bytes
        assert not transport.is_closed
        if is_ended:
            connection.data_received(WATCH[15:])
            await asyncio.sleep(1_000)
            assert server.serving_count == 1
        else:
            await asyncio.sleep(20)
        assert transport.is_closed is not is_ended
        assert server.reached == ({} if is_ended else {Limit.HEAD_TIMEOUT: 1})
        await server.stop()

    run_virtual(main)


def test_each_head_has_a_time_of_its_own() -> None:
    async def main() -> None:
        transport = Transport()
        server, connection = await connect_alone(TreeBackend(), transport, Limits(head_s=60.0))
        data = request(is_last=False)
        connection.data_received(data[:5])
        for _ in range(5):  # each piece ends one head and begins another
            await asyncio.sleep(50)
            connection.data_received(data[5:] + data[:5])
        assert not transport.is_closed
        await asyncio.sleep(70)
        assert transport.is_closed
        await server.stop()

    run_virtual(main)


@BOTH_WAYS
@pytest.mark.parametrize(
    "asked", [request(target=b"/version", is_last=False), WATCH], ids=["version", "watch"]
)
def test_a_connection_that_is_to_be_left_ends_with_the_answer_that_is_due(
    is_fast: bool, asked: bytes
) -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport()
        server, connection = await connect_alone(backend, transport, is_fast=is_fast)
        connection.data_received(asked)
        connection.cut_when_answered()
        assert not transport.is_closed
        await asyncio.sleep(1)
        before_bytes = transport.written_bytes
        tell(backend)
        await asyncio.sleep(1)
        assert transport.written_bytes > (before_bytes if asked == WATCH else 0)
        assert transport.is_closed
        await server.stop()

    run_virtual(main)


def test_a_stream_behind_answers_that_are_not_read_is_held_by_its_bound() -> None:
    async def main() -> None:
        backend, transport = TreeBackend(), Transport(full_bytes=HELD_BYTES_MAX // 2)
        server, connection = await connect_alone(backend, transport)
        value = b"v" * 1000
        tell(backend, value)
        count = HELD_BYTES_MAX // 2 // len(value)
        watch = request(target=b"/v2/keys/k?wait=true&stream=true")  # it closes: aiohttp serves it
        connection.data_received(request(target=b"/v2/keys/k", is_last=False) * count + watch)
        await asyncio.sleep(1)
        assert server.serving_count == 1, "the watch has begun"
        before_bytes = transport.written_bytes
        for _ in range(300):
            tell(backend, value)
        await asyncio.sleep(1)
        assert transport.written_bytes == before_bytes
        assert backend.tree.hub.count == 0
        await server.stop()

    run_virtual(main)


@pytest.mark.parametrize("begun", [b"", b"val"])
def test_a_body_that_stands_still_is_given_up(begun: bytes) -> None:
    for is_fast in (True, False):
        with ServerThread(is_fast=is_fast, limits=Limits(body_s=0.05)) as server:
            data = request(b"PUT", b"/v2/keys/s", FORM_SIZE_9, is_last=False) + begun
            assert exchange(server.port, data).data == b""
            assert server.server is not None
            assert server.server.reached[Limit.BODY_TIMEOUT] == 1


@pytest.mark.interpreted
def test_who_applies_does_not_stumble_over_an_answer(
    server: ServerThread,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: object, *_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(KeysRenderer, "respond_error", fail)
    monkeypatch.setattr(KeysRenderer, "head_lines", fail)
    monkeypatch.setattr(KeysRenderer, "encode_plain", fail)
    for query in (b"", b"?prevIndex=9999"):  # done, and refused where it is applied
        with connect(server.port) as sock:
            sock.sendall(put(b"/v2/keys/w" + query, b"value=1", is_last=False))
            wait_until(lambda: bool(held), DEADLINE_S, "the write waits")
            command, outcome = held.pop()
            server.call(partial(TreeBackend.submit, server.backend, command, outcome))
            assert read_all(sock) == b""
    said = [record.message for record in caplog.get_records("call") if record.exc_info]
    assert said == ["an answer could not be written"] * 2
    caplog.clear()


@pytest.mark.parametrize("begun", [b"", b"val"])
def test_a_body_that_was_asked_for_and_breaks_off_ends_the_connection(
    server: ServerThread, begun: bytes
) -> None:
    headers = FORM_SIZE_9 + b"Expect: 100-continue\r\n"
    with connect(server.port) as sock:
        sock.sendall(request(b"PUT", b"/v2/keys/t", headers, is_last=False) + begun)
        assert read_response(sock).startswith(b"HTTP/1.1 100 ")
        sock.shutdown(socket.SHUT_WR)
        data = read_all(sock)
    assert statuses(data) == [400]
    assert b"Connection: close\r\n" in data
