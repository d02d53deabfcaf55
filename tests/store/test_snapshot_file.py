"""One snapshot file: in slices out, in blocks back, and no byte of it taken on trust."""

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import ContentError, FatalError
from etcdpy.store import snapshot_file
from etcdpy.store.snapshot_file import (
    Damage,
    MetaTuple,
    PackedRows,
    SnapshotReader,
    SnapshotWriter,
)
from tests.store.helpers import simulated
from tests.store.simulated_files import SimulatedFiles

PATH = "/snapshot"
STORE_ID = b"store"
META: MetaTuple = (7, 3, ((1, 2), (3,)))
Row = tuple[Any, ...]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_file, "BLOCK_BYTES", 40)
    monkeypatch.setattr(snapshot_file, "UNSYNCED_BYTES_MAX", 100)


def rows_of(count: int) -> list[Row]:
    return [(b"/key%d" % number, number, None, b"v" * 10, "text") for number in range(count)]


def written(rows: list[Row]) -> SimulatedFiles:
    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows(rows)
    writer.finish()
    return files


def read(files: SimulatedFiles) -> list[Row]:
    with SnapshotReader(files, PATH, STORE_ID) as reader:
        assert reader.meta == META
        assert reader.size_bytes == len(files.peek(PATH))
        return list(reader.rows())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_rows_come_back(count: int) -> None:
    assert read(written(rows_of(count))) == rows_of(count)


values = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text()


@given(st.lists(st.lists(values, max_size=4).map(tuple), max_size=30), st.integers(1, 100))
def test_rows_of_any_shape_come_back(rows: list[Row], block_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_file, "BLOCK_BYTES", block_bytes)
        assert read(written(rows)) == rows


@pytest.mark.usefixtures("small_blocks")
def test_a_file_written_in_slices_is_the_same() -> None:
    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    sizes = []
    for row in rows_of(20):
        writer.write_rows([row])
        sizes.append(writer.written_bytes)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    assert files.names("/") == ["snapshot.tmp"], "it has no name before it is whole"
    writer.finish()
    assert files.names("/") == ["snapshot"]
    assert files.peek(PATH) == written(rows_of(20)).peek(PATH)


@pytest.mark.usefixtures("small_blocks")
def test_packed_blocks_make_the_same_rows_at_a_receiver() -> None:
    files = written(rows_of(20))
    other = simulated(1)
    writer = SnapshotWriter(other, PATH, b"other", META)
    with SnapshotReader(files, PATH, STORE_ID) as reader:
        for block in reader.blocks():
            writer.write_packed(block)
    writer.finish()
    with SnapshotReader(other, PATH, b"other") as reader:
        assert list(reader.rows()) == rows_of(20)


def test_rows_and_packed_rows_keep_their_order() -> None:
    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows([(1,)])
    writer.write_packed(PackedRows(2, msgpack.packb((2,)) + msgpack.packb((3,))))
    writer.write_rows([(4,)])
    writer.finish()
    assert read(files) == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize(
    ("count", "data", "reason"),
    [
        (2, msgpack.packb((1,)), "not 2 packed rows"),
        (1, msgpack.packb((1,)) * 2, "more than 1 packed rows"),
        (1, b"\xc1", "not 1 packed rows"),
        (1, b"", "not 1 packed rows"),
        (0, b"\x01", "more than 0 packed rows"),
    ],
)
def test_what_is_not_whole_rows_is_not_taken(count: int, data: bytes, reason: str) -> None:
    writer = SnapshotWriter(simulated(), PATH, STORE_ID, META)
    with pytest.raises(ValueError, match=reason):
        writer.write_packed(PackedRows(count, data))


@pytest.mark.usefixtures("small_blocks")
def test_every_flipped_byte_is_found() -> None:
    files = written(rows_of(6))
    data = files.peek(PATH)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x41
        files.poke(PATH, bytes(damaged))
        is_version = 8 <= position < 12
        with pytest.raises(FatalError if is_version else Damage, match=r"offset \d+"):
            read_all(files)


