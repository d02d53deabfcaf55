"""Members' directories that do not recover to one state are found, and those that show none."""

from pathlib import Path

import pytest

from etcdpy.consensus.messages import ConfState, SnapshotMeta
from etcdpy.tree.capture import rows
from etcdpy.tree.tree import Tree
from tests.cluster.recovered import find_faults
from tests.startup.test_start_up import Start

NAMES = ("m1", "m2", "m3")
#: The only entry of each directory: the founder.
LAST = 1


@pytest.fixture
def directories(tmp_path: Path) -> dict[str, Path]:
    """Three directories with equal contents."""
    for name in NAMES:
        with Start(tmp_path / name):
            pass
    return {name: tmp_path / name / "data" for name in NAMES}


def save_another_state(directory: Path) -> None:
    tree = Tree()
    tree.set(b"/1/a", value=b"v", now_ns=0)
    with Start(directory.parent) as start:
        meta = SnapshotMeta(LAST, 1, ConfState((start.member_id,), ()))
        start.storage.save_snapshot(meta, rows(tree))
        start.storage.snapshot_saved(meta)


def test_equal_directories_are_no_fault(directories: dict[str, Path]) -> None:
    assert find_faults(directories, LAST) == []


def test_another_state_at_the_same_entry_is_found(directories: dict[str, Path]) -> None:
    save_another_state(directories["m2"])
    (fault,) = find_faults(directories, LAST)
    assert fault.startswith("digests differ after entry 1: ")


def test_an_entry_that_all_lack_alike_is_a_fault_of_each(directories: dict[str, Path]) -> None:
    assert find_faults(directories, LAST + 1) == [
        f"{name}: entry 2 is outside 0 to 1" for name in directories
    ]


def test_a_directory_that_only_has_a_later_state_is_found(directories: dict[str, Path]) -> None:
    save_another_state(directories["m3"])
    assert find_faults(directories, LAST - 1) == ["m3: entry 0 is outside 1 to 1"]
