"""Lists of URLs against each other, as texts and as addresses.

Source: spec/cluster.md section 2.
"""

import asyncio

import pytest

from etcdpy.startup import resolving
from etcdpy.startup.resolving import find_difference, resolve_deadline
from tests.harness.names import answer_with


def differ(one: list[str], other: list[str]) -> str:
    async def ask() -> str:
        return await find_difference(one, other, resolve_deadline())

    return asyncio.run(ask())


def test_equal_texts_in_another_order_are_equal_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answer_with(monkeypatch, {})
    assert not differ(["http://b.example:1", "http://a:2"], ["http://a:2", "http://b.example:1"])
    assert asked == []


def test_another_count_differs() -> None:
    assert differ(["http://a:1"], ["http://a:1", "http://b:1"]) == (
        'len(["http://a:1"]) != len(["http://a:1" "http://b:1"])'
    )


def test_a_name_equals_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, {"a.example": "10.0.0.1", "b.example": "10.0.0.2"})
    addresses = ["http://10.0.0.2:1", "http://10.0.0.1:1"]
    assert not differ(["http://a.example:1", "http://b.example:1"], addresses)


def test_an_address_of_version_six_is_written_in_brackets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_with(monkeypatch, {"a.example": "fd00::1"})
    assert not differ(["http://a.example:1"], ["http://[fd00::1]:1"])


def test_another_port_of_the_same_host_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, {"a.example": "10.0.0.1"})
    assert differ(["http://a.example:1"], ["http://10.0.0.1:2"]) == (
        'resolved urls: "http://10.0.0.1:1" != "http://10.0.0.1:2"'
    )


def test_localhost_and_addresses_are_never_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, {"localhost": "127.0.0.1"})
    assert differ(["http://localhost:1"], ["http://127.0.0.1:1"]) == (
        'resolved urls: "http://localhost:1" != "http://127.0.0.1:1"'
    )
    assert asked == []


def test_a_socket_in_the_file_system_is_never_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, {})
    assert differ(["unix://a:1"], ["unix://b:1"])
    assert asked == []


def test_a_name_that_comes_late_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resolving, "RETRY_S", 0.001)
    asked = answer_with(monkeypatch, {"a.example": "10.0.0.1"}, failures=2)
    assert not differ(["http://a.example:1"], ["http://10.0.0.1:1"])
    assert asked == ["a.example"] * 3
    assert caplog.messages[0] == (
        "failed resolving host a.example:1"
        " (lookup a.example: Name or service not known); retrying in 0.001s"
    )


def test_a_name_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "RETRY_S", 0.001)
    monkeypatch.setattr(resolving, "RESOLVE_DEADLINE_S", 0.01)
    asked = answer_with(monkeypatch, {})
    assert differ(["http://a.example:1"], ["http://10.0.0.1:1"]) == (
        'failed to resolve "http://a.example:1" (lookup a.example: Name or service not known)'
    )
    assert asked


def test_a_name_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_for_ever(self: object, *_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", wait_for_ever)
    monkeypatch.setattr(resolving, "RESOLVE_DEADLINE_S", 0.01)
    assert differ(["http://a.example:1"], ["http://10.0.0.1:1"]) == (
        'failed to resolve "http://a.example:1" (lookup a.example: i/o timeout)'
    )
