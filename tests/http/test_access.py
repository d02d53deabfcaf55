"""Origins and hosts: who may read answers, and by which names a member may be asked.

Source: spec/config.md sections 6 and 7.
"""

import pytest

from etcdpy.http import wire
from etcdpy.http.access import Access, make_access


def test_without_lists_nothing_is_looked_at() -> None:
    assert make_access(("*",), ("*",)) is None
    assert make_access(("*",), ("a",)) is not None


def test_an_origin_is_echoed_if_it_is_listed_exactly() -> None:
    access = Access(origins=("http://a:1", "https://b:2"))
    assert b"Access-Control-Allow-Origin: https://b:2\r\n" in access.cors_for("https://b:2")
    for other in ("", "http://a", "http://A:1", "http://a:1/", "null", "*"):
        assert access.cors_for(other) == b""


def test_any_origin_gets_the_star() -> None:
    assert Access(hosts=("a",)).cors_for("http://x:1") == wire.CORS


@pytest.mark.parametrize("host", ["a", "a:2379", "[::1]:1", "b.c:80"])
def test_a_listed_name_is_served(host: str) -> None:
    assert Access(hosts=("a", "b.c", "::1")).find_refusal(host) is None


@pytest.mark.parametrize("host", ["A", "a.evil.com", "evil.com:2379", "127.0.0.1", "", "[::1"])
def test_another_name_is_misdirected(host: str) -> None:
    refusal = Access(hosts=("a",)).find_refusal(host)
    assert refusal is not None
    assert refusal.status == 421
    assert refusal.is_bare


def test_the_refusal_names_the_host_in_etcds_words(caplog: pytest.LogCaptureFixture) -> None:
    refusal = Access(hosts=("a",)).find_refusal("evil.com:80")
    assert refusal is not None
    assert len(refusal.body) == 370
    assert b'etcd --host-whitelist "evil.com"\n' in refusal.body
    assert caplog.messages == [
        'rejecting HTTP request from "evil.com" to prevent DNS rebinding attacks'
    ]


def test_an_empty_list_serves_nobody_who_has_a_name() -> None:
    access = Access(hosts=("",))
    assert access.find_refusal("localhost:1") is not None
    assert access.find_refusal("") is None
