"""Which snapshot a restart takes, what it does with the others, and when it refuses."""

import msgpack
import pytest

from etcdpy.consensus.messages import HardState, SnapshotMeta
from etcdpy.errors import FatalError
from etcdpy.store.notes import SnapshotSkipped
from etcdpy.store.record import BATCH, decode_segment_head, encode_frame, encode_segment_head
from etcdpy.store.storage import Limits
from tests.store.helpers import CONF, DATA, Member, entry, open_store, simulated, state_of

SNAPSHOTS = f"{DATA}/snapshots"
WAL = f"{DATA}/wal"
KEEP_ALL = Limits(segment_bytes=400, wals_max=0, snapshots_max=0)
PURGE = Limits(segment_bytes=400, wals_max=1, snapshots_max=0)


def with_snapshots(limits: Limits = KEEP_ALL) -> tuple[Member, list[str]]:
    """Return a stopped member with two snapshots, and their paths, older first."""
    member = Member(simulated(), limits)
    member.start()
    for _ in range(2):
        for _ in range(5):
            member.extend(2, size=60)
        member.snapshot()
        member.purge()
    member.extend(1)
    member.stop()
    paths = [f"{SNAPSHOTS}/{name}" for name in member.files.names(SNAPSHOTS)]
    assert len(paths) == 2
    return member, paths


def spoil(member: Member, path: str, position: int = -20) -> None:
    data = bytearray(member.files.peek(path))
    data[position] ^= 1
    member.files.poke(path, bytes(data))


def test_the_newest_snapshot_is_taken() -> None:
    member, _ = with_snapshots()
    member.start()
    assert member.storage.snapshot_meta() == SnapshotMeta(18, 1, CONF)
    assert member.notes == []


@pytest.mark.parametrize(("damaged", "index"), [(1, 8), (2, 0)])
def test_older_ones_take_the_place_of_damaged_ones_while_the_log_reaches_back(
    damaged: int, index: int
) -> None:
    member, paths = with_snapshots()
    for path in paths[2 - damaged :]:
        spoil(member, path)
    member.start()
    assert member.storage.snapshot_meta().index == index
    skipped = [note for note in member.notes if isinstance(note, SnapshotSkipped)]
    assert [note.found_path for note in skipped] == paths[::-1][:damaged]
    for note in skipped:
        assert note.path == note.found_path + ".broken"
        assert "damaged block at offset" in note.problem
        assert f"(kept as {note.path})" in str(note)
    member.stop()
    member.start()
    assert len(member.notes) == damaged, "said once"


def test_a_damaged_snapshot_without_the_log_before_it_stops_the_start() -> None:
    member, paths = with_snapshots(PURGE)
    spoil(member, paths[1])
    names = member.files.names(SNAPSHOTS)
    with pytest.raises(FatalError) as caught:
        open_store(member.files)
    text = str(caught.value)
    assert f"{paths[1]}: damaged block at offset " in text
    assert f"{paths[0]}: the log begins later, after entry 16" in text
    assert "\n" not in text
    assert member.files.names(SNAPSHOTS) == names, "nothing was changed"


def test_a_lost_snapshot_stops_the_start() -> None:
    member, paths = with_snapshots(PURGE)
    member.files.remove(paths[1])
    with pytest.raises(FatalError, match=r"after entry 16, and no snapshot joins it: .*begins lat"):
        open_store(member.files)


def test_a_snapshot_past_the_logs_end_says_that_the_log_lost_its_end() -> None:
    member, paths = with_snapshots()
    for name in member.files.names(WAL)[-2:]:
        member.files.remove(f"{WAL}/{name}")
    with pytest.raises(FatalError, match=f"before snapshot {paths[1]}: segments are missing"):
        open_store(member.files)


def test_a_snapshot_of_another_term_than_the_logs_stops_the_start() -> None:
    member, _ = with_snapshots()
    member.start()
    meta = SnapshotMeta(17, 7, CONF)
    writer = member.storage._snapshots.begin(meta)
    writer.finish()
    member.stop()
    newest = f"{SNAPSHOTS}/{1:016x}-{18:016x}.snapshot"
    spoil(member, newest)
    with pytest.raises(FatalError, match=r"0007-.*: the log has an entry of another term at "):
        open_store(member.files)


