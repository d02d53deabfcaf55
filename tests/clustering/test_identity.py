"""Ids against the vectors that the real etcd gave."""

import pytest

from etcdpy.clustering.identity import derive_cluster_id, derive_member_id

TOKEN = "etcd-cluster"


@pytest.mark.parametrize(
    ("urls", "token", "member_id"),
    [
        (["http://127.0.0.1:22380"], TOKEN, "9e737febb6b99eee"),
        (["http://localhost:2380"], TOKEN, "8e9e05c52164694d"),
        (["http://127.0.0.1:22480"], "tok3", "b0324b6c77b05db5"),
        (["http://127.0.0.1:22490"], "tok3", "1c00835fc1642413"),
        (["http://127.0.0.1:22500"], "tok3", "cf4ce12b67dd9acc"),
        (["http://127.0.0.1:22390", "http://10.0.0.9:1"], "1795223560", "bba92d4e90de408c"),
    ],
)
def test_member_id_is_the_hash_of_sorted_urls_and_token(
    urls: list[str], token: str, member_id: str
) -> None:
    assert f"{derive_member_id(urls, token):x}" == member_id


def test_cluster_id_is_the_hash_of_all_member_ids() -> None:
    assert f"{derive_cluster_id([0x9E737FEBB6B99EEE]):x}" == "c8730d66636ff140"
    ids = [0xB0324B6C77B05DB5, 0x1C00835FC1642413, 0xCF4CE12B67DD9ACC]
    assert f"{derive_cluster_id(ids):x}" == "c3c3e1fe6b491ed9"
