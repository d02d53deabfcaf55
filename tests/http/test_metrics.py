"""/metrics, and what a listener for metrics only has."""

import asyncio
import gzip

import pytest

from etcdpy.http.metrics import get_metrics, is_gzip_accepted
from etcdpy.http.routes import Match
from etcdpy.http.tables import CLIENT_ROUTES, METRICS_ROUTES
from etcdpy.http.wire import Request, Response
from tests.http.backend import TreeBackend
from tests.http.faces import ask

TYPE = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"


def test_the_text_has_the_type_of_its_format() -> None:
    backend = TreeBackend()
    response = ask(get_metrics, backend)
    assert (response.status, response.headers) == (200, TYPE)
    assert response.body == backend.monitor.text


def test_the_text_is_compressed_for_who_accepts_it() -> None:
    backend = TreeBackend()

    async def get() -> Response:
        return await get_metrics(backend, Request("GET", b"/metrics", accept_encoding="gzip"))

    response = asyncio.run(get())
    assert response.headers == b"Content-Encoding: gzip\r\n" + TYPE
    assert gzip.decompress(response.body) == backend.monitor.text


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, gzip", True),
        ("gzip;q=1.0,*;q=0.5", True),
        ("identity", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_accepted_by_name(header: str, is_accepted: bool) -> None:
    assert is_gzip_accepted(header) == is_accepted


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_any_method_will_do(method: str) -> None:
    assert isinstance(CLIENT_ROUTES.resolve(method, b"/metrics"), Match)


@pytest.mark.parametrize("path", [b"/metrics", b"/health"])
def test_a_listener_for_metrics_tells_figures_and_health(path: bytes) -> None:
    assert isinstance(METRICS_ROUTES.resolve("GET", path), Match)


@pytest.mark.parametrize("path", [b"/v2/keys/a", b"/version", b"/debug/vars", b"/config/local/log"])
def test_a_listener_for_metrics_has_nothing_else(path: bytes) -> None:
    response = METRICS_ROUTES.resolve("GET", path)
    assert isinstance(response, Response)
    assert response.status == 404
