"""GET /health."""

from etcdpy.http.health import get_health
from tests.http.backend import TreeBackend
from tests.http.faces import ask

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


def test_healthy_is_a_string_without_a_newline() -> None:
    response = ask(get_health, TreeBackend())
    assert (response.status, response.headers) == (200, TEXT)
    assert response.body == b'{"health":"true"}'


def test_unhealthy_is_503_with_a_newline() -> None:
    backend = TreeBackend()
    backend.monitor.is_well = False
    response = ask(get_health, backend)
    assert (response.status, response.body) == (503, b'{"health":"false"}\n')
    assert response.headers == TEXT + b"X-Content-Type-Options: nosniff\r\n"
