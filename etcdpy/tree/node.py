"""Node: one element of the key tree, and the iterative ways over a subtree.

A node knows neither its name nor its parent: the name is the key in its parent's `children`, and
with no pointers upwards there are no cycles, so that reference counting alone frees a subtree.  A
million of them exist at once; a slot costs 8 bytes each.
"""

from collections.abc import Iterator

from etcdpy.errors import KEY_NOT_FOUND, NOT_A_DIRECTORY, EtcdError
from etcdpy.tree.event import NodeView, new_view
from etcdpy.tree.paths import ROOT

NS_PER_S = 1_000_000_000
TTL_S_MIN = -9_223_372_036  # a duration is a signed 64-bit count of nanoseconds
TTL_S_MAX = 9_223_372_037


#: A listing of more nodes is shown as a picture: rendered at once, these take a millisecond.
NODES_AT_ONCE_MAX = 500


class LargeListingError(Exception):
    """What would be shown is too much to be shown at once: a `Picture` shows it."""


class Node:
    """A file or a directory; a file if and only if `children` is None.

    `children` maps a component to its node.  A directory's `value` is empty.  `expiration_ns` is
    Unix time, None for a permanent node.
    """

    __slots__ = ("children", "created_index", "expiration_ns", "modified_index", "value")

    def __init__(
        self,
        value: bytes,
        children: "dict[bytes, Node] | None",
        index: int,
        expiration_ns: int | None = None,
    ) -> None:
        self.value = value
        self.children = children
        self.created_index = index
        self.modified_index = index
        self.expiration_ns = expiration_ns


def new_directory(index: int) -> Node:
    """Return a permanent empty directory, created at `index`."""
    return Node(b"", {}, index)


