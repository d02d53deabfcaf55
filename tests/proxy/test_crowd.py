"""A crowd of watchers at a coalescing proxy before a cluster of processes: told, and told again.

The benchmark `proxy` does the same with as many as the system allows.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.harness.cluster import Cluster
from tests.harness.process import Kind, Limits, Member, wait_until
from tests.harness.proxy import Proxy

COUNT = 1_000
DEADLINE_S = 60.0
KEY = "/v2/keys/watched"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(Kind.ETCDPY, tmp_path_factory.mktemp("cluster"), 3) as three:
        three.start()
        yield three


def watching(member: Member) -> int:
    return int(member.request("GET", "/v2/stats/store").json()["watchers"])


def receive(sockets: list[socket.socket], end: bytes) -> list[bytes]:
    """Return what each has got, up to its end."""
    got = []
    for one in sockets:
        data = b""
        while not data.endswith(end):
            part = one.recv(65536)
            assert part, "a watch was cut"
            data += part
        got.append(data)
    return got


def test_a_crowd_is_one_watch_and_survives_its_member(
    cluster: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    members = cluster.members
    limits = Limits(open_files=COUNT + 500)
    options = ("--proxy-coalesce", "--proxy-failure-wait", "500")
    with (
        Proxy(Kind.ETCDPY, tmp_path, members, *options, limits=limits) as proxy,
        ExitStack() as stack,
    ):
        proxy.start()
        wait_until(lambda: len(proxy.endpoints()) == 3, DEADLINE_S, "all members are known")
        before = psutil.Process(proxy.pid).memory_info().rss
        address = ("127.0.0.1", proxy.client_port)
        sockets = []
        for _ in range(COUNT):
            one = stack.enter_context(socket.create_connection(address, DEADLINE_S))
            one.sendall(f"GET {KEY}?wait=true&stream=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sockets.append(one)
        receive(sockets, b"\r\n\r\n")
        each = (psutil.Process(proxy.pid).memory_info().rss - before) / COUNT
        record_property("tally", f"{each / 1000:.1f} kB for each of {COUNT:,} watchers")
        watched = [member for member in members if watching(member)]
        assert [watching(member) for member in watched] == [1]

        proxy.request("PUT", KEY, {"value": "1"})
        told = receive(sockets, b"}\n\r\n")
        first = json.loads(told[0].split(b"\r\n")[1])["node"]["modifiedIndex"]
        assert len(set(told)) == 1

        watched[0].kill()
        writer = next(member for member in members if member.is_running)
        wait_until(lambda: is_written(writer), DEADLINE_S, "the others have a leader")
        told = receive(sockets, b"}\n\r\n")
        assert len({line.split(b"\r\n")[1] for line in told}) == 1
        second = json.loads(told[0].split(b"\r\n")[1])["node"]["modifiedIndex"]
        assert second > first
        watched[0].start()


def is_written(member: Member) -> bool:
    return member.request("PUT", KEY, {"value": "2"}, deadline_s=30.0).status == 200
