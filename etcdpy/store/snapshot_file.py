"""The bytes of one snapshot file: written in slices, read back in blocks.

A file of its own because this is a disk format: whatever changes here needs a new
`FORMAT_VERSION` and a way to read the old one.

    file   = "etcdpySN" version:u32 length:u32 crc:u32 head, blocks, foot
    block  = kind:u32 count:u32 length:u32 crc:u32 rows     (crc over all before it in the file's
    foot   = kind:u32 0 length:u32 crc:u32 body              chain: head, or last block, then this)
    head   = msgpack [store id, index, term, configuration]
    rows   = `count` whole msgpack rows, one after the other
    body   = msgpack [rows, blocks, bytes in rows]
All numbers little-endian.  Each CRC begins with the one before it, so that a block that is lost,
moved or of another file is as bad as one that is damaged.  Nothing may follow the foot.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from etcdpy.errors import ContentError, FatalError
from etcdpy.store.files import Files, parent, reason, refused
from etcdpy.store.record import BAD_SHAPE, check_ints

FORMAT_VERSION = 1
SNAPSHOT_MAGIC = b"etcdpySN"

# A block is what is packed before it is written, and read at a time.  One row may exceed it.
BLOCK_BYTES = 256 * 1024
# How much may wait in the system's memory for the disk.  Without it the sync at the end would
# push all of a large snapshot at once and hold up the log's syncs meanwhile.
UNSYNCED_BYTES_MAX = 4 * 1024 * 1024

_HEAD = struct.Struct("<8sIII")
_BLOCK = struct.Struct("<III")
_CRC = struct.Struct("<I")
_ROWS = 1
_FOOT = 2

ConfTuple = tuple[tuple[int, ...], ...]  # voters, learners
MetaTuple = tuple[int, int, ConfTuple]  # index, term, configuration


class PackedRows(NamedTuple):
    """Whole rows, packed with msgpack one after the other; how snapshots travel."""

    row_count: int
    data: bytes


class Damage(Exception):
    """A snapshot file that cannot be used, and why: the message names the offset."""


class SnapshotWriter:
    """One snapshot being written aside; it has no snapshot's name before `finish` has checked it.

    The calls may be spread over time.  All block and belong to one thread at a time.
    """

    def __init__(self, files: Files, path: str, store_id: bytes, meta: MetaTuple) -> None:
        """Begin a file that shall be `path`.  Raises: FatalError if the disk refused."""
        self.path = path
        self.meta = meta
        self._aside = path + ".tmp"
        self._files = files
        self._store_id = store_id
        self._packer = msgpack.Packer()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._unsynced_bytes = 0
        self._totals = [0, 0, 0]  # rows, blocks, bytes in rows
        body = msgpack.packb((store_id, *meta))
        self._crc = crc32(body, crc32(struct.pack("<II", FORMAT_VERSION, len(body))))
        self._offset = 0
        try:
            with suppress(FileNotFoundError):
                files.unlink(self._aside)
            self._handle = files.create(self._aside)
            self._is_open = True
        except OSError as error:
            raise refused("create", self._aside, error) from error
        self._put(_HEAD.pack(SNAPSHOT_MAGIC, FORMAT_VERSION, len(body), self._crc) + body)

    @property
    def written_bytes(self) -> int:
        """How large the file is so far."""
        return self._offset

    def free_bytes(self) -> int:
        """Return how much more the disk takes.  Raises: FatalError if it does not say."""
        try:
            return self._files.room_bytes(parent(self.path))
        except OSError as error:
            raise refused("look for room beside", self._aside, error) from error

    def write_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows, each a tuple that msgpack can pack.  Raises: FatalError if the disk refused."""
        pack = self._packer.pack
        for row in rows:
            data = pack(row)
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes >= BLOCK_BYTES:
                self._flush()

    def write_packed(self, rows: PackedRows) -> None:
        """Add rows that are packed already.

        Raises: FatalError if the disk refused; ValueError if these are not that many whole rows.
        """
        _check_rows(rows)
        self._flush()
        self._put_block(rows)

    def finish(self, read: "Callable[[SnapshotReader], None] | None" = None) -> None:
        """Make the file durable, read it back, and give it its name.

        `read` reads all of it; whatever it raises, but for Damage, leaves what was written to be
        removed by `abort`.

        Raises: FatalError if the disk refused or gives back something else.
        """
        self._flush()
        self._put(self._framed(_FOOT, 0, msgpack.packb(self._totals)))
        try:
            self._files.fdatasync(self._handle)
            self._files.close(self._handle)
            self._is_open = False
        except OSError as error:
            raise refused("make durable", self._aside, error) from error
        try:
            with SnapshotReader(self._files, self._aside, self._store_id) as reader:
                (read or SnapshotReader.verify)(reader)
        except Damage as error:
            raise FatalError(f"{self._aside}: written, but read back wrong: {error}") from error
        try:
            self._files.rename(self._aside, self.path)
            self._files.fsync_dir(parent(self.path))
        except OSError as error:
            raise refused("make durable", self.path, error) from error

    def abort(self) -> None:
        """Give up before the file has its name, and remove what was written.

        Raises: FatalError if the disk refused.
        """
        try:
            if self._is_open:
                self._files.close(self._handle)
            self._files.unlink(self._aside)
        except OSError as error:
            raise refused("remove", self._aside, error) from error

    def _flush(self) -> None:
        if self._pending:
            self._put_block(PackedRows(len(self._pending), b"".join(self._pending)))
            self._pending = []
            self._pending_bytes = 0

    def _put_block(self, rows: PackedRows) -> None:
        self._put(self._framed(_ROWS, rows.row_count, rows.data))
        self._totals[0] += rows.row_count
        self._totals[1] += 1
        self._totals[2] += len(rows.data)

    def _framed(self, kind: int, count: int, data: bytes) -> bytes:
        head = _BLOCK.pack(kind, count, len(data))
        self._crc = crc32(data, crc32(head, self._crc))
        return b"".join((head, _CRC.pack(self._crc), data))

    def _put(self, data: bytes) -> None:
        try:
            self._files.write(self._handle, self._offset, data)
            self._unsynced_bytes += len(data)
            if self._unsynced_bytes >= UNSYNCED_BYTES_MAX:
                self._files.fdatasync(self._handle)
                self._unsynced_bytes = 0
        except OSError as error:
            raise refused(f"write at offset {self._offset} of", self._aside, error) from error
        self._offset += len(data)


