"""What a member starts with, on real files: a new cluster, a restart, and a start cut short."""

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest

from etcdpy.consensus.codec import decode_conf_change
from etcdpy.consensus.messages import (
    ConfChangeKind,
    ConfState,
    Entry,
    HardState,
    SnapshotMeta,
)
from etcdpy.errors import ConfigError
from etcdpy.settings.config import Config
from etcdpy.startup.bootstrap import RaftStorage, StartUp, start_up
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.tree.capture import rows
from etcdpy.tree.members import Member
from etcdpy.tree.tree import Tree
from tests.harness.fake_peer import CLUSTER_ID, FakePeer, row


class Start:
    """A start of a member in `path`, and its end.

    `peer` is what the others answer meanwhile; its URL stands for `PEER` in `initial_cluster`.
    """

    def __init__(self, path: Path, peer: FakePeer | None = None, **settings: object) -> None:
        self._settings = {"data_dir": str(path / "data"), **settings}
        self._peer = peer
        self.data_dir = DataDir.open(OsFiles(), str(self._settings["data_dir"]))
        try:
            self.found: StartUp = asyncio.run(self._start())
        except BaseException:
            self.data_dir.close()
            raise

    async def _start(self) -> StartUp:
        if self._peer is None:
            return await start_up(Config.model_validate(self._settings), self.data_dir)
        async with self._peer as peer:
            cluster = str(self._settings["initial_cluster"]).replace("PEER", peer.url)
            for fields in peer.members:
                fields["peerURLs"] = [url.replace("PEER", peer.url) for url in fields["peerURLs"]]
            settings = {**self._settings, "initial_cluster": cluster}
            return await start_up(Config.model_validate(settings), self.data_dir)

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
        patch.setattr("etcdpy.startup.bootstrap._write_founders", lambda storage, plan: None)
        with Start(tmp_path) as start:
            assert start.storage.last_index() == 0
    with Start(tmp_path) as start:
        assert start.storage.last_index() == 1


def test_a_start_cut_short_is_not_taken_over_by_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("etcdpy.startup.bootstrap._write_founders", lambda storage, plan: None)
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


def test_a_new_cluster_begins_with_all_founders_in_the_same_order(tmp_path: Path) -> None:
    cluster = "default=http://localhost:2380,other=http://localhost:2382"
    with Start(tmp_path, initial_cluster=cluster) as start:
        assert start.storage.initial_state()[0] == HardState(term=1, vote=0, commit=2)
        ids = [decode_conf_change(entry.data).member_id for entry in entries_of(start.storage)]
        assert ids == sorted(ids)
        assert start.member_id in ids


# Founding beside a cluster that runs

SELF_URL = "http://localhost:2380"
SELF_ID = 0x8E9E05C52164694D
TWO = f"default={SELF_URL},other=PEER"


def files_in(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "data").iterdir())


def test_a_founder_that_the_others_know_as_started_does_not_found_again(tmp_path: Path) -> None:
    peer = FakePeer([row(SELF_ID, SELF_URL, name="default", client_url="http://localhost:2379")])
    with pytest.raises(ConfigError) as refused:
        Start(tmp_path, peer, initial_cluster=TWO)
    assert str(refused.value) == "member 8e9e05c52164694d has already been bootstrapped"
    assert files_in(tmp_path) == ["LOCK"]


def test_a_founder_beside_one_that_has_not_heard_of_it_yet_founds(tmp_path: Path) -> None:
    with Start(tmp_path, FakePeer([row(SELF_ID, SELF_URL)]), initial_cluster=TWO) as start:
        assert start.storage.last_index() == 2


def test_a_restart_asks_nobody(tmp_path: Path) -> None:
    with Start(tmp_path):
        pass
    peer = FakePeer([row(SELF_ID, SELF_URL, name="default", client_url="http://localhost:2379")])
    with Start(tmp_path, peer, initial_cluster=TWO) as start:
        assert not start.is_new
    assert peer.asked == []


# Joining


def joined(tmp_path: Path, *, name: str = "", **answers: Any) -> Start:
    """Start a member that the cluster of `PEER` has added as 0xabc."""
    peer = FakePeer([row(7, "PEER", name="o"), row(0xABC, SELF_URL, name=name)], **answers)
    return Start(tmp_path, peer, initial_cluster=TWO, initial_cluster_state="existing")


