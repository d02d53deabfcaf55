"""What a data directory must look like to be started on, and what is never touched."""

import errno
import json
import os

import pytest

from etcdpy.errors import ConfigError, FatalError
from etcdpy.store.datadir import DataDir, DataDirInUseError, make_dirs
from etcdpy.store.storage import Storage
from tests.store.helpers import DATA, METADATA, SHAPES, Member, open_store, simulated
from tests.store.simulated_files import SimulatedFiles


def started(wal_path: str = "") -> SimulatedFiles:
    """Return a disk with a store on it that nobody uses."""
    files = simulated()
    data_dir, recovered = open_store(files, wal_path=wal_path)
    recovered.storage.close()
    data_dir.close()
    return files


def put(files: SimulatedFiles, path: str, data: bytes = b"") -> None:
    make_dirs(files, path.rpartition("/")[0])
    handle = files.create(path)
    files.write(handle, 0, data)
    files.close(handle)


def refusing(files: SimulatedFiles, operation: str, where: str, number: int) -> None:
    def on_operation(name: str, path: str) -> None:
        if name == operation and path.endswith(where):
            raise OSError(number, os.strerror(number), path)

    files.on_operation = on_operation


def test_a_missing_directory_is_made_with_those_above_it() -> None:
    files = simulated()
    data_dir = DataDir.open(files, "/a/b/c/")
    assert data_dir.is_fresh
    assert (data_dir.path, data_dir.wal_path) == ("/a/b/c", "/a/b/c/wal")
    assert files.names("/a/b/c") == ["LOCK"]
    assert files.crash(0.0).names("/a/b") == ["c"]


def test_a_store_is_found_again_with_its_id() -> None:
    files = started()
    data_dir = DataDir.open(files, DATA)
    assert not data_dir.is_fresh
    content = json.loads(files.peek(f"{DATA}/etcdpy.format"))
    assert content == {"version": 1, "state": "ready", "id": data_dir.store_id.hex()}
    with pytest.raises(FatalError, match="/data holds a store already"):
        Storage.create(data_dir, METADATA, SHAPES)


def test_one_process_per_data_directory() -> None:
    files = started()
    data_dir = DataDir.open(files, DATA)
    with pytest.raises(DataDirInUseError, match=r'another .* "/data" .* lock on "/data/LOCK"'):
        DataDir.open(files, DATA)
    data_dir.close()
    DataDir.open(files, DATA).close()


def test_a_refused_directory_is_unlocked() -> None:
    files = started()
    put(files, f"{DATA}/wal/x")
    for name in files.names(f"{DATA}/wal"):
        files.remove(f"{DATA}/wal/{name}")
    for _ in range(2):
        with pytest.raises(FatalError, match="is gone"):
            DataDir.open(files, DATA)


@pytest.mark.parametrize(
    ("path", "sign"),
    [
        ("member/wal/0000000000000000-0000000000000000.wal", "member/wal"),
        ("member/snap/db", "member/snap"),
        ("proxy/cluster", "proxy"),
        ("snap/db", "snap"),
    ],
)
@pytest.mark.parametrize("is_ours_too", [False, True])
def test_a_data_directory_of_etcd_is_refused_and_left_alone(
    path: str, sign: str, is_ours_too: bool
) -> None:
    files = started() if is_ours_too else simulated()
    put(files, f"{DATA}/{path}", b"etcd's")
    names, count = files.names(DATA), []
    files.on_operation = lambda name, _: count.append(name)
    with pytest.raises(ConfigError) as caught:
        DataDir.open(files, DATA)
    assert str(caught.value) == (
        f"/data is a data directory of etcd (it has {sign}), which etcdpy cannot open: "
        f"nothing in it was changed; choose another --data-dir"
    )
    assert files.names(DATA) == names
    assert set(count) == {"list_names"}


def test_strangers_are_told_and_left_alone() -> None:
    files = simulated()
    put(files, f"{DATA}/junk")
    put(files, f"{DATA}/member")
    data_dir, _ = open_store(files)
    assert data_dir.strangers == ("junk", "member")
    data_dir.close()
    assert DataDir.open(files, DATA).strangers == ("junk", "member")


def test_a_directory_named_member_with_nothing_of_etcd_is_a_stranger() -> None:
    files = simulated()
    make_dirs(files, f"{DATA}/member/notes")
    assert DataDir.open(files, DATA).strangers == ("member",)


def test_a_path_that_is_a_file_is_refused_in_etcds_words() -> None:
    files = simulated()
    put(files, DATA)
    with pytest.raises(ConfigError, match=r"^error listing data dir: /data$"):
        DataDir.open(files, DATA)


def test_a_path_that_cannot_be_made_is_refused_in_etcds_words() -> None:
    files = simulated()
    refusing(files, "mkdir", DATA, errno.EACCES)
    text = "^cannot access data directory: mkdir /data: permission denied$"
    with pytest.raises(ConfigError, match=text):
        DataDir.open(files, DATA)


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    files = simulated()
    refusing(files, "lock", "LOCK", errno.EROFS)
    text = "^cannot access data directory: open /data/LOCK: read-only file system$"
    with pytest.raises(ConfigError, match=text):
        DataDir.open(files, DATA)


def test_a_directory_above_that_may_not_be_read_is_no_obstacle() -> None:
    files = simulated()
    refusing(files, "fsync_dir", "/", errno.EACCES)
    assert DataDir.open(files, DATA).is_fresh