@pytest.mark.usefixtures("small_blocks")
def test_every_prefix_and_every_byte_too_many_is_found() -> None:
    files = written(rows_of(6))
    data = files.peek(PATH)
    for end in range(len(data)):
        files.poke(PATH, data[:end])
        with pytest.raises(Damage, match=rf"it ends at offset {end}, before it is whole"):
            read_all(files)
    files.poke(PATH, data + b"x")
    with pytest.raises(Damage, match=rf"something follows its foot at offset {len(data)}"):
        read_all(files)


def read_all(files: SimulatedFiles) -> None:
    with SnapshotReader(files, PATH, STORE_ID) as reader:
        reader.verify()


@pytest.mark.usefixtures("small_blocks")
def test_a_block_that_is_lost_or_moved_is_found() -> None:
    files = written(rows_of(20))
    data = files.peek(PATH)
    with SnapshotReader(files, PATH, STORE_ID) as reader:
        sizes = [16 + len(block.data) for block in reader.blocks()]
    start = len(data) - sum(sizes) - 16 - len(msgpack.packb((20, len(sizes), sum(sizes))))
    first, second = data[start:][: sizes[0]], data[start + sizes[0] :][: sizes[1]]
    rest = data[start + sizes[0] + sizes[1] :]
    for changed in (first + rest, second + first + rest):
        files.poke(PATH, data[:start] + changed)
        with pytest.raises(Damage, match="damaged block at offset"):
            read_all(files)


def forged(head: Any, rows: list[bytes], foot: Any) -> SimulatedFiles:
    """Return a file with good checksums, and contents that our writer would not write."""

    class Forger(SnapshotWriter):
        def finish(self, read: Callable[[SnapshotReader], None] | None = None) -> None:
            assert read is None
            self._put(self._framed(2, 0, msgpack.packb(foot)))
            self._files.rename(PATH + ".tmp", PATH)

    files = simulated()
    owner, *meta = head
    writer = Forger(files, PATH, owner, tuple(meta))
    for row in rows:
        writer._put_block(PackedRows(1, row))
    writer.finish()
    return files


def test_a_foot_that_counts_something_else_is_found() -> None:
    files = forged((STORE_ID, *META), [b"\x01"], [2, 1, 1])
    with pytest.raises(Damage, match="does not count what it holds"):
        read_all(files)


@pytest.mark.parametrize(
    "head",
    [
        (STORE_ID, 1, 2),
        (STORE_ID, -1, 2, ((), ())),
        (STORE_ID, 1, "2", ((), ())),
        (STORE_ID, 1, 2, ((1.5,), ())),
        (STORE_ID, 1, 2, 3),
    ],
)
def test_a_head_that_makes_no_sense_is_found(head: Any) -> None:
    with pytest.raises(Damage, match="its head at offset 0 makes no sense"):
        read_all(forged(head, [], [0, 0, 0]))


def test_a_snapshot_of_another_store_is_not_ours() -> None:
    with pytest.raises(Damage, match="belongs to another data directory"):
        SnapshotReader(written([]), PATH, b"other")


@pytest.mark.parametrize("row", [b"\xc1", b"\x92\x01", b"\x01\x02", b""])
def test_whole_blocks_that_are_no_rows_name_the_file(row: bytes) -> None:
    files = forged((STORE_ID, *META), [row], [1, 1, len(row)])
    with pytest.raises(FatalError, match=r"^snapshot /snapshot: "):
        read(files)


def test_rows_of_a_file_that_goes_bad_meanwhile_name_file_and_offset() -> None:
    files = written(rows_of(3))
    data = bytearray(files.peek(PATH))
    with SnapshotReader(files, PATH, STORE_ID) as reader:
        data[-40] ^= 1
        files.poke(PATH, bytes(data))
        with pytest.raises(FatalError, match=r"^snapshot /snapshot: damaged block at offset \d+$"):
            list(reader.rows())


