"""The cluster file: etcd's form, whole or not at all."""

from pathlib import Path

import pytest

from etcdpy.errors import ConfigError
from etcdpy.proxy.stored_cluster import StoredCluster


def test_what_was_written_is_read_in_etcds_form(tmp_path: Path) -> None:
    stored = StoredCluster(tmp_path / "proxy")
    assert stored.read() is None
    stored.write(["http://a:2380", "https://b:2380"])
    path = tmp_path / "proxy" / "cluster"
    assert path.read_bytes() == b'{"PeerURLs":["http://a:2380","https://b:2380"]}'
    assert StoredCluster(tmp_path / "proxy").read() == ("http://a:2380", "https://b:2380")


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    StoredCluster(tmp_path / "proxy").write(["http://a:1"])
    assert (tmp_path / "proxy").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "proxy" / "cluster").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "proxy").iterdir()] == ["cluster"]


def test_an_interrupted_write_leaves_the_former_one(tmp_path: Path) -> None:
    stored = StoredCluster(tmp_path)
    stored.write(["http://a:1"])
    (tmp_path / "cluster.bak").write_bytes(b'{"PeerURLs":["htt')
    assert stored.read() == ("http://a:1",)
    stored.write(["http://b:1"])
    assert stored.read() == ("http://b:1",)


@pytest.mark.parametrize(
    "content", ["", "x", "7", "[]", "{}", '{"PeerURLs":7}', '{"PeerURLs":[7]}']
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster").write_text(content)
    with pytest.raises(ConfigError, match="cluster is no list of peer URLs"):
        StoredCluster(tmp_path).read()


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("")
    with pytest.raises(ConfigError, match="proxy: file exists"):
        StoredCluster(tmp_path / "proxy")
