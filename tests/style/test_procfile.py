"""The Procfile starts members that form one cluster."""

import asyncio
import shlex

from etcdpy.settings import sources
from etcdpy.settings.config import Config
from etcdpy.startup.bootstrap import NewCluster, plan_new_cluster
from tests.style.files import ROOT


def configs() -> list[Config]:
    """Return the settings of each process in the Procfile."""
    found = []
    for line in (ROOT / "Procfile").read_text().splitlines():
        if line.startswith("#"):
            continue
        _, _, command = line.partition(": ")
        program, *arguments = shlex.split(command)
        assert program == "etcdpy"
        values = sources.values_of_command_line(sources.read_command_line(arguments))
        found.append(Config.model_validate(values))
    return found


def plan(config: Config) -> NewCluster:
    return asyncio.run(
        plan_new_cluster(
            config.name,
            config.initial_cluster_urls(),
            config.initial_advertise_peer_urls,
            config.initial_cluster_token,
        )
    )


def test_its_members_are_one_cluster() -> None:
    plans = [plan(config) for config in configs()]
    assert len({plan.cluster_id for plan in plans}) == 1
    assert sorted(plan.local_id for plan in plans) == [f.id for f in plans[0].founders]
    assert len(plans) == 3


def test_its_members_do_not_get_in_each_others_way() -> None:
    found = configs()
    urls = [url for config in found for url in config.listen_peer_urls + config.listen_client_urls]
    assert len(set(urls)) == len(urls)
    assert len({config.data_dir for config in found}) == len(found)


def test_clients_and_members_are_told_where_they_listen() -> None:
    for config in configs():
        assert config.listen_peer_urls == config.initial_advertise_peer_urls
        assert config.listen_client_urls == config.advertise_client_urls