def ttl_s(expiration_ns: int | None, now_ns: int) -> int:
    """Return the seconds left, rounded up; 0 for a permanent node, negative when overdue.

    Source: spec/keys.md section 9 (the span saturates as a signed 64-bit number does).
    """
    if expiration_ns is None:
        return 0
    seconds = -((now_ns - expiration_ns) // NS_PER_S)
    return min(max(seconds, TTL_S_MIN), TTL_S_MAX)


def view(node: Node, path: bytes, now_ns: int, nodes: list[NodeView] | None = None) -> NodeView:
    """Return what a response shows of `node` at `path`, with `nodes` as its listing."""
    expiration_ns = node.expiration_ns
    is_dir = node.children is not None
    return new_view(
        (
            path,
            None if is_dir else node.value,
            is_dir,
            expiration_ns,
            0 if expiration_ns is None else ttl_s(expiration_ns, now_ns),
            nodes,
            node.modified_index,
            node.created_index,
        )
    )


def listing(
    node: Node, path: bytes, now_ns: int, *, is_recursive: bool, is_sorted: bool
) -> NodeView:
    """Return the view of `node` with its visible children, all levels of them if recursive.

    Iterative: each view is made with its still empty list, which is filled when its turn comes.
    """
    top, todo = _with_room(node, path, now_ns, is_sorted)
    work = [todo] if todo is not None else []
    while work:
        visible, nodes, prefix = work.pop()
        for name, child in visible:
            if is_recursive and child.children:
                shown, todo = _with_room(child, prefix + name, now_ns, is_sorted)
                if todo is not None:
                    work.append(todo)
            else:
                shown = view(child, prefix + name, now_ns)
            nodes.append(shown)
    return top


def refuse_large(directory: Node, nodes_max: int, *, is_recursive: bool) -> None:
    """Look at no more than `nodes_max` nodes.

    Raises: LargeListingError if a directory holds more.
    """
    count = 0
    todo = [directory.children or {}]
    while todo:
        children = todo.pop()
        count += len(children)
        if count > nodes_max:
            raise LargeListingError
        if is_recursive:
            todo.extend(child.children for child in children.values() if child.children)


# children yet to be shown, the list that they go to, the prefix of their paths
_Todo = tuple[list[tuple[bytes, Node]], list[NodeView], bytes]


def _with_room(
    node: Node, path: bytes, now_ns: int, is_sorted: bool
) -> tuple[NodeView, _Todo | None]:
    visible = [item for item in (node.children or {}).items() if item[0][:1] != b"_"]
    if not visible:
        return view(node, path, now_ns), None
    if is_sorted:
        visible.sort(key=_name_of_item)
    nodes: list[NodeView] = []
    return view(node, path, now_ns, nodes), (visible, nodes, path if path == b"/" else path + b"/")


def _name_of_item(item: tuple[bytes, Node]) -> bytes:
    return item[0]


def walk(top: Node, *, is_sorted: bool = False) -> Iterator[tuple[int, bytes, Node]]:
    """Yield depth, name and node of all below `top`, parents first; its children have depth 1.

    Lazy, so that it can be driven in slices; the subtree must not change meanwhile.
    """
    open_directories = [_children_of(top, is_sorted)]
    while open_directories:
        depth = len(open_directories)
        for name, node in open_directories[-1]:
            yield depth, name, node
            if node.children:
                open_directories.append(_children_of(node, is_sorted))
                break
        else:
            open_directories.pop()


def _children_of(node: Node, is_sorted: bool) -> Iterator[tuple[bytes, Node]]:
    items = (node.children or {}).items()
    return iter(sorted(items, key=_name_of_item) if is_sorted else items)


def walk_paths(top: Node, path: bytes) -> Iterator[tuple[bytes, Node]]:
    """Yield full path and node of all below `top`, which is at `path`; parents first."""
    prefix = path if path == b"/" else path + b"/"
    names: list[bytes] = []
    for depth, name, node in walk(top):
        del names[depth - 1 :]
        names.append(name)
        yield prefix + b"/".join(names), node


def descend(top: Node, path: bytes) -> tuple[Node, int, list[bytes]]:
    """Follow the full `path` from the root `top` as far as there are nodes.

    Returns the last node, how many names were followed, and the names; `path` was reached if
    these are as many.
    """
    names = path[1:].split(b"/") if path != ROOT else []
    node = top
    depth = 0
    for name in names:
        children = node.children
        child = None if children is None else children.get(name)
        if child is None:
            break
        node = child
        depth += 1
    return node, depth, names


def unreachable(node: Node, depth: int, names: list[bytes], index: int) -> EtcdError:
    """Return why `descend` stopped: a file in the way, or the first missing component."""
    if node.children is None:
        return EtcdError(NOT_A_DIRECTORY, b"/" + b"/".join(names[:depth]), index)
    return EtcdError(KEY_NOT_FOUND, b"/" + b"/".join(names[: depth + 1]), index)


def find_below(top: Node, names: list[bytes]) -> Node | None:
    """Return the node that `names` leads to from `top`, None if there is none."""
    node: Node | None = top
    for name in names:
        if node is None or node.children is None:
            return None
        node = node.children.get(name)
    return node


def detach(top: Node, names: list[bytes]) -> None:
    """Take away from below `top` the node that `names` leads to, which is there."""
    parent = find_below(top, names[:-1])
    assert parent is not None
    assert parent.children is not None
    del parent.children[names[-1]]


def graft(node: Node, names: list[bytes], index: int) -> Node:
    """Make below `node` the missing directories and, last, an empty file; return the file.

    None of `names`, of which there is at least one, exists yet.
    """
    for name in names[:-1]:
        directory = new_directory(index)
        assert node.children is not None
        node.children[name] = directory
        node = directory
    assert node.children is not None
    file = node.children[names[-1]] = Node(b"", None, index)
    return file


def find_difference(file: Node, prev_value: bytes | None, prev_index: int) -> bytes:
    """Compare a file with what was expected; None or empty, and 0, stand for anything.

    Returns what differs, as the API's cause shows it; nothing if all is as expected.
    """
    differences = []
    if prev_value and prev_value != file.value:
        differences.append(b"[%b != %b]" % (prev_value, file.value))
    if prev_index and prev_index != file.modified_index:
        differences.append(b"[%d != %d]" % (prev_index, file.modified_index))
    return b" ".join(differences)
