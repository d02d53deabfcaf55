"""Appending, cutting, purging; and the log's refusal to go on after its disk refused."""

import errno
import os

import pytest

from etcdpy.consensus.messages import HardState
from etcdpy.errors import FatalError
from etcdpy.store.record import BATCH, encode_frame
from etcdpy.store.replay import LogEnd
from etcdpy.store.segments import scan
from etcdpy.store.wal import Wal
from tests.store.helpers import entry, simulated
from tests.store.simulated_files import SimulatedFiles

WAL = "/wal"
STORE_ID = b"store"


def new_log(segment_bytes: int = 250, ahead_bytes: int = 0) -> tuple[SimulatedFiles, Wal]:
    files = simulated()
    files.mkdir(WAL)
    return files, Wal.create(
        files, WAL, STORE_ID, b"meta", segment_bytes=segment_bytes, ahead_bytes=ahead_bytes
    )


def fill(wal: Wal, count: int) -> None:
    """Append `count` frames of one entry, all but the last committed."""
    for _ in range(count):
        index = wal.end.index + 1
        wal.append(HardState(1, 1, index - 1), [entry(index, 1, 60)])


def refuse(files: SimulatedFiles, operation: str) -> None:
    def on_operation(name: str, path: str) -> None:
        if name == operation:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    files.on_operation = on_operation


def test_one_append_is_one_write_and_one_sync() -> None:
    files, wal = new_log()
    seen: list[str] = []
    files.on_operation = lambda name, _: seen.append(name)
    wal.append(HardState(1, 1, 1), [entry(1), entry(2), entry(3)])
    assert seen == ["write", "fdatasync"]


def test_frames_are_written_over_zeros_and_the_file_grows_seldom() -> None:
    files, wal = new_log(1000, ahead_bytes=300)
    path = f"{WAL}/{files.names(WAL)[0]}"
    sizes = []
    while wal.segment_count == 1:
        fill(wal, 1)
        data = files.peek(path)
        sizes.append(len(data))
        end = scan(files, WAL, STORE_ID).tail.link.end
        if wal.segment_count == 1:
            assert not any(data[end:])
            assert end <= len(data) <= max(end, 1000)
    assert len(set(sizes)) == 4
    assert len(sizes) > 8
    assert scan(files, WAL, STORE_ID).tail.cut is None


def test_a_log_goes_on_over_the_zeros_that_it_left() -> None:
    files, wal = new_log(1000, ahead_bytes=300)
    fill(wal, 1)
    path = f"{WAL}/{files.names(WAL)[0]}"
    for count in (1, 2):
        size = len(files.peek(path))
        wal.close()
        wal = Wal.resume(
            files, WAL, scan(files, WAL, STORE_ID), wal.end, segment_bytes=1000, ahead_bytes=300
        )
        fill(wal, 1)
        assert len(files.peek(path)) == size
        assert wal.end.index == 1 + count


def test_a_frame_that_is_made_durable_beside_is_the_same_and_counts_at_its_end() -> None:
    files, wal = new_log(10**6)
    others, other = new_log(10**6)
    path = f"{WAL}/{files.names(WAL)[0]}"
    for index in (1, 2):
        batch = HardState(1, 1, index - 1), [entry(index, 1, 60)]
        handle = wal.begin(*batch)
        assert handle is not None
        assert wal.end.index == index - 1
        files.fdatasync(handle)
        wal.end_begun(None)
        other.append(*batch)
        assert wal.end.index == other.end.index == index
    assert files.peek(path) == others.peek(path)


def test_a_frame_that_did_not_become_durable_is_the_last() -> None:
    files, wal = new_log(10**6)
    path = f"{WAL}/{files.names(WAL)[0]}"
    size = len(files.peek(path))
    wal.begin(None, [entry(1)])
    reason = rf"^cannot write \d+ bytes at offset {size} of {path}: no space left on device$"
    with pytest.raises(FatalError, match=reason):
        wal.end_begun(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(FatalError, match=reason):
        wal.begin(None, [entry(1)])
    assert wal.end.index == 0


def test_a_frame_that_needs_a_new_segment_is_not_begun() -> None:
    files, wal = new_log()
    fill(wal, 3)
    before = files.operation_count
    while wal.begin(None, [entry(wal.end.index + 1, 1, 60)]) is not None:
        wal.end_begun(None)
    assert wal.segment_count == 2
    assert files.operation_count == before + 1
    fill(wal, 1)
    assert wal.segment_count == 3


def test_what_raft_never_does_is_not_begun_either() -> None:
    _, wal = new_log()
    with pytest.raises(FatalError, match="will not write to the log"):
        wal.begin(None, [entry(3)])


def test_segments_are_cut_past_their_limit_and_named_by_their_first_entry() -> None:
    files, wal = new_log()
    fill(wal, 7)
    assert wal.segment_count == len(files.names(WAL)) == 4
    heads = [segment.head for segment in scan(files, WAL, STORE_ID).segments]
    assert [head.last_index for head in heads] == [0, 2, 4, 6]
    assert files.names(WAL)[1] == "0000000000000002-0000000000000003.segment"
    assert heads[-1].hard_state == (1, 1, 5)
    assert {head.metadata for head in heads} == {b"meta"}
    assert len({head.salt for head in heads}) == 4


@pytest.mark.parametrize("operation", ["write", "fdatasync"])
def test_nothing_is_tried_again_after_a_refusal(operation: str) -> None:
    files, wal = new_log(10**6)
    fill(wal, 2)
    path = f"{WAL}/{files.names(WAL)[0]}"
    size = len(files.peek(path))
    refuse(files, operation)
    reason = rf"^cannot write \d+ bytes at offset {size} of {path}: input/output error$"
    with pytest.raises(FatalError, match=reason):
        fill(wal, 1)
    files.on_operation = None
    before = files.operation_count
    for call in (
        lambda: fill(wal, 1),
        lambda: wal.install((2, 0, 9), 9, 2),
        lambda: wal.purge(1, 1),
    ):
        with pytest.raises(FatalError, match=reason):
            call()
    assert files.operation_count == before
    assert wal.end.index == 2


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "rename", "fsync_dir"])
def test_a_refused_cut_ends_the_log_and_loses_nothing(operation: str) -> None:
    files, wal = new_log()
    fill(wal, 2)
    refuse(files, operation)
    with pytest.raises(FatalError, match=r"cannot create a segment in /wal: input/output error"):
        fill(wal, 1)
    files.on_operation = None
    with pytest.raises(FatalError, match="cannot create a segment in"):
        fill(wal, 1)