def test_a_joiner_takes_its_ids_from_the_cluster_and_begins_empty(tmp_path: Path) -> None:
    with joined(tmp_path) as start:
        assert (start.member_id, start.cluster_id) == (0xABC, CLUSTER_ID)
        assert start.is_new
        assert start.storage.last_index() == 0
        assert start.storage.initial_state() == (HardState(), SnapshotMeta())
        (other,) = start.remotes
        assert other == Member(7, other.peer_urls, "o")


def test_a_joiner_that_was_killed_goes_on_with_its_empty_log(tmp_path: Path) -> None:
    with joined(tmp_path):
        pass
    for state in ("existing", "new"):
        with Start(tmp_path, initial_cluster_state=state) as start:
            assert (start.member_id, start.cluster_id) == (0xABC, CLUSTER_ID)
            assert not start.is_new
            assert start.storage.last_index() == 0


def test_a_founding_cut_short_goes_on_though_the_settings_say_existing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("etcdpy.startup.bootstrap._write_founders", lambda storage, plan: None)
        with Start(tmp_path):
            pass
    with Start(tmp_path, initial_cluster_state="existing") as start:
        assert start.storage.last_index() == 1


def test_a_log_of_a_time_before_joiners_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "etcdpy.startup.bootstrap._Identity.encode", lambda self: msgpack.packb(self[:2])
        )
        with Start(tmp_path):
            pass
    with Start(tmp_path) as start:
        assert (start.member_id, start.storage.last_index()) == (SELF_ID, 1)


def test_a_member_that_has_lost_its_data_does_not_come_back_as_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        joined(tmp_path, name="default")
    assert str(refused.value) == (
        "member abc has already been bootstrapped;"
        " if its data is lost, remove it from the cluster and add it again"
    )
    assert files_in(tmp_path) == ["LOCK"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"is_etcdpy": False}, "the real etcd, which etcdpy cannot join"),
        ({"cluster_version": "3.5.0"}, "incompatible with current running cluster"),
        ({"body": b"[]"}, "failed to get raft cluster member"),
    ],
    ids=["real etcd", "version", "no members"],
)
def test_a_cluster_that_cannot_be_joined_leaves_nothing_on_the_disk(
    tmp_path: Path, answers: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        joined(tmp_path, **answers)
    assert files_in(tmp_path) == ["LOCK"]


@pytest.mark.parametrize(
    ("initial_cluster", "words"),
    [
        ("other=PEER", 'couldn\'t find local name "default" in the initial cluster'),
        ("default=PEER,other=PEER", "has duplicate url"),
        (f"default={SELF_URL}", "could not retrieve cluster information"),
        (f"{TWO},third=http://localhost:2382", "member count is unequal"),
        (f"default={SELF_URL},other=foo", "error setting up initial cluster: URL scheme must be"),
    ],
)
def test_a_joiner_with_other_settings_than_the_cluster_is_refused(
    tmp_path: Path, initial_cluster: str, words: str
) -> None:
    peer = FakePeer([row(7, "PEER"), row(0xABC, SELF_URL)])
    with pytest.raises(ConfigError, match=words):
        Start(tmp_path, peer, initial_cluster=initial_cluster, initial_cluster_state="existing")


def test_a_joiner_is_not_asked_for_its_advertised_urls_or_its_token(tmp_path: Path) -> None:
    peer = FakePeer([row(7, "PEER"), row(0xABC, SELF_URL)])
    with Start(
        tmp_path,
        peer,
        initial_cluster=TWO,
        initial_cluster_state="existing",
        initial_cluster_token="another",
        initial_advertise_peer_urls=("http://elsewhere:1",),
    ) as start:
        assert start.member_id == 0xABC


# --force-new-cluster


def test_a_forced_restart_leaves_this_member_alone(tmp_path: Path) -> None:
    with Start(tmp_path, FakePeer(), initial_cluster=TWO) as start:
        others = {decode_conf_change(e.data).member_id for e in entries_of(start.storage)}
        others -= {SELF_ID}
    with Start(tmp_path, force_new_cluster=True) as start:
        assert start.is_forced
        assert (start.member_id, start.cluster_id) == (SELF_ID, start.cluster_id)
        assert start.storage.initial_state()[0] == HardState(term=2, vote=0, commit=3)
        removal = decode_conf_change(entries_of(start.storage)[-1].data)
        assert removal.kind == ConfChangeKind.REMOVE
        assert {removal.member_id} == others
    with Start(tmp_path) as start:
        assert not start.is_forced
        assert start.storage.last_index() == 3


def test_without_a_log_nothing_is_forced(tmp_path: Path) -> None:
    with Start(tmp_path, force_new_cluster=True) as start:
        assert start.is_new
        assert not start.is_forced
        assert start.storage.last_index() == 1
