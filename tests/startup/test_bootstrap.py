"""What a founder plans, and refusals against etcd's texts."""

import asyncio

import pytest

from etcdpy.errors import ConfigError
from etcdpy.startup.bootstrap import plan_new_cluster
from tests.harness.names import answer_with

TOKEN = "etcd-cluster"


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
