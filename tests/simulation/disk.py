"""What a member does with its disk besides the log: start-up, and snapshots on their way.

Start-up is that of `etcdpy.startup.bootstrap` without its settings; the streaming of a snapshot is
that of the transport without its sockets.
"""

from collections.abc import Sequence

from etcdpy.consensus.membership import bootstrap_entries, bootstrap_hard_state
from etcdpy.consensus.messages import ConfChange, ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import FatalError
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import Files
from etcdpy.store.snapshot_file import PackedRows
from etcdpy.store.storage import Limits, Shapes, Storage
from etcdpy.tree import snapshot
from etcdpy.tree.tree import Tree

DATA_DIR = "/data"

SimulatedStorage = Storage[Entry, HardState, SnapshotMeta]

SHAPES = Shapes(
    entry=Entry,
    hard_state=HardState,
    snapshot_meta=lambda index, term, conf: SnapshotMeta(
        index, term, ConfState(tuple(conf[0]), tuple(conf[1]))
    ),
)


def open_store(
    files: Files, member_id: int, founders: Sequence[ConfChange], limits: Limits
) -> tuple[SimulatedStorage, Tree, SnapshotMeta]:
    """Return storage, tree and the tree's place in the log; found a store on an empty disk.

    Raises: FatalError if the disk can't be used, or is another member's.
    """
    name = b"%d" % member_id
    data_dir = DataDir.open(files, DATA_DIR)
    if data_dir.is_fresh:
        storage = Storage.create(data_dir, name, SHAPES, limits)
        if founders:
            entries = bootstrap_entries(list(founders))
            hard_state = bootstrap_hard_state(entries)
            storage.write(hard_state, entries)
            storage.stabilise(hard_state, entries)
        return storage, Tree(), SnapshotMeta()
    recovered = Storage.recover(data_dir, SHAPES, limits)
    if recovered.metadata != name:
        raise FatalError(f"the data is of member {recovered.metadata!r}")
    _, meta = recovered.storage.initial_state()
    tree = snapshot.restore(recovered.rows) if meta.index else Tree()
    return recovered.storage, tree, meta


def read_snapshot(storage: SimulatedStorage, meta: SnapshotMeta) -> list[PackedRows] | None:
    """Return the blocks of the newest snapshot if it is the one at `meta`, to be sent."""
    reader = storage.open_snapshot()
    if reader is None:
        return None
    with reader:
        if reader.meta[0] != meta.index:
            return None
        return list(reader.blocks())


def receive_snapshot(
    storage: SimulatedStorage, meta: SnapshotMeta, blocks: Sequence[PackedRows]
) -> None:
    """Store a snapshot that the leader streamed.  Raises: FatalError if the disk refused."""
    writer = storage.begin_received(meta)
    for block in blocks:
        writer.write_packed(block)
    writer.finish()
