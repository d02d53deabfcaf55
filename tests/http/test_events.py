"""Events and errors as JSON: fields, their order, what is left out."""

import json

import pytest

from etcdpy import errors
from etcdpy.errors import EtcdError
from etcdpy.http.events import (
    render_action,
    render_error,
    render_event,
    render_node,
    render_rows,
)
from etcdpy.tree.event import Event, NodeView
from etcdpy.tree.picture import Picture
from etcdpy.tree.tree import Tree

EXPIRATION_NS = 1_795_223_807_443_294_856


def node(
    key: bytes = b"/1/a",
    value: bytes | None = b"1",
    *,
    is_dir: bool = False,
    expiration_ns: int | None = None,
    ttl_s: int = 0,
    nodes: list[NodeView] | None = None,
    index: int = 4,
) -> NodeView:
    return NodeView(key, value, is_dir, expiration_ns, ttl_s, nodes, index, index)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (node(), b'{"key":"/a","value":"1","modifiedIndex":4,"createdIndex":4}'),
        (node(value=b""), b'{"key":"/a","value":"","modifiedIndex":4,"createdIndex":4}'),
        (node(value=None), b'{"key":"/a","modifiedIndex":4,"createdIndex":4}'),
        (
            node(value=None, is_dir=True),
            b'{"key":"/a","dir":true,"modifiedIndex":4,"createdIndex":4}',
        ),
        (
            node(expiration_ns=EXPIRATION_NS, ttl_s=1),
            b'{"key":"/a","value":"1","expiration":"2026-11-21T01:16:47.443294856Z","ttl":1,'
            b'"modifiedIndex":4,"createdIndex":4}',
        ),
        (
            node(expiration_ns=EXPIRATION_NS, ttl_s=-35),
            b'{"key":"/a","value":"1","expiration":"2026-11-21T01:16:47.443294856Z","ttl":-35,'
            b'"modifiedIndex":4,"createdIndex":4}',
        ),
        (
            node(expiration_ns=EXPIRATION_NS),
            b'{"key":"/a","value":"1","expiration":"2026-11-21T01:16:47.443294856Z",'
            b'"modifiedIndex":4,"createdIndex":4}',
        ),
        (node(b"/1", None, is_dir=True, index=0), b'{"dir":true}'),
        (
            node(b"/1", None, is_dir=True, index=0, nodes=[node(), node(b"/1/b")]),
            b'{"dir":true,"nodes":[{"key":"/a","value":"1","modifiedIndex":4,"createdIndex":4},'
            b'{"key":"/b","value":"1","modifiedIndex":4,"createdIndex":4}]}',
        ),
        (
            node(value=None, is_dir=True, nodes=[]),
            b'{"key":"/a","dir":true,"modifiedIndex":4,"createdIndex":4}',
        ),
        (
            node(b"/1/x\xff<", b"\xfe"),
            b'{"key":"/x\\ufffd\\u003c","value":"\\ufffd","modifiedIndex":4,"createdIndex":4}',
        ),
    ],
)
def test_a_node_shows_its_fields_in_order(shown: NodeView, text: bytes) -> None:
    assert render_node(shown) == text


def test_nested_nodes_stand_behind_their_parents_fields() -> None:
    inner = node(b"/1/d/e", None, is_dir=True, nodes=[node(b"/1/d/e/f")], index=6)
    empty = node(b"/1/d/g", None, is_dir=True)
    top = node(
        b"/1/d", None, is_dir=True, expiration_ns=0, ttl_s=9, nodes=[inner, empty, inner], index=5
    )
    parsed = json.loads(render_node(top))
    assert list(parsed) == [
        "key",
        "dir",
        "expiration",
        "ttl",
        "nodes",
        "modifiedIndex",
        "createdIndex",
    ]
    assert [child["key"] for child in parsed["nodes"]] == ["/d/e", "/d/g", "/d/e"]
    assert parsed["nodes"][0]["nodes"][0]["key"] == "/d/e/f"
    assert "nodes" not in parsed["nodes"][1]
    assert parsed["modifiedIndex"] == 5


def test_10000_levels_are_rendered() -> None:
    view = node(b"/1/leaf")
    for _ in range(10_000):
        view = node(b"/1/d", None, is_dir=True, nodes=[view])
    text = render_node(view)
    assert text.count(b"[") == text.count(b"]") == 10_000
    assert text.endswith(b'],"modifiedIndex":4,"createdIndex":4}')


def test_an_event_has_a_previous_node_or_none() -> None:
    alone = render_event(Event("set", node(), None, 4))
    assert alone == b'{"action":"set","node":%b}\n' % render_node(node())
    both = render_event(Event("expire", node(value=None), node(), 5, is_refresh=True))
    assert both == b'{"action":"expire","node":%b,"prevNode":%b}\n' % (
        render_node(node(value=None)),
        render_node(node()),
    )
    assert render_action(Event("update", node(), node(), 5)) == b'{"action":"update"}\n'


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            EtcdError(errors.KEY_NOT_FOUND, b"/1/no", 3),
            b'{"errorCode":100,"message":"Key not found","cause":"/no","index":3}\n',
        ),
        (
            EtcdError(errors.ROOT_READ_ONLY, b"/", 3),
            b'{"errorCode":107,"message":"Root is read only","cause":"/","index":3}\n',
        ),
        (
            EtcdError(errors.NOT_A_FILE, b"/1", 12),
            b'{"errorCode":102,"message":"Not a file","index":12}\n',
        ),
        (
            EtcdError(errors.INVALID_FORM, b'invalid URL escape "%zz"'),
            b'{"errorCode":210,"message":"Invalid POST form",'
            b'"cause":"invalid URL escape \\"%zz\\"","index":0}\n',
        ),
    ],
)
def test_an_error_shows_its_cause_as_the_client_knows_it(error: EtcdError, text: bytes) -> None:
    assert render_error(error) == text


@pytest.mark.parametrize("code", errors.ERROR_TEXTS)
def test_every_code_is_rendered(code: int) -> None:
    parsed = json.loads(render_error(EtcdError(code, b"x", 1)))
    assert parsed["errorCode"] == code
    assert parsed["message"] == errors.ERROR_TEXTS[code].message


def test_a_picture_reads_like_the_listing_made_at_once() -> None:
    tree = Tree()
    expiration_ns = 1_900_000_000 * 10**9
    tree.set(b"/1/z", value=b"<v>", expiration_ns=expiration_ns, now_ns=0)
    tree.set(b"/1/d/e/f", value=b"1", now_ns=0)
    tree.set(b"/1/d/_hidden", value=b"1", now_ns=0)
    tree.set(b"/1/only/_hidden", value=b"1", now_ns=0)
    tree.set(b"/1/empty", is_dir=True, expiration_ns=expiration_ns, now_ns=0)
    for path in (b"/1", b"/1/d", b"/1/only", b"/1/empty"):
        for is_recursive in (False, True):
            event = tree.get(path, is_recursive=is_recursive, is_sorted=False, now_ns=0)
            picture = Picture(tree, path, is_recursive=is_recursive, is_sorted=False, now_ns=0)
            pieces = list(render_rows(picture.rows()))
            picture.close()
            assert json.loads(b"".join(pieces)) == json.loads(render_event(event))
            event = tree.get(path, is_recursive=is_recursive, is_sorted=True, now_ns=0)
            picture = Picture(tree, path, is_recursive=is_recursive, is_sorted=True, now_ns=0)
            assert b"".join(render_rows(picture.rows())) == render_event(event)
            picture.close()
