"""SRV records: their names, their order, and a real name server's answers.

Source: RFC 2782; spec/cluster.md sections 4.2 and 10.
"""

import asyncio
import random
import socket
from collections import Counter
from pathlib import Path

import pytest
from dns.asyncresolver import Resolver

from etcdpy import srv
from etcdpy.srv import NameLookupError, Record, order_records, service_of
from tests.harness.dns import NameServer
from tests.harness.names import answer_with


@pytest.mark.parametrize(
    ("name", "is_tls", "service"),
    [
        ("", False, "etcd-server"),
        ("", True, "etcd-server-ssl"),
        ("x", False, "etcd-server-x"),
        ("x", True, "etcd-server-ssl-x"),
    ],
)
def test_a_service_has_its_kind_and_then_its_name(name: str, is_tls: bool, service: str) -> None:
    assert service_of("etcd-server", name, is_tls=is_tls) == service


def test_records_come_by_priority() -> None:
    records = [Record("c.", 1, 20, 9), Record("a.", 1, 0, 0), Record("b.", 1, 10, 1)]
    ordered = order_records(records, random.Random(1))
    assert [record.target for record in ordered] == ["a.", "b.", "c."]


def test_weights_say_how_often_a_record_comes_first() -> None:
    records = [Record("a.", 1, 0, 1), Record("b.", 1, 0, 3), Record("c.", 1, 0, 0)]
    chance = random.Random(1)
    first = Counter(order_records(records, chance)[0].target for _ in range(4000))
    assert 2.5 < first["b."] / first["a."] < 3.6
    assert first["c."] == 0  # etcd's Go does not begin with it either


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NameServer:
    """A name server, which this process asks for records, and no other."""
    server = NameServer(tmp_path)

    def ask_it() -> Resolver:
        resolver = Resolver(configure=False)
        resolver.nameservers = [server.address]
        return resolver

    monkeypatch.setattr(srv, "_system_resolver", ask_it)
    return server


def test_records_are_found(names: NameServer) -> None:
    names.add("_x._tcp.ex.test", "SRV", "1 2 3 b.ex.test.", "0 0 65535 a.ex.test.")
    with names:
        found = asyncio.run(srv.find_records("x", "ex.test"))
    assert found == [Record("a.ex.test.", 65535), Record("b.ex.test.", 3, 1, 2)]


def test_an_answer_that_is_no_datagram_is_found_too(names: NameServer) -> None:
    for number in range(100):
        names.add("_x._tcp.ex.test", "SRV", f"{number} 0 {number + 1} host-{number}.ex.test.")
    with names:
        found = asyncio.run(srv.find_records("x", "ex.test"))
    assert [record.port for record in found] == [*range(1, 101)]
    assert len(names.asked) == 2


@pytest.mark.parametrize(
    ("record", "failing", "reason"),
    [
        (None, "", "no such host"),
        ("A", "", "no such host"),
        ("SRV", "SRV", "server misbehaving"),
    ],
)
def test_records_that_are_not_found_are_said_in_gos_words(
    names: NameServer, record: str | None, failing: str, reason: str
) -> None:
    values = {"A": "127.0.0.1", "SRV": "0 0 1 a."}
    if record:
        names.add("_x._tcp.ex.test", record, values[record])
    names.failing.add(failing)
    with names, pytest.raises(NameLookupError) as refused:
        asyncio.run(srv.find_records("x", "ex.test"))
    assert str(refused.value) == f"lookup _x._tcp.ex.test on {names.address}:53: {reason}"


def test_a_server_that_does_not_answer_is_given_up(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens, and reads nothing."""
    monkeypatch.setattr(srv, "LOOKUP_S", 0.2)
    with pytest.raises(NameLookupError, match="i/o timeout"):
        asyncio.run(srv.find_records("x", "ex.test"))
    names.close()


def test_addresses_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, {"a.ex.test": "127.0.0.7"})
    assert asyncio.run(srv.find_addresses("a.ex.test.")) == ["127.0.0.7"]
    assert asyncio.run(srv.find_addresses("::1")) == ["::1"]
    assert asked == ["a.ex.test"]
    with pytest.raises(NameLookupError, match=r"^lookup b\.ex\.test\. on \S+:53: no such host$"):
        asyncio.run(srv.find_addresses("b.ex.test."))


def test_ipv4_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(self: object, host: str, port: object, **_: object) -> list[object]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::7", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.7", 0)),
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    assert asyncio.run(srv.find_addresses("a")) == ["127.0.0.7", "::7"]
