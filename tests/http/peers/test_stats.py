"""Figures about peers.  Source: spec/observability.md sections 3.1 and 3.2."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http.peers.stats import (
    AWAITED_COUNT_MAX,
    RATE_SAMPLES_MAX,
    AppendStats,
    FollowerStats,
    Rate,
    RateWindow,
)


def test_a_rate_is_that_of_the_samples_between_first_and_last() -> None:
    window = RateWindow()
    for i in range(11):
        window.add(i / 100, 50)
    assert tuple(window.rate(0.2)) == pytest.approx((110, 5500))


def test_a_rate_forgets_all_but_the_last_samples() -> None:
    window = RateWindow()
    for i in range(1000):
        window.add(i / 1000, 1 if i >= 1000 - RATE_SAMPLES_MAX else 1000)
    assert window.rate(1.0).size_bytes == pytest.approx(RATE_SAMPLES_MAX / 0.199)


def test_a_rate_ends_when_nothing_comes() -> None:
    window = RateWindow()
    window.add(0.0, 1)
    window.add(0.5, 1)
    assert window.rate(1.5).messages > 0
    assert window.rate(1.51) == Rate(0.0, 0.0)
    window.add(9.0, 1)
    assert window.rate(9.0) == Rate(0.0, 0.0)  # one sample is no rate, and no infinite one


def test_appends_show_rates_only_while_there_are_any() -> None:
    stats = AppendStats()
    assert stats.render(0.0) == {"recvAppendRequestCnt": 0, "sendAppendRequestCnt": 0}
    stats.sent(1.0, 100)
    stats.sent(1.5, 100)
    stats.received(1.0, 10)
    assert list(stats.render(1.6)) == [
        "recvAppendRequestCnt",
        "sendAppendRequestCnt",
        "sendPkgRate",
        "sendBandwidthRate",
    ]
    shown = stats.render(1.6)
    assert shown["sendPkgRate"] == pytest.approx(4)
    assert shown["sendBandwidthRate"] == pytest.approx(400)
    assert stats.render(9.0) == {"recvAppendRequestCnt": 1, "sendAppendRequestCnt": 2}


def test_a_follower_never_heard_of_has_no_minimum() -> None:
    assert FollowerStats().render() == {
        "latency": {
            "current": 0.0,
            "average": 0.0,
            "standardDeviation": 0.0,
            "minimum": 9223372036854775808.0,
            "maximum": 0.0,
        },
        "counts": {"fail": 0, "success": 0},
    }


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=50))
def test_latencies_are_the_textbooks(latencies_ms: list[int]) -> None:
    stats = FollowerStats()
    for index, latency_ms in enumerate(latencies_ms, start=1):
        stats.append_sent(index, 100.0)
        stats.answered(index, 100.0 + latency_ms / 1000)
    latency = stats.render()["latency"]
    assert latency["current"] == pytest.approx(latencies_ms[-1], abs=1e-6)
    assert latency["average"] == pytest.approx(statistics.fmean(latencies_ms), abs=1e-6)
    deviation = statistics.pstdev(latencies_ms)
    assert math.isclose(latency["standardDeviation"], deviation, abs_tol=0.01)
    assert latency["minimum"] == pytest.approx(min(latencies_ms), abs=1e-6)
    assert latency["maximum"] == pytest.approx(max(latencies_ms), abs=1e-6)


def test_one_answer_may_answer_several_appends() -> None:
    stats = FollowerStats()
    for index in (1, 5, 9):
        stats.append_sent(index, float(index))
    stats.answered(5, 6.0)
    assert stats.succeeded_count == 2
    stats.answered(5, 7.0)
    assert stats.succeeded_count == 2


def test_an_empty_append_has_an_answer_of_its_own() -> None:
    stats = FollowerStats()
    stats.append_sent(5, 0.0)
    stats.append_sent(5, 2.0)
    stats.answered(5, 3.0)
    stats.answered(5, 4.0)
    latency = stats.render()["latency"]
    assert (latency["minimum"], latency["maximum"]) == (2000, 3000)


def test_what_is_awaited_is_bounded_and_lost_with_the_connection() -> None:
    stats = FollowerStats()
    for index in range(10_000):
        stats.append_sent(index, 0.0)
    stats.connection_lost()
    assert stats.failed_count == AWAITED_COUNT_MAX
    stats.answered(10_000, 1.0)
    assert stats.succeeded_count == 0
