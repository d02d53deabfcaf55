"""/debug/vars and /config/local/log."""

import asyncio
import json

import pytest

from etcdpy.http.debug import get_vars, put_log_level
from etcdpy.http.tables import CLIENT_ROUTES
from etcdpy.http.wire import Request, Response
from tests.http.backend import TreeBackend
from tests.http.faces import ask

JSON = b"Content-Type: application/json\r\n"


def put(backend: TreeBackend, body: bytes, error: bytes = b"") -> Response:
    async def run() -> Response:
        request = Request("PUT", b"/config/local/log", body=body, body_error=error)
        return await put_log_level(backend, request)

    return asyncio.run(run())


def test_variables_stand_one_in_a_line() -> None:
    response = ask(get_vars, TreeBackend())
    assert response.headers == b"Content-Type: application/json; charset=utf-8\r\n"
    assert response.body == b'{\n"cmdline": ["etcdpy"],\n"raft.status": {"term":2}\n}\n'
    assert json.loads(response.body)["raft.status"]["term"] == 2


# What the real etcd answered to these bodies.
@pytest.mark.parametrize(
    ("body", "level"),
    [
        (b'{"Level":"DEBUG"}', "DEBUG"),
        (b'{"level":"d"}', "DEBUG"),
        (b'{"LEVEL":"warning"}', "WARNING"),
        (b'{"Level":"3"} and more', "INFO"),
        (b'{"Level":"0"}', "ERROR"),
        (b'{"Level":"foo","Level":"T"}', "TRACE"),
        (b'{"Level":"c","Level":null}', "CRITICAL"),
    ],
)
def test_a_level_is_taken_by_name_letter_or_digit(body: bytes, level: str) -> None:
    backend = TreeBackend()
    response = put(backend, body)
    assert (response.status, response.headers, response.body) == (204, b"", b"")
    assert backend.monitor.level == level


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Level":"foo"}', b"Invalid log level foo"),
        (b'{"Level":"WARN"}', b"Invalid log level WARN"),
        (b'{"Level":"-1"}', b"Invalid log level -1"),
        (b'{"Level":"<"}', b"Invalid log level \\u003c"),
        (b"{}", b"Invalid log level "),
        (b"null", b"Invalid log level "),
        (b'{"Level":null}', b"Invalid log level "),
        (b"x", b"Invalid json body"),
        (b"", b"Invalid json body"),
        (b"[]", b"Invalid json body"),
        (b'{"Level":5}', b"Invalid json body"),
    ],
)
def test_what_is_no_level_is_refused_and_changes_nothing(body: bytes, words: bytes) -> None:
    backend = TreeBackend()
    response = put(backend, body)
    assert (response.status, response.headers) == (400, JSON)
    assert response.body == b'{"message":"%b"}' % words
    assert backend.monitor.level == "INFO"


def test_a_body_that_does_not_come_whole_is_no_json() -> None:
    response = put(TreeBackend(), b"", b"unexpected EOF")
    assert (response.status, response.body) == (400, b'{"message":"Invalid json body"}')


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", b"/config/local/log", b"PUT"), ("HEAD", b"/debug/vars", b"GET")],
)
def test_another_method_is_told_which_one_there_is(
    method: str, path: bytes, allowed: bytes
) -> None:
    response = CLIENT_ROUTES.resolve(method, path)
    assert isinstance(response, Response)
    assert response.status == 405
    assert b"Allow: %b\r\n" % allowed in response.headers