def test_a_parent_that_cannot_be_synced_is_an_obstacle() -> None:
    files = simulated()
    refusing(files, "fsync_dir", "/", errno.EIO)
    with pytest.raises(ConfigError, match="input/output error"):
        DataDir.open(files, DATA)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"version": 2, "new": 1}', r"unknown format version 2: this program reads version 1"),
        (b'{"version": "x"}', r"unknown format version 'x'"),
        (b"", r"damaged: b''"),
        (b"\xff", r"damaged: b'\\xff'"),
        (b"[1]", r"damaged"),
        (b'{"version": 1}', r"damaged"),
        (b'{"version": 1, "state": "odd", "id": "00"}', r"damaged"),
        (b'{"version": 1, "state": "ready", "id": "xy"}', r"damaged"),
        (b'{"version": 1, "state": "ready", "id": 7}', r"damaged"),
    ],
)
def test_a_format_file_that_is_not_known_is_refused(content: bytes, text: str) -> None:
    files = started()
    files.poke(f"{DATA}/etcdpy.format", content)
    with pytest.raises(FatalError, match=f"^/data/etcdpy.format: {text}"):
        DataDir.open(files, DATA)


def test_a_format_file_that_cannot_be_made_durable_stops_the_start() -> None:
    files = started()
    refusing(files, "fsync_dir", DATA, errno.EIO)
    with pytest.raises(FatalError, match=r"cannot make durable /data/etcdpy.format: input/output"):
        DataDir.open(files, DATA)


def test_the_log_may_live_elsewhere() -> None:
    files = started("/fast/wal")
    assert files.names(DATA) == ["LOCK", "etcdpy.format", "snapshots"]
    assert len(files.names("/fast/wal")) == 1
    data_dir, recovered = open_store(files, wal_path="/fast/wal")
    recovered.storage.close()
    data_dir.close()


@pytest.mark.parametrize("wal_path", ["", "/none", "/data/LOCK"])
def test_a_store_whose_log_is_gone_is_not_begun_anew(wal_path: str) -> None:
    files = started("/fast/wal")
    with pytest.raises(FatalError, match=r"the write-ahead log .* /data is gone: .*--wal-dir"):
        DataDir.open(files, DATA, wal_path)


def test_a_log_of_another_store_is_refused() -> None:
    files = started("/fast/wal")
    data_dir = DataDir.open(files, "/other", "/other/wal")
    Storage.create(data_dir, METADATA, SHAPES)
    data_dir.close()
    data_dir = DataDir.open(files, "/other", "/fast/wal")
    with pytest.raises(FatalError, match="belongs to another data directory"):
        Storage.recover(data_dir, SHAPES)


@pytest.mark.parametrize("path", ["wal/1-1.segment", "snapshots/1-1.snapshot"])
def test_data_without_a_format_file_is_not_begun_over(path: str) -> None:
    files = simulated()
    put(files, f"{DATA}/{path}", b"data")
    with pytest.raises(ConfigError, match=r"no etcdpy.format file, but there are \d log segm"):
        DataDir.open(files, DATA)
    assert files.peek(f"{DATA}/{path}") == b"data"


def test_a_log_directory_of_etcd_is_not_begun_over() -> None:
    files = simulated()
    put(files, "/fast/0000000000000000-0000000000000000.wal")
    with pytest.raises(ConfigError, match=r"^/fast holds the write-ahead log of an etcd \(0000"):
        DataDir.open(files, DATA, "/fast")


def test_a_log_directory_may_hold_strangers() -> None:
    files = simulated()
    put(files, "/fast/lost+found")
    _, recovered = open_store(files, wal_path="/fast")
    recovered.storage.close()
    assert files.names("/fast")[1:] == ["lost+found"]


def test_a_log_directory_that_cannot_be_read_stops_the_start() -> None:
    files = started()
    refusing(files, "list_names", "/wal", errno.EACCES)
    with pytest.raises(FatalError, match="cannot read /data/wal: permission denied"):
        DataDir.open(files, DATA)


def unfinished(wal_path: str = "") -> SimulatedFiles:
    """Return a disk on which a creation was interrupted once the first segment was there."""
    files = started(wal_path)
    data_dir = DataDir.open(files, DATA, wal_path)
    data_dir._write_format("creating")
    data_dir.close()
    return files


def test_an_unfinished_creation_is_done_anew() -> None:
    files = unfinished()
    put(files, f"{DATA}/wal/1-1.segment.tmp")
    assert DataDir.open(files, DATA).is_fresh
    files.kill()
    member = Member(files)
    member.start()
    member.extend(1)
    member.stop()
    member.start()


def test_an_unfinished_creation_does_not_clear_another_stores_log() -> None:
    files = unfinished()
    make_dirs(files, "/other")
    other = DataDir.open(files, "/other")
    Storage.create(other, METADATA, SHAPES)
    with pytest.raises(ConfigError, match="belongs to another data directory than /data"):
        DataDir.open(files, DATA, "/other/wal")


@pytest.mark.parametrize("operation", ["write", "mkdir"])
def test_a_refused_creation_names_the_directory(operation: str) -> None:
    files = simulated()
    data_dir = DataDir.open(files, DATA)
    refusing(files, operation, "", errno.ENOSPC)
    with pytest.raises(FatalError, match="cannot create a store in /data: no space left on device"):
        Storage.create(data_dir, METADATA, SHAPES)


def test_a_creation_that_cannot_be_finished_is_not_one() -> None:
    files = simulated()
    data_dir = DataDir.open(files, DATA)
    left = iter(range(1))

    def on_operation(name: str, path: str) -> None:
        if name == "rename" and path.endswith("format.tmp") and next(left, None) is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    files.on_operation = on_operation
    with pytest.raises(FatalError, match="cannot create a store in /data: input/output error"):
        Storage.create(data_dir, METADATA, SHAPES)
    assert data_dir.is_fresh