class SnapshotReader:
    """One snapshot file, open for reading: each byte that is handed out has been checked.

    A file that retention removes meanwhile stays readable to who has it open.
    """

    def __init__(self, files: Files, path: str, store_id: bytes) -> None:
        """Open the file and read its head.

        Raises: Damage if it is not a good one of this store; FatalError if a later version of
            this program wrote it.
        """
        self.path = path
        self._files = files
        try:
            self._handle = files.open(path)
        except OSError as error:
            raise Damage(f"cannot open it: {reason(error)}") from error
        try:
            self.size_bytes = self._size()
            self.meta = self._read_head(store_id)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "SnapshotReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._files.close(self._handle)

    def verify(self) -> None:
        """Read all of the file.  Raises: Damage if a byte of it is not as it was written."""
        for _ in self.blocks():
            pass

    def blocks(self) -> Iterator[PackedRows]:
        """Yield the rows as they are packed, in blocks.

        Raises: Damage at the first byte that is not as it was written, be it after the last row.
        """
        offset, crc = self._body_at, self._crc
        totals = [0, 0, 0]
        while True:
            head = self._read(offset, _BLOCK.size + _CRC.size)
            kind, count, length = _BLOCK.unpack_from(head)
            data = self._read(offset + len(head), length)
            crc = crc32(data, crc32(head[: _BLOCK.size], crc))
            if crc != _CRC.unpack_from(head, _BLOCK.size)[0]:
                raise Damage(f"damaged block at offset {offset}")
            end = offset + len(head) + length
            if kind == _FOOT:
                break
            totals = [totals[0] + count, totals[1] + 1, totals[2] + length]
            offset = end
            yield PackedRows(count, data)
        if data != msgpack.packb(totals):
            raise Damage(f"its foot at offset {offset} does not count what it holds")
        if end != self.size_bytes:
            raise Damage(f"something follows its foot at offset {end}")

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples.

        Raises: FatalError naming file and offset, if the file turns out to be damaged;
            ContentError if it is not, and holds what are no rows.
        """
        try:
            for block in self.blocks():
                yield from _unpack_rows(block)
        except Damage as error:
            raise FatalError(f"snapshot {self.path}: {error}") from error
        except BAD_SHAPE as error:
            raise ContentError(f"snapshot {self.path}: {error}") from error

    def _size(self) -> int:
        try:
            return self._files.size(self._handle)
        except OSError as error:
            raise Damage(f"cannot read it: {reason(error)}") from error

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length > self.size_bytes:
            raise Damage(f"it ends at offset {self.size_bytes}, before it is whole")
        try:
            return self._files.read(self._handle, offset, length)
        except OSError as error:
            raise Damage(f"cannot read it at offset {offset}: {reason(error)}") from error

    def _read_head(self, store_id: bytes) -> MetaTuple:
        magic, version, length, self._crc = _HEAD.unpack(self._read(0, _HEAD.size))
        if magic != SNAPSHOT_MAGIC:
            raise Damage("damaged head at offset 0")
        if version != FORMAT_VERSION:
            raise FatalError(
                f"{self.path}: unknown format version {version} at offset {len(SNAPSHOT_MAGIC)}: "
                f"this program reads version {FORMAT_VERSION}"
            )
        body = self._read(_HEAD.size, length)
        if self._crc != crc32(body, crc32(struct.pack("<II", version, length))):
            raise Damage("damaged head at offset 0")
        self._body_at = _HEAD.size + length
        try:
            owner, index, term, conf = msgpack.unpackb(body, use_list=False)
            check_ints(index, term, *(member_id for members in conf for member_id in members))
        except BAD_SHAPE as error:
            raise Damage("its head at offset 0 makes no sense") from error
        if owner != store_id:
            raise Damage("it belongs to another data directory")
        return index, term, conf


def _unpack_rows(block: PackedRows) -> list[tuple[Any, ...]]:
    """Return the rows of a block.  Raises: one of BAD_SHAPE, if it does not hold that many."""
    unpacker = msgpack.Unpacker(
        use_list=False, strict_map_key=False, max_buffer_size=len(block.data)
    )
    unpacker.feed(block.data)
    rows = list(unpacker)
    if len(rows) != block.row_count:
        raise ValueError(f"a block of {block.row_count} rows holds {len(rows)}")
    return rows


def _check_rows(rows: PackedRows) -> None:
    """Raise ValueError unless these are `count` whole msgpack values and nothing else."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(rows.data)))
    unpacker.feed(rows.data)
    try:
        for _ in range(rows.row_count):
            unpacker.skip()
    except BAD_SHAPE as error:
        raise ValueError(f"not {rows.row_count} packed rows") from error
    if unpacker.tell() != len(rows.data):
        raise ValueError(f"more than {rows.row_count} packed rows")
