"""The director's rules, with moments as numbers."""

import random

from etcdpy.proxy.director import Director

URLS = ["http://a:1", "http://b:1", "http://c:1"]


def make(refresh_s: float = 30.0, seed: int = 1) -> Director:
    director = Director(5.0, refresh_s, random.Random(seed))
    director.refresh(URLS)
    return director


def urls(director: Director, now_s: float) -> list[str]:
    return [endpoint.url for endpoint in director.available(now_s)]


def test_the_order_is_drawn_at_a_refresh_and_kept() -> None:
    director = make()
    assert urls(director, 0.0) == urls(director, 100.0)
    assert sorted(urls(director, 0.0)) == URLS
    orders = set()
    for _ in range(50):
        director.refresh(URLS)
        orders.add(tuple(urls(director, 0.0)))
    assert len(orders) == 6


def test_a_failed_endpoint_is_left_alone_for_so_long() -> None:
    director = make()
    first = director.available(10.0)[0]
    assert director.fail(first, 10.0)
    assert first.url not in urls(director, 14.9)
    assert first.url in urls(director, 15.0)


def test_a_second_failure_does_not_prolong_the_first() -> None:
    director = make()
    first = director.available(10.0)[0]
    assert director.fail(first, 10.0)
    assert not director.fail(first, 14.0)
    assert first.url in urls(director, 15.0)
    assert director.fail(first, 15.0)


def test_a_refresh_forgets_failures() -> None:
    director = make()
    director.fail(director.available(0.0)[0], 0.0)
    director.refresh(URLS)
    assert len(urls(director, 0.0)) == 3


def test_without_endpoints_a_patient_proxy_hurries() -> None:
    director = make(30.0)
    assert director.refresh_delay_s(0.0) == 30.0
    for endpoint in director.available(0.0):
        director.fail(endpoint, 0.0)
    assert director.refresh_delay_s(1.0) == 1.0
    director.refresh(())
    assert director.refresh_delay_s(100.0) == 1.0


def test_an_impatient_proxy_keeps_its_interval_above_a_bound() -> None:
    director = make(29.9)
    director.refresh(())
    assert director.refresh_delay_s(0.0) == 29.9
    assert make(0.0).refresh_delay_s(0.0) == 0.1