def test_a_file_under_another_snapshots_name_is_not_taken() -> None:
    member, paths = with_snapshots()
    member.files.poke(paths[1], member.files.peek(paths[0]))
    member.start()
    assert member.storage.snapshot_meta().index == 8
    assert "its name is not the one that its head asks for" in str(member.notes[0])


def test_unfinished_and_strange_files_are_cleared_and_noted() -> None:
    member, _ = with_snapshots()
    for name in ("a.snapshot.tmp", "b.tmp", "c.snapshot.broken", "README"):
        member.files.close(member.files.create(f"{SNAPSHOTS}/{name}"))
    member.start()
    assert [str(note) for note in member.notes] == [
        f"found {SNAPSHOTS}/README, which is not ours: ignored"
    ]
    assert not [name for name in member.files.names(SNAPSHOTS) if name.endswith(".tmp")]


def test_a_received_snapshot_that_was_not_installed_is_forgotten() -> None:
    member, paths = with_snapshots()
    member.start()
    writer = member.storage.begin_received(SnapshotMeta(40, 3, CONF))
    writer.write_rows(entry(index) for index in range(1, 41))
    writer.finish()
    member.stop()
    member.start()
    assert member.storage.snapshot_meta().index == 18
    (note,) = member.notes
    assert str(note).endswith("(removed): it had not yet replaced the log when the process ended")
    assert member.files.names(SNAPSHOTS) == [path.rpartition("/")[2] for path in paths]


def test_a_damaged_received_snapshot_that_was_installed_stops_the_start() -> None:
    member, _ = with_snapshots()
    member.start()
    member.install(20)
    member.stop()
    newest = f"{SNAPSHOTS}/{member.files.names(SNAPSHOTS)[-1]}"
    spoil(member, newest)
    with pytest.raises(FatalError, match=f"{newest}: damaged block at offset"):
        open_store(member.files)


def test_a_snapshot_proves_its_commit_index() -> None:
    """The commit index may be written later than the snapshot that followed it."""
    member = Member(simulated(), KEEP_ALL)
    member.start()
    member.append([entry(1), entry(2), entry(3)], HardState(1, 1, 0))
    meta = SnapshotMeta(2, 1, CONF)
    member.storage.save_snapshot(meta, member.state.entries[:2])
    member.stop()
    _, recovered = open_store(member.files, KEEP_ALL)
    assert recovered.storage.initial_state() == (HardState(1, 1, 2), meta)
    assert state_of(recovered).entries == member.state.entries


def test_a_log_cut_to_a_snapshot_with_its_commit_only_proven_reads_on() -> None:
    member = Member(simulated(), KEEP_ALL)
    member.start()
    member.append([entry(1, size=400), entry(2)], HardState(1, 1, 0))
    member.storage.save_snapshot(SnapshotMeta(2, 1, CONF), member.state.entries)
    member.stop()
    member.state = member.next_state = member.state._replace(hard_state=HardState(1, 1, 2))
    member.start()
    assert member.storage.segment_count == 1
    member.append([entry(3)])
    assert member.storage.segment_count == 2
    member.stop()
    member.start()
    assert member.storage.last_index() == 3


def test_whole_frames_that_do_not_add_up_stop_the_start() -> None:
    member, _ = with_snapshots()
    path = f"{WAL}/{member.files.names(WAL)[-1]}"
    data = member.files.peek(path).rstrip(b"\0")
    head, _ = decode_segment_head(data, path)
    for body, reason in (
        (msgpack.packb((None, [entry(100)])), "1 entries 100 to 100 leave a gap after entry 21"),
        (b"\xc1", "it is not msgpack"),
    ):
        frame, _ = encode_frame(head.salt, BATCH, len(data), body)
        member.files.poke(path, data + frame)
        with pytest.raises(FatalError) as caught:
            open_store(member.files)
        assert str(caught.value) == (
            f"{path}: the frame at offset {len(data)} is whole, but makes no sense: {reason}"
        )


def test_a_head_that_does_not_continue_the_log_stops_the_start() -> None:
    """Good bytes, good links, and still another log: only a program could have written that."""
    member = Member(simulated(), KEEP_ALL)
    member.start()
    member.extend(1, size=400)
    member.extend(1)
    member.stop()
    path = f"{WAL}/{member.files.names(WAL)[-1]}"
    head, _ = decode_segment_head(member.files.peek(path), path)
    member.files.poke(path, encode_segment_head(head._replace(last_term=9)))
    with pytest.raises(FatalError, match=f"{path}: its head does not continue the log at offset 0"):
        open_store(member.files)