def refusing(files: SimulatedFiles, operation: str, skip: int = 0) -> None:
    left = iter(range(skip))

    def on_operation(name: str, path: str) -> None:
        if name == operation and next(left, None) is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    files.on_operation = on_operation


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("operation", "skip", "reason"),
    [
        ("create", 0, "cannot create /snapshot.tmp: "),
        ("write", 0, "cannot write at offset 0 of /snapshot.tmp: "),
        ("write", 1, r"cannot write at offset \d\d of /snapshot.tmp: "),
        ("fdatasync", 0, r"cannot write at offset \d+ of /snapshot.tmp: "),
        ("fdatasync", 2, "cannot make durable /snapshot.tmp: "),
        ("rename", 0, "cannot make durable /snapshot: "),
        ("fsync_dir", 0, "cannot make durable /snapshot: "),
        ("open", 0, "/snapshot.tmp: written, but read back wrong: cannot open it: "),
        ("size", 0, "/snapshot.tmp: written, but read back wrong: cannot read it: "),
        ("read", 2, r"/snapshot.tmp: written, but read back wrong: cannot read it at offset \d+: "),
    ],
)
def test_a_refusal_names_the_file(operation: str, skip: int, reason: str) -> None:
    files = simulated()
    refusing(files, operation, skip)
    with pytest.raises(FatalError, match=f"^{reason}input/output error$"):
        write_six_rows(files)


def write_six_rows(files: SimulatedFiles) -> None:
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows(rows_of(6))
    writer.finish()


def test_what_is_read_back_wrong_is_no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    files = simulated()
    write = files.write
    monkeypatch.setattr(
        files, "write", lambda handle, offset, data: write(handle, offset, data[:-1] + b"\x00")
    )
    with pytest.raises(FatalError, match=r"^/snapshot.tmp: written, but read back wrong: damaged"):
        write_six_rows(files)


def test_who_reads_it_first_may_refuse_it() -> None:
    def refuse(reader: SnapshotReader) -> None:
        assert list(reader.rows()) == list(rows_of(6))
        raise ValueError("not this one")

    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows(rows_of(6))
    with pytest.raises(ValueError, match="not this one"):
        writer.finish(refuse)
    assert files.names("/") == ["snapshot.tmp"]
    writer.abort()
    assert files.names("/") == []


def test_the_room_is_the_disks() -> None:
    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    files.free_bytes = 5
    assert writer.free_bytes() == 5
    refusing(files, "room")
    with pytest.raises(FatalError, match=r"^cannot look for room beside /snapshot.tmp: "):
        writer.free_bytes()


def test_what_are_no_rows_is_known_from_damage() -> None:
    files = forged((STORE_ID, *META), [b"\xa1\xff"], [1, 1, 2])
    with (
        SnapshotReader(files, PATH, STORE_ID) as reader,
        pytest.raises(ContentError, match="snapshot /snapshot: "),
    ):
        list(reader.rows())


def test_a_snapshot_given_up_leaves_nothing() -> None:
    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows(rows_of(3))
    writer.abort()
    assert files.names("/") == []
    again = SnapshotWriter(files, PATH, STORE_ID, META)
    refusing(files, "unlink")
    with pytest.raises(FatalError, match=r"^cannot remove /snapshot.tmp: "):
        again.abort()


def test_what_an_earlier_attempt_left_is_replaced() -> None:
    files = simulated()
    SnapshotWriter(files, PATH, STORE_ID, META).write_rows(rows_of(9))
    write_six_rows(files)
    assert read(files) == rows_of(6)


def test_rows_may_come_from_a_generator_and_are_taken_once() -> None:
    seen = []

    def rows() -> Iterator[Row]:
        for number in range(3):
            seen.append(number)
            yield (number,)

    files = simulated()
    writer = SnapshotWriter(files, PATH, STORE_ID, META)
    writer.write_rows(rows())
    writer.finish()
    assert seen == [0, 1, 2]
    assert read(files) == [(0,), (1,), (2,)]
