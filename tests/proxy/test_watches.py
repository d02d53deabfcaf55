"""Watches of many clients that are one at a member, over real sockets.

What is recorded of a member passes through (`test_golden`) but for what is better here: these
scenarios are named there, and what is better is tested below.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from etcdpy.proxy import group as groups
from tests.conformance.rawhttp import Head, Wire, WireError
from tests.harness.loop_thread import DEADLINE_S
from tests.harness.process import wait_until
from tests.http.server import ServerThread
from tests.proxy.serving import ProxyThread, ScriptedMember, read_head, url_of
from tests.proxy.test_relay import put

Pair = tuple[ServerThread, ProxyThread]


@contextmanager
def serving() -> Iterator[Pair]:
    with ServerThread() as server, ProxyThread([url_of(server.port)], proxy_coalesce=True) as proxy:
        yield server, proxy
        assert proxy.errors == []


def watch(
    stack: ExitStack, port: int, query: str = "", path: str = "/v2/keys/a", **fields: str
) -> Wire:
    """Open a watch."""
    wire = stack.enter_context(Wire(port))
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    wire.send("GET", f"{path}?wait=true{query}", headers, None, is_last=False)
    return wire


def begun(wire: Wire) -> Head:
    head = wire.read_head()
    assert head.status == 200, head
    return head


def index_of(chunk: bytes) -> int:
    found: int = json.loads(chunk)["node"]["modifiedIndex"]
    return found


def upstream_count(server: ServerThread) -> int:
    count: int = server.call(lambda: server.backend.tree.hub.count)
    return count


def test_many_watches_are_one_and_all_are_told() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        wires = [watch(stack, proxy.port) for _ in range(50)]
        wires += [watch(stack, proxy.port, "&stream=true") for _ in range(50)]
        heads = [begun(wire) for wire in wires]
        assert {head.headers["X-Etcd-Index"] for head in heads} == {"3"}
        wait_until(lambda: upstream_count(server) == 1, DEADLINE_S, "one watch at the member")
        put(proxy.port)
        assert {index_of(wire.read_chunk()) for wire in wires} == {4}
        assert all(wire.read_chunk() == b"" for wire in wires[:50])
        put(proxy.port)
        assert {index_of(wire.read_chunk()) for wire in wires[50:]} == {5}
        figures = proxy.members.figures
        assert (figures.shared_events_count, figures.shared_told_count) == (2, 150)


def test_a_long_poll_that_comes_back_misses_nothing() -> None:
    with serving() as (_, proxy), ExitStack() as stack:
        wire = watch(stack, proxy.port)
        begun(wire)
        for number in range(20):
            put(proxy.port, b"value=%d" % number)
        seen = [index_of(wire.read_chunk())]
        assert wire.read_chunk() == b""
        while seen[-1] < 23:
            path = f"/v2/keys/a?wait=true&waitIndex={seen[-1] + 1}"
            wire.send("GET", path, {}, None, is_last=False)
            head = begun(wire)
            assert int(head.headers["X-Etcd-Index"]) >= seen[-1] + 1
            seen.append(index_of(wire.read_chunk()))
            assert wire.read_chunk() == b""
        assert seen == list(range(4, 24))
        opened = proxy.members.figures.shared_opened_count
        assert opened <= 2 + 1  # the stream, and looks at the member that are a second apart


def test_a_watch_from_now_on_begins_at_the_members_index() -> None:
    """What was acknowledged before it came is not told to it, however late the stream is."""
    with serving() as (server, proxy), ExitStack() as stack:
        begun(watch(stack, proxy.port, "&stream=true"))
        for number in range(30):
            status, answer = put(server.port, b"value=%d" % number)
            assert status in (200, 201)
            wire = watch(stack, proxy.port, "&stream=true")
            assert int(begun(wire).headers["X-Etcd-Index"]) == index_of(answer)
        put(server.port, b"value=last")
        assert index_of(wire.read_chunk()) == 3 + 31


def test_a_past_that_the_member_knows_is_asked_once_for_all() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        for number in range(10):
            put(server.port, b"value=%d" % number)
        wires = [watch(stack, proxy.port, "&stream=true&waitIndex=7") for _ in range(20)]
        for wire in wires:
            assert begun(wire).headers["X-Etcd-Index"] == "13"
            assert [index_of(wire.read_chunk()) for _ in range(7)] == list(range(7, 14))
        assert index_of(watch_once(stack, proxy.port, 5)) == 5
        put(server.port)
        assert {index_of(wire.read_chunk()) for wire in wires} == {14}
        assert proxy.members.figures.shared_opened_count < 20
        wait_until(lambda: upstream_count(server) == 1, DEADLINE_S, "one watch at the member")


def watch_once(stack: ExitStack, port: int, since: int) -> bytes:
    wire = watch(stack, port, f"&waitIndex={since}")
    begun(wire)
    chunk = wire.read_chunk()
    assert wire.read_chunk() == b""
    return chunk


def test_a_past_that_the_member_has_forgotten_is_refused_in_its_words() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        with Wire(server.port) as direct:
            for number in range(1010):
                direct.send("PUT", "/v2/keys/b", {}, f"value={number}", is_last=False)
                head = direct.read_head()
                direct.read_body("PUT", head)
        answers = []
        for port in (server.port, proxy.port):
            wire = watch(stack, port, "&waitIndex=5")
            head = wire.read_head()
            body = wire.read_body("GET", head)
            answers.append((head.status, body, head.headers["X-Etcd-Index"]))
        assert answers[0] == answers[1]
        assert answers[0][0] == 400


def test_different_credentials_never_share() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        for value in ("Basic YTp4", "Basic Yjp4", ""):
            fields = {"Authorization": value} if value else {}
            begun(watch(stack, proxy.port, **fields))
        begun(watch(stack, proxy.port, Origin="http://a"))
        begun(watch(stack, proxy.port, "&recursive=true"))
        begun(watch(stack, proxy.port, path="/v2/keys/a/"))
        wait_until(lambda: upstream_count(server) == 6, DEADLINE_S, "six watches at the member")


REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: 1\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
ADMITTED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Etcd-Index: 7\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_who_lost_a_permission_can_open_no_more_watches() -> None:
    """Those that are open go on, as at a member; a new one is judged by a member within 1 s."""
    is_allowed = threading.Event()
    is_allowed.set()

    def judge(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ADMITTED if is_allowed.is_set() else REFUSED)
        connection.recv(1)

    with (
        ScriptedMember(judge) as member,
        ProxyThread([member.url], proxy_coalesce=True) as proxy,
        ExitStack() as stack,
    ):
        first = watch(stack, proxy.port, Authorization="Basic YTp4")
        begun(first)
        is_allowed.clear()
        second = watch(stack, proxy.port, Authorization="Basic YTp4")
        head = second.read_head()
        assert (head.status, second.read_body("GET", head)) == (401, b"{}")
        groups_of(proxy)[0]._admission.at_s -= groups.ADMISSION_S + 0.1  # type: ignore[union-attr]
        third = watch(stack, proxy.port, "&waitIndex=9", Authorization="Basic YTp4")
        assert third.read_head().status == 401
        first.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):  # it is open
            first.read_chunk()


def groups_of(proxy: ProxyThread) -> list[groups.Group]:
    assert proxy.server._watches is not None
    return list(proxy.server._watches._groups.values())


def test_when_its_member_dies_the_watch_goes_on_at_another_without_a_gap() -> None:
    """The events between the two are asked for; a client notices nothing."""
    with ExitStack() as stack:
        second = stack.enter_context(ServerThread())
        streams: list[socket.socket] = []

        def first_member(connection: socket.socket) -> None:
            """Admit a stream at index 3, tell event 4, and die when the test says so."""
            read_head(connection)
            head = ADMITTED.replace(b": 7", b": 3")
            event = b'{"action":"set","node":{"key":"/a","value":"0","modifiedIndex":4}}\n'
            connection.sendall(head + b"%x\r\n%b\r\n" % (len(event), event))
            streams.append(connection)
            connection.recv(1)

        dying = stack.enter_context(ScriptedMember(first_member))
        urls = [dying.url, url_of(second.port)]
        proxy = stack.enter_context(ProxyThread(urls, proxy_coalesce=True))
        wires = [watch(stack, proxy.port, "&stream=true") for _ in range(10)]
        for wire in wires:
            begun(wire)
        assert {index_of(wire.read_chunk()) for wire in wires if wire is wires[0]} == {4}
        for number in range(5):  # 4 to 8, of which the first was told already
            put(second.port, b"value=%d" % number)
        proxy.call(lambda: proxy.members.fail(proxy.members.available()[0], "test"))
        streams[0].shutdown(socket.SHUT_RDWR)
        for number in range(5, 8):
            put(second.port, b"value=%d" % number)
        assert [index_of(wires[0].read_chunk()) for _ in range(7)] == list(range(5, 12))
        assert proxy.members.figures.shared_cut_count == 0
        assert proxy.errors == []


def test_without_any_member_left_the_watches_are_cut() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        wires = [watch(stack, proxy.port, "&stream=true") for _ in range(10)]
        for wire in wires:
            begun(wire)
        server.stop()
        for wire in wires:
            with pytest.raises((WireError, ConnectionError)):  # and not the body's proper end
                wire.read_chunk()
        late = watch(stack, proxy.port)
        assert late.read_head().status in (502, 503)


def test_a_client_that_leaves_is_forgotten_and_the_watch_lingers_for_its_return() -> None:
    with serving() as (server, proxy), ExitStack() as stack:
        with Wire(proxy.port) as wire:
            wire.send("GET", "/v2/keys/a?wait=true", {}, None, is_last=False)
            begun(wire)
        wait_until(
            lambda: proxy.call(lambda: groups_of(proxy)[0].watchers_count) == 0,
            DEADLINE_S,
            "the client is forgotten",
        )
        assert upstream_count(server) == 1
        proxy.call(groups_of(proxy)[0].end)
        wait_until(lambda: upstream_count(server) == 0, DEADLINE_S, "the member's watch has ended")
        begun(watch(stack, proxy.port))


def test_a_stream_from_the_past_goes_on() -> None:
    """At a member it is told one event and is dead."""
    with serving() as (server, proxy), ExitStack() as stack:
        put(server.port)
        wire = watch(stack, proxy.port, "&stream=true&waitIndex=4")
        begun(wire)
        assert index_of(wire.read_chunk()) == 4
        put(server.port)
        assert index_of(wire.read_chunk()) == 5


def test_a_removal_is_told_once_to_a_stream() -> None:
    """A member tells it twice to who watches exactly that key."""
    with serving() as (server, proxy), ExitStack() as stack:
        put(server.port)
        wire = watch(stack, proxy.port, "&stream=true")
        begun(wire)
        with Wire(server.port) as direct:
            direct.send("DELETE", "/v2/keys/a", {}, None)
            direct.read_body("DELETE", direct.read_head())
        put(server.port)
        assert [index_of(wire.read_chunk()) for _ in range(2)] == [5, 6]


def test_what_no_member_knows_any_more_the_proxy_may_still_know() -> None:
    """A key that rests is not refused because others have changed a thousand times."""
    with serving() as (server, proxy), ExitStack() as stack:
        begun(watch(stack, proxy.port, "&stream=true"))
        with Wire(server.port) as direct:
            for number in range(1010):
                direct.send("PUT", "/v2/keys/b", {}, f"value={number}", is_last=False)
                direct.read_body("PUT", direct.read_head())
        wire = watch(stack, proxy.port, "&waitIndex=4")
        begun(wire)
        put(server.port)
        assert index_of(wire.read_chunk()) == 1014
