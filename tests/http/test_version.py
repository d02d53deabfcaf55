"""GET /version."""

import pytest

from etcdpy.http.version import get_version
from tests.http.backend import TreeBackend
from tests.http.faces import ask


def test_both_versions_without_a_newline() -> None:
    response = ask(get_version, TreeBackend())
    assert response.headers == b"Content-Type: application/json\r\n"
    assert response.body == b'{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}'


def test_a_cluster_that_has_not_agreed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TreeBackend, "cluster_version", None)
    response = ask(get_version, TreeBackend())
    assert response.body == b'{"etcdserver":"3.4.23","etcdcluster":"not_decided"}'
