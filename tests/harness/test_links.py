"""A cut link is cut, in the direction that was asked for and for those two members only."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, ClusterMember
from tests.harness.link_proxy import Cut, Rule
from tests.harness.links import between, isolation
from tests.harness.process import Kind, wait_until

pytest_plugins = ("tests.harness.plugin",)

DEADLINE_S = 20.0
FAST = ("--heartbeat-interval", "50", "--election-timeout", "500")


@pytest.fixture
def cluster(kind: Kind, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(kind, tmp_path, 3, *FAST, links=True) as one:
        yield one.start()


def names(members: list[ClusterMember]) -> list[str]:
    return [member.name for member in members]


def write(member: ClusterMember, value: str) -> None:
    answer = member.request("PUT", "/v2/keys/a", {"value": value}, deadline_s=DEADLINE_S)
    assert answer.status in (200, 201), answer


def shows(member: ClusterMember, value: str) -> bool:
    answer = member.look("/v2/keys/a")
    return answer is not None and answer.json().get("node", {}).get("value") == value


@pytest.mark.parametrize("how", list(Cut))
def test_a_leader_that_is_cut_off_is_followed_by_another_and_catches_up(
    cluster: Cluster, how: Cut
) -> None:
    assert cluster.links is not None
    former = cluster.leader()
    write(former, "1")
    others = [member for member in cluster.members if member is not former]
    cluster.links.split([former.name], names(others), how=how)

    def has_another() -> bool:
        return cluster.find_leader() in others

    wait_until(has_another, DEADLINE_S, "another leader")
    write(others[0], "2")
    assert shows(former, "1")
    cluster.links.heal()
    wait_until(lambda: shows(former, "2"), DEADLINE_S, "the write at the former leader")


def test_a_one_way_cut_leaves_the_other_way_and_the_third_member(cluster: Cluster) -> None:
    """A follower that the leader does not reach sees nothing of what the others still write."""
    assert cluster.links is not None
    leader = cluster.leader()
    deaf, other = cluster.followers()
    write(leader, "1")
    wait_until(lambda: shows(deaf, "1"), DEADLINE_S, "the first write")
    cluster.links.cut([(leader.name, deaf.name)])
    write(leader, "2")
    wait_until(lambda: shows(other, "2"), DEADLINE_S, "the write at the third member")
    assert shows(deaf, "1")
    cluster.links.heal()
    wait_until(lambda: shows(deaf, "2"), DEADLINE_S, "the write after the cut")


def test_slow_and_lossy_links_still_carry_everything(cluster: Cluster) -> None:
    assert cluster.links is not None
    everybody = names(cluster.members)
    rule = Rule(delay_s=0.01, jitter_s=0.02, bytes_s=1 << 20, loss=0.02)
    cluster.links.set_rules(dict.fromkeys(between(*([name] for name in everybody)), rule))
    for number in range(50):
        write(cluster.members[number % 3], str(number))
    for member in cluster.members:
        wait_until(partial(shows, member, "49"), DEADLINE_S, f"all at {member.name}")


def test_a_member_that_moved_is_reached_where_it_is_now(cluster: Cluster) -> None:
    for number, member in enumerate(list(cluster.members)):
        cluster.move(member)
        write(cluster.leader(), str(number))
        wait_until(partial(shows, member, str(number)), DEADLINE_S, f"the write at {member.name}")


def test_who_is_isolated_is_a_stranger_to_strangers_too() -> None:
    assert set(isolation("a", ["b", "c"])) == {
        *[("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")],
        ("", "a"),
    }
