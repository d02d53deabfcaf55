"""What the handler uses of aiohttp's insides is there, in the version that is installed.

The bound in pyproject.toml is for the versions that have all of it; nobody promises that the next
one will.
"""

import ast
import asyncio
import inspect

import aiohttp
import pytest
from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from etcdpy.http import handler

#: Attributes of aiohttp's handler, which ours reads and sets.
ATTRIBUTES = {
    "_buffer_paused",
    "_lingering_time",
    "_loop",
    "_max_msg_queue_size",
    "_messages",
    "_parser",
    "_read_bufsize",
    "_reading_paused",
    "_request_count",
    "_waiter",
}
#: Methods of it that it calls itself, and ours replaces.
HOOKS = {
    "_make_error_handler",
    "_resume_transport_reading",
    "data_received",
    "handle_error",
    "pause_reading",
    "start",
}
#: What it reads of a request and of the end of a connection: what ours gives it, in that order.
FIELDS: dict[type, dict[str, object]] = {
    RawRequestMessage: {
        "method": "GET",
        "path": "/",
        "version": HttpVersion11,
        "headers": CIMultiDictProxy(CIMultiDict()),
        "raw_headers": (),
        "should_close": True,
        "compression": None,
        "upgrade": False,
        "chunked": True,
        "url": URL("/"),
    },
    _ErrInfo: {"status": 400, "exc": ValueError(), "message": ""},
}


def complaint(what: str) -> str:
    return f"aiohttp {aiohttp.__version__}: http/handler.py builds on {what}, which is not there"


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_an_attribute_is_there(name: str) -> None:
    async def main() -> None:
        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response()

        loop = asyncio.get_running_loop()
        plain = RequestHandler(web.Server(serve, loop=loop), loop=loop)
        assert hasattr(plain, name), complaint(f"RequestHandler.{name}")

    asyncio.run(main())


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_method_that_is_replaced_is_there(name: str) -> None:
    assert callable(getattr(RequestHandler, name, None)), complaint(f"RequestHandler.{name}()")
    assert name in vars(handler.Handler)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_a_value_has_its_fields_in_their_order(kind: type) -> None:
    value = kind(*FIELDS[kind].values())
    found = {name: getattr(value, name, None) for name in FIELDS[kind]}
    assert found == FIELDS[kind], complaint(f"these fields of {kind.__name__}")


def test_nothing_else_is_used() -> None:
    own = set(handler.Handler.__slots__) | set(vars(handler.Handler)) - HOOKS
    used = _private_names_of_self() - own - HOOKS
    assert used == ATTRIBUTES


def _private_names_of_self() -> set[str]:
    """Return the names that the handler asks itself for, and that nobody has promised."""
    tree = ast.parse(inspect.getsource(handler.Handler))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and node.attr.startswith("_")
    }
