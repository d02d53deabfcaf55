"""Which endpoint is next.

Source: spec/cluster.md section 10; RFC 2782.
"""

import random
from collections import Counter

from etcdpy.gateway.endpoints import Endpoints
from etcdpy.srv import Record


def endpoints(*records: Record) -> Endpoints:
    return Endpoints(records, random.Random(7))


def picks(one: Endpoints, count: int) -> list[str]:
    found = [one.pick() for _ in range(count)]
    return [endpoint.record.target for endpoint in found if endpoint is not None]


A, B, C = Record("a", 1), Record("b", 2), Record("c", 3)


def test_without_weights_they_take_turns() -> None:
    assert picks(endpoints(A, B, C), 7) == [*"abcabca"]


def test_who_is_inactive_is_left_out_and_comes_back() -> None:
    one = endpoints(A, B, C)
    one.all[1].is_active = False
    assert one.inactive() == [one.all[1]]
    assert picks(one, 4) == [*"acac"]
    one.all[1].is_active = True
    assert Counter(picks(one, 300)) == {"a": 100, "b": 100, "c": 100}


def test_nobody_is_picked_where_all_are_inactive() -> None:
    one = endpoints(A)
    one.all[0].is_active = False
    assert one.pick() is None
    assert endpoints().pick() is None


def test_the_least_priority_counts_while_somebody_has_it() -> None:
    """With weights and without: etcd forgets it without."""
    one = endpoints(Record("a", 1, 5), Record("b", 1, 1), Record("c", 1, 1))
    assert picks(one, 4) == [*"bcbc"]
    for endpoint in one.all[1:]:
        endpoint.is_active = False
    assert picks(one, 2) == [*"aa"]


def test_weights_are_shares_of_the_connections() -> None:
    """Also where all weights are 1, where etcd takes the first only."""
    counts = Counter(picks(endpoints(Record("a", 1, 0, 1), Record("b", 1, 0, 3)), 4000))
    assert 2.7 < counts["b"] / counts["a"] < 3.3
    even = Counter(picks(endpoints(Record("a", 1, 0, 1), Record("b", 1, 0, 1)), 4000))
    assert 0.9 < even["b"] / even["a"] < 1.1


def test_one_without_a_weight_beside_others_is_taken_seldom() -> None:
    counts = Counter(picks(endpoints(Record("a", 1, 0, 10), B), 10_000))
    assert 50 < counts["b"] < 200
