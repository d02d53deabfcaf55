"""Listening sockets: one per address, and etcd's text where an address can't be had."""

import socket
from pathlib import Path

import pytest

from etcdpy.errors import ConfigError
from etcdpy.startup.listeners import close_listeners, listening_address, open_listeners
from tests.harness.ports import free_port


def test_one_socket_for_each_distinct_address() -> None:
    port = free_port()
    urls = [f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", "http://localhost:0"]
    listeners = open_listeners(urls)
    try:
        assert len(listeners) == 2
        assert listening_address(listeners[0]) == f"127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    finally:
        close_listeners(listeners)


def test_a_taken_port_is_named_and_nothing_stays_open() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = free_port()
        with pytest.raises(ConfigError) as refusal:
            open_listeners([f"http://127.0.0.1:{free}", f"http://127.0.0.1:{taken}"])
        message = f"listen tcp 127.0.0.1:{taken}: bind: address already in use"
        assert str(refusal.value) == message
        close_listeners(open_listeners([f"http://127.0.0.1:{free}"]))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="bind: cannot assign requested address"):
        open_listeners(["http://192.0.2.1:1"])


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]"])
def test_a_wildcard_stands_for_all_interfaces_of_both_families(host: str) -> None:
    (listener,) = open_listeners([f"http://{host}:0"])
    try:
        port = listener.socket.getsockname()[1]
        addresses = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        for address in addresses:
            with socket.create_connection((address, port), timeout=5):
                pass
    finally:
        close_listeners([listener])


@pytest.mark.parametrize("url", ["http://127.0.0.1:", "http://user:word@127.0.0.1:0?x=1"])
def test_what_else_a_url_may_have_is_no_part_of_the_address(url: str) -> None:
    (listener,) = open_listeners([url])
    try:
        assert listening_address(listener).startswith("127.0.0.1:")
    finally:
        close_listeners([listener])


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError) as refusal:
        open_listeners(["http://127.0.0.1:99999"])
    assert str(refusal.value) == "listen tcp: address 99999: invalid port"


def test_plain_and_tls_share_a_socket_unless_they_may_not() -> None:
    port = free_port()
    urls = [f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", "https://127.0.0.1:0"]
    shared, secure = listeners = open_listeners(urls)
    assert (shared.is_plain, shared.is_tls) == (True, True)
    assert (secure.is_plain, secure.is_tls) == (False, True)
    close_listeners(listeners)
    with pytest.raises(ConfigError, match="address already in use"):
        open_listeners(urls, is_shared=False)


def test_a_unix_socket_is_a_file_that_goes_with_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (listener,) = open_listeners(["unix://Sock:1", "unixs://Sock:1"])
    assert (listener.is_plain, listener.is_tls) == (True, True)
    assert listening_address(listener) == "Sock:1"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("Sock:1")
    close_listeners([listener])
    assert list(tmp_path.iterdir()) == []


def test_a_socket_left_behind_is_replaced_where_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind("a:1")
    with pytest.raises(ConfigError) as refusal:
        open_listeners(["unix://a:1"])
    assert str(refusal.value) == "listen unix a:1: bind: address already in use"
    close_listeners(open_listeners(["unix://a:1"], is_unix_replaced=True))
