"""What the tree's hot operations cost; run by hand: `python -m tests.tree.measure`.

In processor time, so that a busy machine disturbs less.  The comments in etcdpy/tree that speak
of cost have their figures from here.
"""

import gc
import resource
import time
import timeit
from collections.abc import Callable
from typing import TypeVar

from etcdpy.tree.capture import rows
from etcdpy.tree.command import Command, CommandKind, apply, decode, encode
from etcdpy.tree.event import NodeView, new_view
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree

NOW_NS = 1_790_000_000 * 10**9
VALUE = b"x" * 256
KEYS_MAX = 1_000_000

T = TypeVar("T")


def microseconds(name: str, run: Callable[[], object], count: int = 100_000) -> None:
    best = min(timeit.repeat(run, timer=time.process_time, number=count, repeat=3)) / count
    print(f"{name:45} {best * 1e6:8.2f} us")


def seconds(name: str, run: Callable[[], T]) -> T:
    begin = time.process_time()
    result = run()
    print(f"{name:45} {time.process_time() - begin:8.2f} s")
    return result


def resident_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def operations() -> None:
    tree = Tree()
    key, new, ttl = b"/1/d/key", b"/1/d/new", b"/1/d/ttl"
    view = (key, VALUE, False, None, 0, None, 1, 1)
    microseconds("NodeView(*fields)", lambda: NodeView(*view))
    microseconds("new_view(fields)", lambda: new_view(view))
    microseconds("set, existing key", lambda: tree.set(key, value=VALUE, now_ns=NOW_NS))
    microseconds("get", lambda: tree.get(key, is_recursive=False, is_sorted=False, now_ns=NOW_NS))
    microseconds(
        "set with ttl, existing key",
        lambda: tree.set(ttl, value=VALUE, expiration_ns=NOW_NS + tree.index, now_ns=NOW_NS),
    )

    def create_and_delete() -> None:
        tree.create(new, value=VALUE, now_ns=NOW_NS)
        tree.delete(new, is_dir=False, is_recursive=False, now_ns=NOW_NS)

    microseconds("create and delete", create_and_delete)
    command = Command(CommandKind.SET, NOW_NS, key, VALUE)
    microseconds("apply of a set", lambda: apply(tree, command))
    microseconds("encode", lambda: encode(command))
    data = encode(command)
    microseconds("decode", lambda: decode(data))
    tree.watch(b"/1/else", is_recursive=True, is_stream=True, since=0)
    microseconds(
        "set, someone watches elsewhere", lambda: tree.set(key, value=VALUE, now_ns=NOW_NS)
    )


def watchers() -> None:
    tree = Tree()
    for _ in range(10_000):
        tree.watch(b"/1/a", is_recursive=False, is_stream=False, since=0)
    seconds("set that tells 10,000 watchers", lambda: tree.set(b"/1/a", now_ns=NOW_NS))


def expiries() -> None:
    tree = Tree()

    def fill() -> None:
        for number in range(100_000):
            path = b"/1/%d/%d" % (number % 100, number)
            tree.set(path, expiration_ns=NOW_NS + number % 977, now_ns=NOW_NS)

    seconds("100,000 sets with ttl", fill)
    seconds("100,000 expiries", lambda: tree.expire(NOW_NS + 1000, 100_000))


def million() -> None:
    before = resident_mb()
    tree = Tree()

    def fill() -> None:
        for number in range(KEYS_MAX):
            tree.set(
                b"/1/dir%d/key%d" % (number % 1000, number), value=b"%0100d" % number, now_ns=0
            )

    seconds("1,000,000 sets of 100-byte values", fill)
    print(f"{'resident, of that':45} {resident_mb() - before:8} MB")
    seconds("digest", tree.digest)
    given = seconds("rows", lambda: list(rows(tree)))
    seconds("restore", lambda: restore(given))
    given.clear()
    seconds(
        "recursive delete of everything",
        lambda: [
            tree.delete(b"/1/dir%d" % number, is_dir=True, is_recursive=True, now_ns=0)
            for number in range(1000)
        ],
    )


if __name__ == "__main__":
    gc.disable()
    operations()
    watchers()
    expiries()
    million()
