"""Listening sockets: one per address, and etcd's text where an address can't be had."""

import socket

import pytest

from etcdpy.errors import ConfigError
from etcdpy.listeners import close_listeners, listening_address, open_listeners


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def test_an_empty_host_stands_for_all_interfaces() -> None:
    (listener,) = open_listeners(["http://:0"])
    try:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    finally:
        close_listeners([listener])
