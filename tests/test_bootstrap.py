"""Ids against the vectors that the real etcd gave, refusals against its texts."""

import asyncio

import pytest

from etcdpy.bootstrap import derive_cluster_id, derive_member_id, plan_new_cluster
from etcdpy.errors import ConfigError
from tests.harness.names import answer_with

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


def test_plan_names_the_local_member_and_its_cluster() -> None:
    plan = asyncio.run(
        plan_new_cluster("s1", {"s1": ["http://localhost:2380"]}, ["http://localhost:2380"], TOKEN)
    )
    assert f"{plan.local_id:x} {plan.cluster_id:x}" == "8e9e05c52164694d cdf818194e3a8c32"
    assert [founder.name for founder in plan.founders] == ["s1"]


@pytest.mark.parametrize(
    ("initial_cluster", "advertised", "message"),
    [
        (
            {"other": ["http://127.0.0.1:1"]},
            ["http://127.0.0.1:1"],
            'couldn\'t find local name "default" in the initial cluster configuration',
        ),
        (
            {"default": ["http://127.0.0.1:22381"]},
            ["http://127.0.0.1:22380"],
            "--initial-cluster has default=http://127.0.0.1:22381 but missing from"
            " --initial-advertise-peer-urls=http://127.0.0.1:22380"
            ' (resolved urls: "http://127.0.0.1:22380" != "http://127.0.0.1:22381")',
        ),
        (
            {"default": ["http://127.0.0.1:22380"]},
            ["http://127.0.0.1:22380", "http://127.0.0.1:22381"],
            "--initial-advertise-peer-urls has http://127.0.0.1:22381 but missing from"
            " --initial-cluster=default=http://127.0.0.1:22380,default=http://127.0.0.1:22381",
        ),
        (
            {"default": ["http://127.0.0.1:22380", "http://127.0.0.1:22381"]},
            ["http://127.0.0.1:22380"],
            "--initial-cluster has default=http://127.0.0.1:22381 but missing from"
            " --initial-advertise-peer-urls=http://127.0.0.1:22380"
            ' (len(["http://127.0.0.1:22380"])'
            ' != len(["http://127.0.0.1:22380" "http://127.0.0.1:22381"]))',
        ),
        (
            {"default": ["http://127.0.0.1:22380"], "b": ["http://127.0.0.1:22380"]},
            ["http://127.0.0.1:22380"],
            "initial cluster b=http://127.0.0.1:22380,default=http://127.0.0.1:22380"
            " has duplicate url",
        ),
    ],
)
def test_contradicting_settings_are_refused(
    initial_cluster: dict[str, list[str]], advertised: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        asyncio.run(plan_new_cluster("default", initial_cluster, advertised, TOKEN))
    assert str(refusal.value) == message


def test_founders_are_the_same_for_each_of_them() -> None:
    cluster = {f"m{port}": [f"http://127.0.0.1:{port}"] for port in (22480, 22490, 22500)}
    plans = [
        asyncio.run(plan_new_cluster(name, cluster, urls, "tok3")) for name, urls in cluster.items()
    ]
    assert {f"{plan.cluster_id:x}" for plan in plans} == {"c3c3e1fe6b491ed9"}
    assert {plan.founders for plan in plans} == {plans[0].founders}
    assert [f"{plan.local_id:x}" for plan in plans] == [
        "b0324b6c77b05db5",
        "1c00835fc1642413",
        "cf4ce12b67dd9acc",
    ]
    assert [f.id for f in plans[0].founders] == sorted(plan.local_id for plan in plans)


def test_own_urls_may_be_a_name_here_and_an_address_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_with(monkeypatch, {"one.example": "10.0.0.1"})
    plan = asyncio.run(
        plan_new_cluster("a", {"a": ["http://one.example:2380"]}, ["http://10.0.0.1:2380"], TOKEN)
    )
    assert plan.founders[0].peer_urls == ("http://one.example:2380",)
