"""Events and errors of the keys API as JSON, with the client's paths in place of the internal ones.

A file of its own because it is where camelCase exists, and because it must stay iterative: a tree
can be 10,000 levels deep.
Source: spec/keys.md section 8, spec/errors.md.
"""

from collections.abc import Iterable, Iterator

from etcdpy.errors import ERROR_TEXTS, EtcdError
from etcdpy.http.gojson.writer import format_time, is_plain, quote
from etcdpy.tree.event import (
    COMPARE_AND_DELETE,
    COMPARE_AND_SWAP,
    CREATE,
    DELETE,
    EXPIRE,
    GET,
    SET,
    UPDATE,
    Event,
    NodeView,
)
from etcdpy.tree.picture import Row

# Where the tree keeps the clients' keys; clients never see it.
KEYS_ROOT = b"/1"
_KEYS_ROOT_SIZE = len(KEYS_ROOT)

_ERROR_HEADS = {
    code: b'{"errorCode":%d,"message":%b,' % (code, quote(text.message.encode()))
    for code, text in ERROR_TEXTS.items()
}
_EVENT_HEADS = {
    action: b'{"action":"%b","node":' % action.encode()
    for action in (
        GET,
        SET,
        CREATE,
        UPDATE,
        COMPARE_AND_SWAP,
        DELETE,
        COMPARE_AND_DELETE,
        EXPIRE,
    )
}
_VALUE = b'{"action":"get","node":{"key":"%b","value":%b,"modifiedIndex":%d,"createdIndex":%d}}\n'
_FILE = b'{"key":%b,"value":%b,"modifiedIndex":%d,"createdIndex":%d}'
_PLAIN_FILE = b'{"key":"%b","value":"%b","modifiedIndex":%d,"createdIndex":%d}'
_REPLACED = b'%%b%b,"prevNode":%b}\n' % (_FILE, _FILE)
_ACTION_ONLY = b'{"action":"%b"}\n'


def render_event(event: Event) -> bytes:
    """Return the event's JSON object and its newline."""
    head = _EVENT_HEADS[event.action]
    prev_node = event.prev_node
    if prev_node is None:
        return b"%b%b}\n" % (head, render_node(event.node))
    if _is_permanent_file(event.node) and _is_permanent_file(prev_node):
        return _render_replaced(head, event.node, prev_node)
    return b'%b%b,"prevNode":%b}\n' % (head, render_node(event.node), render_node(prev_node))


def render_value(key: bytes, value: bytes, modified_index: int, created_index: int) -> bytes:
    """Return what `render_event` makes of the read of a permanent file.

    `key` is the client's, and of characters that JSON shows as they are.
    """
    return _VALUE % (key, quote(value), modified_index, created_index)


def render_action(event: Event) -> bytes:
    """Return the reply of a write with noValueOnSuccess."""
    return _ACTION_ONLY % event.action.encode()


def render_error(error: EtcdError) -> bytes:
    """Return the error's JSON object and its newline."""
    head = _ERROR_HEADS[error.code]
    cause = error.cause.removeprefix(KEYS_ROOT)
    if cause:
        return b'%b"cause":%b,"index":%d}\n' % (head, quote(cause), error.index)
    return b'%b"index":%d}\n' % (head, error.index)


def render_node(node: NodeView) -> bytes:
    """Return the node's JSON object, with all that it shows below it."""
    key, value, _, expiration_ns, _, _, modified_index, created_index = node
    if value is not None and expiration_ns is None:
        # A permanent file, the commonest node by far, in one go.
        name = key[_KEYS_ROOT_SIZE:]
        if is_plain(name + value):
            return _PLAIN_FILE % (name, value, modified_index, created_index)
        return _FILE % (quote(name), quote(value), modified_index, created_index)
    if not node.nodes:
        before, after = _head_of(node), _tail_of(node)
        return b"{%b%b%b}" % (before, b"," if before and after else b"", after)
    parts = [b'{%b,"nodes":[' % _head_of(node)]
    open_nodes = [(iter(node.nodes), node)]
    is_first = True
    while open_nodes:
        children, parent = open_nodes[-1]
        child = next(children, None)
        if child is None:
            open_nodes.pop()
            tail = _tail_of(parent)
            parts.append(b"],%b}" % tail if tail else b"]}")
            is_first = False
            continue
        if not is_first:
            parts.append(b",")
        if child.nodes:
            parts.append(b'{%b,"nodes":[' % _head_of(child))
            open_nodes.append((iter(child.nodes), child))
            is_first = True
        else:
            parts.append(render_node(child))
            is_first = False
    return b"".join(parts)


def _is_permanent_file(node: NodeView) -> bool:
    return node.value is not None and node.expiration_ns is None


def _render_replaced(head: bytes, node: NodeView, prev_node: NodeView) -> bytes:
    """Return the event of a file in the place of another, the commonest write, in one go."""
    key, value, _, _, _, _, modified_index, created_index = node
    _, prev_value, _, _, _, _, prev_modified_index, prev_created_index = prev_node
    assert value is not None
    assert prev_value is not None
    quoted = quote(key[_KEYS_ROOT_SIZE:])
    return _REPLACED % (
        head,
        quoted,
        quote(value),
        modified_index,
        created_index,
        quoted,
        quote(prev_value),
        prev_modified_index,
        prev_created_index,
    )


def render_rows(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield, piece by piece, the same bytes that `render_event` makes of a whole listing.

    An empty piece stands for work that has no bytes.
    """
    yield _EVENT_HEADS[GET]
    opened: list[NodeView] = []
    before = b""  # what stands between the last piece and a next node
    for shown, is_open in rows:
        if shown is None:
            if is_open:
                yield b""
                continue
            end = b"" if before is _BEFORE_FIRST else b"]"
            tail = _tail_of(opened.pop())
            yield b"%b,%b}" % (end, tail) if tail else b"%b}" % end
        elif is_open:
            yield b"%b{%b" % (before, _head_of(shown))
            opened.append(shown)
            before = _BEFORE_FIRST
            continue
        else:
            yield before + render_node(shown)
        before = b","
    yield b"}\n"


_BEFORE_FIRST = b',"nodes":['


def _head_of(node: NodeView) -> bytes:
    """Return the fields in front of `nodes`; never empty for a directory or a node with a key."""
    head = b""
    if len(node.key) > _KEYS_ROOT_SIZE:
        head = b'"key":%b' % quote(node.key[_KEYS_ROOT_SIZE:])
    if node.value is not None:
        head += b',"value":%b' % quote(node.value)
    if node.is_dir:
        head += b',"dir":true' if head else b'"dir":true'
    if node.expiration_ns is not None:
        head += b',"expiration":"%b"' % format_time(node.expiration_ns).encode()
        if node.ttl_s:
            head += b',"ttl":%d' % node.ttl_s
    return head


def _tail_of(node: NodeView) -> bytes:
    """Return the fields behind `nodes`; empty for the root only, whose indexes are 0."""
    if node.modified_index and node.created_index:
        return b'"modifiedIndex":%d,"createdIndex":%d' % (node.modified_index, node.created_index)
    fields = []
    if node.modified_index:
        fields.append(b'"modifiedIndex":%d' % node.modified_index)
    if node.created_index:
        fields.append(b'"createdIndex":%d' % node.created_index)
    return b",".join(fields)
