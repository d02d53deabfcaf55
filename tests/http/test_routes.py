"""Which face answers, and what is answered before any face."""

import pytest

from etcdpy.http import wire
from etcdpy.http.routes import Match, Routes
from etcdpy.http.tables import CLIENT_ROUTES, CLIENT_ROUTES_WITHOUT_V2, PEER_ROUTES
from etcdpy.http.target import TargetError
from etcdpy.http.wire import Response


def answer(method: str, raw: bytes, routes: Routes = CLIENT_ROUTES) -> Response:
    found = routes.resolve(method, raw)
    assert isinstance(found, Response)
    return found


@pytest.mark.parametrize(
    "raw",
    [b"/v2/keys", b"/v2/keys/", b"/v2/keys/a", b"/v2/keys/a/", b"/v2%2Fkeys/a", b"/v2/key%73"],
)
def test_keys_are_found(raw: bytes) -> None:
    match = CLIENT_ROUTES.resolve("PUT", raw + b"?x=1")
    assert isinstance(match, Match)
    assert match.route.handler is None
    assert match.raw_query == b"x=1"


@pytest.mark.parametrize(
    "raw",
    [
        b"/",
        b"/v2",
        b"/v2/",
        b"/v2/keysfoo",
        b"/V2/keys",
        b"/v2/Keys/a",
        b"/version/",
        b"/health/",
        b"/v2/machines/",
        b"/v2/stats",
        b"/v2/stats/",
        b"/v2/stats/self/",
        b"/v2/membersx",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "FOO"])
def test_other_paths_are_not_found(method: str, raw: bytes) -> None:
    assert answer(method, raw) is wire.NOT_FOUND


@pytest.mark.parametrize(
    ("raw", "allowed"),
    [
        (b"/v2/keys/a", b"HEAD,GET,PUT,POST,DELETE"),
        (b"/v2/members", b"GET,POST,DELETE,PUT"),
        (b"/v2/members/x/y", b"GET,POST,DELETE,PUT"),
        (b"/v2/machines", b"GET,HEAD"),
        (b"/version", b"GET"),
        (b"/health", b"GET"),
        (b"/v2/stats/self", b"GET"),
        (b"/v2/stats/leader", b"GET"),
        (b"/v2/stats/store", b"GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(raw: bytes, allowed: bytes) -> None:
    methods = allowed.decode().split(",")
    for method in ("HEAD", "GET", "PUT", "POST", "DELETE", "PATCH", "get", "TRACE"):
        found = CLIENT_ROUTES.resolve(method, raw)
        if method in methods:
            assert isinstance(found, Match)
            continue
        assert isinstance(found, Response)
        assert (found.status, found.body) == (405, b"Method Not Allowed\n")
        assert found.headers.startswith(b"Allow: %b\r\n" % allowed)


def test_options_is_answered_everywhere_before_anything_else() -> None:
    for raw in (b"/v2/keys/a", b"/nowhere", b"/v2/keys//a"):
        assert answer("OPTIONS", raw) == Response(200)
    assert answer("OPTIONS", b"*").is_bare
    assert answer("options", b"/v2/keys/a").status == 405
    assert answer("OPTIONS", b"/nowhere", PEER_ROUTES) is wire.NOT_FOUND


def test_unclean_paths_are_redirected_wherever_they_lead() -> None:
    found = answer("GET", b"/v2/keys//a?x=%20")
    assert found.status == 301
    assert b"Location: /v2/keys/a?x=%20\r\n" in found.headers
    assert found.body == b'<a href="/v2/keys/a?x=%20">Moved Permanently</a>.\n\n'
    assert answer("PUT", b"//x") == Response(301, b"Location: /x\r\n")
    head = answer("HEAD", b"//x")
    assert (head.body, head.is_length_hidden) == (b"", True)
    assert answer("CONNECT", b"/v2/keys//a").status == 405


def test_targets_that_cannot_be_are_left_to_the_caller() -> None:
    with pytest.raises(TargetError):
        CLIENT_ROUTES.resolve("GET", b"/%zz")
    with pytest.raises(TargetError):
        CLIENT_ROUTES.resolve("OPTIONS", b"/%zz")
    assert answer("GET", b"*") == Response(400, is_closing=True)


def test_without_v2_its_paths_do_not_exist() -> None:
    for raw in (b"/v2/keys/a", b"/v2/members", b"/v2/stats/self", b"/v2/machines"):
        assert answer("GET", raw, CLIENT_ROUTES_WITHOUT_V2) is wire.NOT_FOUND
    assert isinstance(CLIENT_ROUTES_WITHOUT_V2.resolve("GET", b"/version"), Match)
    assert isinstance(CLIENT_ROUTES_WITHOUT_V2.resolve("GET", b"/health"), Match)
