"""What a member starts with, on real files: a new cluster, a restart, and a start cut short."""

import asyncio
from pathlib import Path

import pytest

from etcdpy.bootstrap import RaftStorage, StartUp, start_up
from etcdpy.config import Config
from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.messages import ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import ConfigError
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.tree.snapshot import rows
from etcdpy.tree.tree import Tree


class Start:
    """A start of a member in `path`, and its end."""

    def __init__(self, path: Path, **settings: object) -> None:
        config = Config.model_validate({"data_dir": str(path / "data"), **settings})
        self.data_dir = DataDir.open(OsFiles(), config.data_dir, config.wal_dir)
        try:
            self.found: StartUp = asyncio.run(start_up(config, self.data_dir))
        except BaseException:
            self.data_dir.close()
            raise

    def __enter__(self) -> StartUp:
        return self.found

    def __exit__(self, *_: object) -> None:
        self.found.storage.close()
        self.data_dir.close()


def entries_of(storage: RaftStorage) -> list[Entry]:
    return storage.entries(storage.first_index(), storage.last_index() + 1, 1 << 20)


def test_a_new_cluster_begins_with_its_founder(tmp_path: Path) -> None:
    with Start(tmp_path) as start:
        assert start.is_new
        assert f"{start.member_id:x} {start.cluster_id:x}" == "8e9e05c52164694d cdf818194e3a8c32"
        assert start.storage.initial_state()[0] == HardState(term=1, vote=0, commit=1)
        (entry,) = entries_of(start.storage)
        assert decode_conf_change(entry.data).member_id == start.member_id


def test_a_restart_ignores_initial_settings(tmp_path: Path) -> None:
    with Start(tmp_path) as first:
        ids = (first.member_id, first.cluster_id)
    with Start(tmp_path, initial_cluster="nobody=http://127.0.0.1:1") as start:
        assert not start.is_new
        assert (start.member_id, start.cluster_id) == ids
        assert start.storage.last_index() == 1


def test_a_start_killed_before_its_first_entry_founds_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("etcdpy.bootstrap._write_founders", lambda storage, plan: None)
        with Start(tmp_path) as start:
            assert start.storage.last_index() == 0
    with Start(tmp_path) as start:
        assert start.storage.last_index() == 1


def test_a_start_cut_short_is_not_taken_over_by_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("etcdpy.bootstrap._write_founders", lambda storage, plan: None)
        with Start(tmp_path):
            pass
    with pytest.raises(ConfigError, match="was created for member 8e9e05c52164694d"):
        Start(tmp_path, initial_cluster_token="another")


def test_a_restart_loads_the_snapshot(tmp_path: Path) -> None:
    tree = Tree()
    tree.set(b"/1/a", value=b"v", now_ns=0)
    with Start(tmp_path) as start:
        meta = SnapshotMeta(1, 1, ConfState((start.member_id,), ()))
        start.storage.save_snapshot(meta, rows(tree))
        start.storage.snapshot_saved(meta)
    with Start(tmp_path) as start:
        assert start.tree.digest() == tree.digest()
        assert start.storage.snapshot_meta() == meta
        assert start.storage.last_index() == 1


def test_joining_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot join a running cluster"):
        Start(tmp_path, initial_cluster_state="existing")


def test_a_new_cluster_begins_with_all_founders_in_the_same_order(tmp_path: Path) -> None:
    cluster = "default=http://localhost:2380,other=http://localhost:2382"
    with Start(tmp_path, initial_cluster=cluster) as start:
        assert start.storage.initial_state()[0] == HardState(term=1, vote=0, commit=2)
        ids = [decode_conf_change(entry.data).member_id for entry in entries_of(start.storage)]
        assert ids == sorted(ids)
        assert start.member_id in ids
