"""GET /v2/stats/*."""

import json

from etcdpy.http.stats import get_leader, get_self, get_store
from tests.http.backend import TreeBackend
from tests.http.faces import ask


def test_stats_are_json_without_newline_or_cluster_id() -> None:
    backend = TreeBackend()
    for handler in (get_self, get_leader, get_store):
        response = ask(handler, backend)
        assert response.status == 200
        assert response.headers == b"Content-Type: application/json\r\n"
        assert response.body.endswith(b"}")


def test_the_store_shows_its_counters() -> None:
    backend = TreeBackend()
    counted = json.loads(ask(get_store, backend).body)["getsFail"]
    backend.authority.is_enabled()
    counters = json.loads(ask(get_store, backend).body)
    assert counters["setsSuccess"] == 2
    assert counters["createSuccess"] == 1
    assert counters["getsFail"] == counted + 1
    assert list(counters)[-2:] == ["expireCount", "watchers"]


def test_only_the_leader_has_leader_stats() -> None:
    backend = TreeBackend()
    backend.has_leader = False
    response = ask(get_leader, backend)
    assert (response.status, response.body) == (403, b'{"message":"not current leader"}')
