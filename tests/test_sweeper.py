"""What a large removal leaves is swept without anybody's help, and clients are served meanwhile."""

import asyncio
from itertools import pairwise

from etcdpy.sweeper import SLICE_NODES, Sweeper
from etcdpy.tree.tree import Tree
from tests.harness.virtual_time import run_virtual


def test_a_large_removal_is_swept_in_slices() -> None:
    async def main() -> None:
        tree = Tree()
        sweeper = Sweeper(tree)
        for number in range(3 * SLICE_NODES):
            tree.set(b"/1/d/%d" % number, now_ns=0)
        sweeper.look()
        tree.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=0)
        left = [tree.usage.keys]
        sweeper.look()
        sweeper.look()
        while tree.usage.has_debris:
            await asyncio.sleep(0.001)
            left.append(tree.usage.keys)
        assert max(before - after for before, after in pairwise(left)) <= SLICE_NODES
        assert (tree.usage.keys, tree.usage.size_bytes) == (0, 0)

    run_virtual(main)


def test_a_sweeper_that_was_stopped_leaves_the_rest() -> None:
    async def main() -> None:
        tree = Tree()
        sweeper = Sweeper(tree)
        for number in range(1_000):
            tree.set(b"/1/d/%d" % number, now_ns=0)
        tree.delete(b"/1/d", is_dir=True, is_recursive=True, now_ns=0)
        sweeper.look()
        sweeper.stop()
        await asyncio.sleep(1)
        assert tree.usage.has_debris

    run_virtual(main)
