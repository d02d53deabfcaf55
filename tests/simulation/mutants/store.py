"""Defects of the store: what the disk is asked, in which order, and what is read back."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from etcdpy.consensus.messages import SnapshotMeta
from etcdpy.store import segments, wal
from etcdpy.store.record import EntryTuple, HardStateTuple
from etcdpy.store.segments import Tail
from etcdpy.store.snapshot_file import SnapshotWriter
from etcdpy.store.snapshots import Snapshots
from etcdpy.store.storage import Storage
from etcdpy.store.wal import Wal
from etcdpy.tree import capture
from etcdpy.tree.capture import Capture
from etcdpy.tree.snapshot import Row
from tests.simulation.member import SimulatedMember
from tests.simulation.mutants.harness import Patches, mutant


class _WithoutSync:
    """Files that skip some calls: `names` are those that do nothing."""

    def __init__(self, files: Any, names: Sequence[str]) -> None:
        self._files = files
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            return lambda *_: None
        return getattr(self._files, name)


@mutant("frame written and not synced")
def frame_not_synced(patches: Patches) -> None:
    before = Wal._write

    def write(self: Wal, kind: int, body: bytes) -> None:
        files = self._files
        self._files = _WithoutSync(files, ("fdatasync",))
        try:
            before(self, kind, body)
        finally:
            self._files = files

    patches.replace(Wal, "_write", write)


@mutant("new segment's name not synced")
def segment_name_not_synced(patches: Patches) -> None:
    before = segments.create_segment

    def create_segment(files: Any, directory: str, head: Any) -> Any:
        return before(_WithoutSync(files, ("fsync_dir",)), directory, head)

    patches.replace(wal, "create_segment", create_segment)


@mutant("WAL tail cut too far")
def tail_cut_too_far(patches: Patches) -> None:
    before = segments._read_tail

    def read_tail(path: str, data: bytes, salt: bytes, link: Any) -> Tail:
        tail = before(path, data, salt, link)
        if tail.cut is None or not tail.last_frame:
            return tail
        return before(path, data[: tail.link.end - len(tail.last_frame)], salt, link)

    patches.replace(segments, "_read_tail", read_tail)


@mutant("WAL tail not cut")
def tail_not_cut(patches: Patches) -> None:
    before = Wal.resume.__func__  # type: ignore[attr-defined]

    def resume(cls: Any, files: Any, *arguments: Any, **options: Any) -> Wal:
        resumed: Wal = before(cls, _WithoutSync(files, ("truncate",)), *arguments, **options)
        resumed._files = files
        return resumed

    patches.replace(Wal, "resume", classmethod(resume))


@mutant("vote forgotten at a restart")
def vote_forgotten(patches: Patches) -> None:
    before = Storage.recover.__func__  # type: ignore[attr-defined]

    def recover(cls: Any, *arguments: Any) -> Any:
        recovered = before(cls, *arguments)
        kept = recovered.storage
        kept._hard_state = kept._hard_state._replace(vote=0)
        return recovered

    patches.replace(Storage, "recover", classmethod(recover))


@mutant("hard state lost at the cut of a segment")
def hard_state_lost_at_cut(patches: Patches) -> None:
    before = segments.next_head

    def next_head(*arguments: Any) -> Any:
        head = before(*arguments)
        return head._replace(hard_state=(head.hard_state[0], 0, 0))

    patches.replace(wal, "next_head", next_head)


@mutant("hard state left out of the frame when there are entries")
def hard_state_left_out(patches: Patches) -> None:
    before = Wal.append

    def append(self: Wal, hard_state: HardStateTuple | None, entries: Sequence[EntryTuple]) -> None:
        before(self, None if entries else hard_state, entries)

    patches.replace(Wal, "append", append)


@mutant("frame goes on after an fsync that failed")
def failed_sync_ignored(patches: Patches) -> None:
    before = Wal._write

    class Deaf(_WithoutSync):
        def fdatasync(self, handle: int) -> None:
            with suppress(OSError):
                self._files.fdatasync(handle)

    def write(self: Wal, kind: int, body: bytes) -> None:
        files = self._files
        self._files = Deaf(files, ())
        try:
            before(self, kind, body)
        finally:
            self._files = files

    patches.replace(Wal, "_write", write)


@mutant("snapshot gets its name before its bytes are durable")
def snapshot_not_synced(patches: Patches) -> None:
    before = SnapshotWriter.finish

    def finish(self: SnapshotWriter) -> None:
        files = self._files
        self._files = _WithoutSync(files, ("fdatasync",))
        try:
            before(self)
        finally:
            self._files = files

    patches.replace(SnapshotWriter, "finish", finish)


@mutant("snapshot's name not synced")
def snapshot_name_not_synced(patches: Patches) -> None:
    before = SnapshotWriter.finish

    def finish(self: SnapshotWriter) -> None:
        files = self._files
        self._files = _WithoutSync(files, ("fsync_dir",))
        try:
            before(self)
        finally:
            self._files = files

    patches.replace(SnapshotWriter, "finish", finish)


@mutant("compaction and purge before the snapshot is durable")
def compaction_too_early(patches: Patches) -> None:
    before = SimulatedMember._end_capture

    def end_capture(self: SimulatedMember, rows: Capture) -> None:
        before(self, rows)
        if self.saving is not None:
            self.storage.snapshot_saved(self.saving)
            self.core.compact(max(self.storage.first_index() - 1, self.saving.index))
            self.storage.purge()

    patches.replace(SimulatedMember, "_end_capture", end_capture)


@mutant("purge removes a segment that the snapshot needs")
def purge_too_much(patches: Patches) -> None:
    before = Wal.purge

    def purge(self: Wal, snapshot_index: int, segments_max: int) -> list[str]:
        del snapshot_index
        return before(self, 1 << 60, min(segments_max, 1))

    patches.replace(Wal, "purge", purge)


@mutant("configuration left out of the snapshot file")
def conf_not_in_file(patches: Patches) -> None:
    before = Snapshots.begin

    def begin(self: Snapshots, meta: SnapshotMeta) -> Any:
        index, term, conf = meta
        voters, _ = conf
        return before(self, (index, term, (voters[:1], ())))

    patches.replace(Snapshots, "begin", begin)


@mutant("received snapshot in use before the log says so")
def received_not_marked(patches: Patches) -> None:
    def install(self: Storage[Any, Any, Any], meta: Any, hard_state: Any) -> None:
        del hard_state
        self._snapshots.adopt(meta)

    patches.replace(Storage, "install", install)


@mutant("snapshot lacks what changed while its rows were taken")
def changes_left_out(patches: Patches) -> None:
    def changes(self: Capture) -> Iterator[Row]:
        self._journal = self._tree.journal = []
        return iter(())

    patches.replace(Capture, "_changes", changes)


@mutant("snapshot keeps what was removed while its rows were taken")
def removals_left_out(patches: Patches) -> None:
    patches.replace(capture, "_REMOVALS", ())


@mutant("snapshot finished over a received one that took its tree's place")
def void_not_minded(patches: Patches) -> None:
    patches.replace(Capture, "is_void", property(lambda self: False))