def test_a_refused_creation_names_the_directory() -> None:
    files = simulated()
    with pytest.raises(FatalError, match=r"cannot create a write-ahead log in /wal: no such file"):
        Wal.create(files, WAL, STORE_ID, b"", segment_bytes=100)


@pytest.mark.parametrize("operation", ["unlink", "fsync_dir"])
def test_a_refused_purge_ends_the_log(operation: str) -> None:
    files, wal = new_log()
    fill(wal, 7)
    refuse(files, operation)
    with pytest.raises(FatalError, match=r"cannot remove /wal/0000000000000001-.*: input/output"):
        wal.purge(6, 1)


@pytest.mark.parametrize(
    ("snapshot_index", "segments_max", "left"),
    [(6, 1, 1), (6, 2, 2), (6, 4, 4), (6, 0, 4), (5, 1, 2), (3, 1, 3), (1, 1, 4), (0, 1, 4)],
)
def test_purge_keeps_what_the_snapshot_needs_and_as_many_as_asked(
    snapshot_index: int, segments_max: int, left: int
) -> None:
    files, wal = new_log()
    fill(wal, 7)
    names = files.names(WAL)
    removed = wal.purge(snapshot_index, segments_max)
    assert removed == [f"{WAL}/{name}" for name in names[: 4 - left]]
    assert files.names(WAL) == names[4 - left :]
    assert wal.segment_count == left


@pytest.mark.parametrize(
    ("hard_state", "entries"),
    [
        (None, [entry(5)]),
        (None, [entry(4), entry(6)]),
        (None, [entry(2)]),
        ((1, 2, 2), []),
        ((0, 0, 2), []),
        ((1, 1, 4), []),
    ],
)
def test_what_raft_never_does_is_refused_before_it_is_written(
    hard_state: tuple[int, int, int] | None, entries: list[tuple[int, int, int, bytes]]
) -> None:
    files, wal = new_log(10**6)
    fill(wal, 3)
    before = files.operation_count
    with pytest.raises(FatalError, match=r"^will not write to the log in /wal: "):
        wal.append(hard_state, entries)
    assert files.operation_count == before
    fill(wal, 1)


@pytest.mark.parametrize(
    ("hard_state", "index"),
    [((2, 0, 2), 2), ((2, 0, 8), 9), ((2, 0, 10), 9), ((0, 0, 9), 9), ((1, 2, 9), 9)],
)
def test_an_install_that_raft_never_does_is_refused(
    hard_state: tuple[int, int, int], index: int
) -> None:
    files, wal = new_log(10**6)
    fill(wal, 3)
    before = files.operation_count
    with pytest.raises(FatalError, match=f"^will not let the log in /wal begin anew .* {index}: "):
        wal.install(hard_state, index, 1)
    assert files.operation_count == before


def test_a_closed_log_refuses_and_closes_once() -> None:
    files, wal = new_log()
    wal.close()
    wal.close()
    with pytest.raises(FatalError, match="the write-ahead log is closed"):
        fill(wal, 1)
    assert files.names(WAL)


def test_a_refused_resume_names_the_segment() -> None:
    files, wal = new_log()
    fill(wal, 1)
    wal.close()
    found = scan(files, WAL, STORE_ID)
    refuse(files, "fdatasync")
    with pytest.raises(FatalError, match=r"cannot make durable /wal/.*: input/output error"):
        Wal.resume(files, WAL, found, LogEnd(1, 1, (1, 1, 0)), segment_bytes=300)


def test_a_whole_frame_that_makes_no_sense_is_not_taken_for_a_tear() -> None:
    files, wal = new_log()
    fill(wal, 1)
    wal.close()
    found = scan(files, WAL, STORE_ID)
    path, end = found.segments[0].path, found.tail.link.end
    frame, _ = encode_frame(found.segments[0].head.salt, BATCH, end, b"\x01")
    files.poke(path, files.peek(path) + frame)
    assert scan(files, WAL, STORE_ID).tail.cut is None
