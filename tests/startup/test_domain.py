"""Founders as a domain names them: whose record is whose, and what is said where there is none.

Its refusals beside etcd's: tests/conformance/test_discovery_live.py.
Source: spec/cluster.md section 4.2.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from etcdpy import srv
from etcdpy.errors import ConfigError
from etcdpy.srv import NameLookupError, Record
from etcdpy.startup.domain import find_founders
from tests.harness.names import answer_with

HOSTS = {"m.ex.test": "127.0.0.1", "o.ex.test": "127.0.0.2", "p.ex.test": "127.0.0.3"}
OWN_URL = "http://m.ex.test:2380"
TLS, PLAIN = "etcd-server-ssl", "etcd-server"


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Record]]:
    """What the domain has, by service; the caller fills it."""
    found: dict[str, list[Record]] = {}

    async def find_records(service: str, domain: str) -> Sequence[Record]:
        if service not in found:
            raise NameLookupError(f"lookup _{service}._tcp.{domain} on s:53: no such host")
        return found[service]

    monkeypatch.setattr(srv, "find_records", find_records)
    answer_with(monkeypatch, HOSTS)
    return found


def find(*urls: str, name: str = "", is_member: bool = True) -> Mapping[str, tuple[str, ...]]:
    own = urls or (OWN_URL,)
    return asyncio.run(find_founders("ex.test", name, "m", own, is_member=is_member))


def refusal(*urls: str) -> str:
    with pytest.raises(ConfigError) as refused:
        find(*urls)
    return str(refused.value).removeprefix("error setting up initial cluster: ")


def test_the_record_that_leads_here_has_our_name(
    records: dict[str, list[Record]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    records[PLAIN] = [Record("o.ex.test.", 2380), Record("m.ex.test.", 2380)]
    assert find() == {"0": ("http://o.ex.test:2380",), "m": ("http://m.ex.test:2380",)}
    assert caplog.messages == [
        "got bootstrap from DNS for etcd-server at 0=http://o.ex.test:2380",
        "got bootstrap from DNS for etcd-server at m=http://m.ex.test:2380",
    ]


def test_it_is_found_by_address_and_port(records: dict[str, list[Record]]) -> None:
    records[PLAIN] = [Record("m.ex.test.", 2380), Record("m.ex.test.", 2381)]
    assert find("http://127.0.0.1:2381")["m"] == ("http://m.ex.test:2381",)


def test_records_of_both_kinds_count_and_are_numbered_on(records: dict[str, list[Record]]) -> None:
    records[TLS] = [Record("o.ex.test.", 1)]
    records[PLAIN] = [Record("p.ex.test.", 2), Record("m.ex.test.", 2380)]
    assert find() == {
        "0": ("https://o.ex.test:1",),
        "1": ("http://p.ex.test:2",),
        "m": (OWN_URL,),
    }


def test_a_service_may_have_a_name(records: dict[str, list[Record]]) -> None:
    records[f"{PLAIN}-x"] = [Record("m.ex.test.", 2380)]
    assert [*find(name="x")] == ["m"]


def test_a_target_without_an_address_is_left_out(records: dict[str, list[Record]]) -> None:
    records[PLAIN] = [Record("gone.ex.test.", 1), Record("m.ex.test.", 2380)]
    assert [*find()] == ["m"]


def test_who_is_no_member_need_not_be_there(records: dict[str, list[Record]]) -> None:
    records[PLAIN] = [Record("o.ex.test.", 1)]
    assert [*find(is_member=False)] == ["0"]
    assert refusal() == 'cannot find local etcd member "m" in SRV records'


def test_of_two_reasons_the_one_that_was_found_is_said(records: dict[str, list[Record]]) -> None:
    """That there are no records for https is no news where there are some for http."""
    absent = "lookup _etcd-server-ssl._tcp.ex.test on s:53: no such host"
    assert refusal() == f"error querying DNS SRV records for _etcd-server-ssl {absent}"
    records[PLAIN] = [Record("m.ex.test.", 2380)]
    assert refusal("https://m.ex.test:2380") == (
        "error querying DNS SRV records for _etcd-server bootstrap at http://m.ex.test:2380 from"
        " DNS for etcd-server has scheme mismatch with expected peer https://m.ex.test:2380"
    )
