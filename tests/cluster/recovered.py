"""What the data directory of a stopped etcdpy member recovers to, up to a chosen entry of the log.

It takes the way of a restart, so that what two directories recover to can be compared at the same
applied index, whatever each of them holds beyond it.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from etcdpy.apply import Applications
from etcdpy.clustering.membership import apply_change
from etcdpy.consensus.messages import ConfChange
from etcdpy.settings.config import Config
from etcdpy.startup.bootstrap import StartUp, start_up
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles

_ALL_BYTES = 1 << 62


def find_faults(directories: Mapping[str, Path], applied: int) -> list[str]:
    """Return why members' directories don't all recover to one digest after the entry `applied`.

    One that cannot show that state is at fault, whatever the others show.
    """
    digests, faults = {}, []
    for name, path in directories.items():
        try:
            digests[name] = digest_at(path, applied)
        except LookupError as error:
            faults.append(f"{name}: {error}")
    if len(set(digests.values())) > 1:
        faults.append(f"digests differ after entry {applied}: {digests}")
    return faults


def digest_at(path: Path, applied: int) -> str:
    """Return the tree's digest in hex after the entry `applied`, which was committed.

    Raises: LookupError when the directory does not hold that entry, or only a later state.
    """
    data_dir = DataDir.open(OsFiles(), str(path))
    try:
        start = asyncio.run(start_up(Config(), data_dir))
        try:
            return _replay(start, applied)
        finally:
            start.storage.close()
    finally:
        data_dir.close()


def _replay(start: StartUp, applied: int) -> str:
    storage, tree = start.storage, start.tree

    def apply_conf_change(change: ConfChange) -> bool:
        return apply_change(tree, change, start.cluster_id) is None

    first, last = storage.snapshot_meta().index, storage.last_index()
    if not first <= applied <= last:
        raise LookupError(f"entry {applied} is outside {first} to {last}")
    applications = Applications(
        tree,
        member_id=start.member_id,
        boot=0,
        applied=first,
        on_conf_change=apply_conf_change,
        on_sync=lambda _: None,
    )
    if first < applied:
        applications.apply(storage.entries(first + 1, applied + 1, _ALL_BYTES))
    return tree.digest().hex()
