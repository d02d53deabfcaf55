"""What is counted of requests for keys, and which are worth a line.

Source: spec/observability.md section 4.
"""

import itertools
import logging
import re
from collections.abc import Iterator

import pytest

from etcdpy.http.traffic import SLOW_NS, Traffic
from tests.harness.client import Connection
from tests.http.server import ServerThread


@pytest.fixture
def server() -> Iterator[ServerThread]:
    with ServerThread() as running:
        yield running


def ask(server: ServerThread, *requests: tuple[str, str, dict[str, str] | None]) -> Traffic:
    """Send requests one after the other; return what was counted."""
    connection = Connection(f"http://127.0.0.1:{server.port}")
    try:
        for method, path, form in requests:
            connection.request(method, path, form)
    finally:
        connection.close()
    return server.backend.monitor.traffic


def test_what_is_answered_is_counted_and_timed_by_method(server: ServerThread) -> None:
    seen = ask(
        server,
        ("PUT", "/v2/keys/a", {"value": "1"}),
        ("GET", "/v2/keys/a", None),
        ("HEAD", "/v2/keys/a", None),
        ("GET", "/v2/keys/a?quorum=true", None),
        ("POST", "/v2/keys/q", {"value": "1"}),
        ("DELETE", "/v2/keys/a", None),
    )
    assert seen.received == dict.fromkeys(["GET", "HEAD", "PUT", "POST", "DELETE", "QGET"], 1)
    assert [sum(seen.durations[method].counts) for method in seen.received] == [1] * 6
    assert not seen.failed


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_clock_that_is_set_makes_no_request_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_fast: bool
) -> None:
    with ServerThread(is_fast=is_fast) as server:
        hours_ns = itertools.count(server.backend.now_ns(), 3_600 * 10**9)
        monkeypatch.setattr(server.backend, "now_ns", lambda: next(hours_ns))
        seen = ask(server, ("PUT", "/v2/keys/a", {"value": "1"}), ("GET", "/v2/keys/a", None))
        assert sum(seen.durations[method].total for method in ("PUT", "GET")) < SLOW_NS
    assert not [record for record in caplog.records if "took too long" in record.message]


def test_what_the_store_refuses_is_counted_by_status(server: ServerThread) -> None:
    seen = ask(
        server,
        ("GET", "/v2/keys/nope", None),
        ("GET", "/v2/keys/nope?quorum=true", None),
        ("PUT", "/v2/keys/a?prevExist=true", {"value": "1"}),
        ("DELETE", "/v2/keys/a", None),
    )
    assert dict(seen.failed) == {
        (404, "GET"): 1,
        (404, "QGET"): 1,
        (404, "PUT"): 1,
        (404, "DELETE"): 1,
    }
    assert (seen.received["GET"], sum(seen.durations["GET"].counts)) == (1, 0)


def test_what_is_no_request_is_not_counted(server: ServerThread) -> None:
    seen = ask(
        server,
        ("PUT", "/v2/keys/a?ttl=x", {"value": "1"}),
        ("GET", "/v2/keys/a?recursive=x", None),
        ("GET", "/version", None),
        ("GET", "/v2/stats/store", None),
    )
    assert not any(seen.received.values())
    assert not seen.failed


def test_watches_are_counted_apart_and_refused_ones_as_failures(server: ServerThread) -> None:
    put = [("PUT", "/v2/keys/a", {"value": "1"})] * 1100
    first = ("GET", "/v2/keys/a?wait=true&waitIndex=1100", None)
    cleared = ("GET", "/v2/keys/a?wait=true&waitIndex=1", None)
    seen = ask(server, *put, first, cleared)
    assert seen.watches_count == 2
    assert dict(seen.failed) == {(400, "GET"): 1}
    assert seen.received["GET"] == 0


def test_reads_of_whole_trees_are_counted(server: ServerThread) -> None:
    seen = ask(server, ("GET", "/v2/keys/?recursive=true", None), ("GET", "/v2/keys/", None))
    assert seen.recursive_reads_count == 1


def test_a_slow_request_is_said_once_a_second_with_how_many_there_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 100.0
    monkeypatch.setattr("etcdpy.http.traffic.time.monotonic", lambda: now_s)
    seen = Traffic()
    seen.succeeded("PUT", b"/v2/keys/a\n", SLOW_NS)
    assert not caplog.messages
    for _ in range(3):
        seen.succeeded("PUT", b"/v2/keys/a", SLOW_NS + 1_500_000_000)
    now_s += 1.5
    seen.succeeded("GET", b"/v2/keys/b\xff", SLOW_NS + 1)
    assert caplog.messages == [
        'request "method:PUT path:/v2/keys/a" took too long (2.5s) to execute',
        'request "method:GET path:/v2/keys/b\ufffd" took too long (1.000000001s) to execute,'
        " and 2 others before it",
    ]


@pytest.mark.parametrize(("level", "is_said"), [(logging.DEBUG, True), (logging.INFO, False)])
def test_each_request_is_said_to_who_wants_to_know_everything(
    server: ServerThread, caplog: pytest.LogCaptureFixture, level: int, is_said: bool
) -> None:
    with caplog.at_level(level, "etcdpy.http.app"):
        ask(server, ("GET", "/v2/keys/a?recursive=true", None))
    said = [text for text in caplog.messages if text.startswith("[GET] ")]
    assert len(said) == is_said
    for text in said:
        assert re.fullmatch(r"\[GET\] /v2/keys/a\?recursive=true remote:127\.0\.0\.1:\d+", text)
