"""Patroni runs PostgreSQL on the store: made, copied, switched, failed over, brought back.

Whatever the way to the store, what happens is the same; and the failure of one of the store's
members is no failure of the database.
"""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import Took
from tests.acceptance.patroni import BOOT_DEADLINE_S, FAILOVER_DEADLINE_S, FOLDER, Pair
from tests.acceptance.postgres import Writer
from tests.acceptance.stores import PASSWORD, STORES, USER, guarded, three
from tests.harness.cluster import Cluster
from tests.harness.process import Kind, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

#: So often does Patroni hold its key again before the store counts as well after a failure.
RENEWALS = 5
TABLE = "CREATE TABLE seen (value int PRIMARY KEY)"


def insert(value: int) -> str:
    return f"INSERT INTO seen VALUES ({value}) ON CONFLICT DO NOTHING"


@contextmanager
def measured(took: Took, what: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    took(what, time.monotonic() - begin)


def bootstrap(pair: Pair) -> None:
    """Make the first database."""
    pair.primary.launch()
    pair.primary.wait_role("primary", BOOT_DEADLINE_S)
    pair.primary.database.ask(TABLE)
    pair.primary.database.ask(insert(1))


def follow(pair: Pair, values: list[int]) -> None:
    """Start the other node if it does not run, and wait until it has what the primary has."""
    replica = pair.replica
    if not replica.is_running:
        replica.launch()
    replica.wait_role("replica", BOOT_DEADLINE_S)
    replica.wait(
        lambda: replica.database.values() == values, FAILOVER_DEADLINE_S, f"{values} copied"
    )


def switch_over(pair: Pair) -> None:
    """Have the two change their roles, as an operator does."""
    order = f'{{"leader": "{pair.primary.name}", "candidate": "{pair.replica.name}"}}'
    answer = pair.primary.ask("POST", "/switchover", order)
    assert answer is not None
    assert answer.status == 200, answer.body
    pair.swap()
    pair.primary.wait_takes(insert(2), FAILOVER_DEADLINE_S)


def fail_over(pair: Pair, value: int) -> None:
    """Lose the primary's machine and wait until the other takes writes."""
    pair.primary.kill()
    pair.swap()
    pair.primary.wait_takes(insert(value), FAILOVER_DEADLINE_S)


@pytest.mark.parametrize("way", STORES)
def test_a_database_lives_through_switchover_and_failover(
    way: str, kind: Kind, tmp_path: Path, took: Took
) -> None:
    with STORES[way](kind, tmp_path) as store, Pair(tmp_path, store.etcd) as pair:
        with measured(took, f"{way}: bootstrap"):
            bootstrap(pair)
        with measured(took, f"{way}: replica"):
            follow(pair, [1])
        with measured(took, f"{way}: switchover"):
            switch_over(pair)
        follow(pair, [1, 2])
        with measured(took, f"{way}: failover"):
            fail_over(pair, 3)
        with measured(took, f"{way}: the killed one is a replica"):
            follow(pair, [1, 2, 3])


def test_the_primary_stays_when_the_leader_of_three_is_killed(
    kind: Kind, tmp_path: Path, took: Took
) -> None:
    with three(kind, tmp_path) as store, Pair(tmp_path, store.etcd) as pair:
        cluster = store.cluster
        assert cluster is not None
        bootstrap(pair)
        follow(pair, [1])
        with Writer(pair.primary.database) as writer:
            cluster.leader().kill()
            with measured(took, "leader killed: the next leads"):
                cluster.leader()
            wait_renewed(cluster, pair)
        took("leader killed: slowest write meanwhile", writer.slowest_s)
        assert writer.problems == []
        assert writer.written > 0
        assert "demot" not in pair.primary.log_text().lower()
        with measured(took, "leader killed: failover on the other two"):
            fail_over(pair, 2)


def wait_renewed(cluster: Cluster, pair: Pair) -> None:
    """Wait until the primary has renewed its key often; it is the primary all the while."""
    seen: set[int] = set()

    def is_renewed() -> bool:
        assert pair.primary.has_role("primary"), pair.primary.log_tail()
        node = cluster.ask("GET", f"/v2/keys{FOLDER}/leader").json()["node"]
        assert node["value"] == pair.primary.name
        seen.add(node["modifiedIndex"])
        return len(seen) > RENEWALS

    wait_until(is_renewed, FAILOVER_DEADLINE_S, "the key is renewed")


def test_the_limited_user_may_do_what_patroni_needs_and_no_more(kind: Kind, tmp_path: Path) -> None:
    with guarded(kind, tmp_path) as store, store.members[0].connect() as connection:
        ours = {"Authorization": basic(USER, PASSWORD)}
        assert connection.request("PUT", f"/v2/keys{FOLDER}/x", "value=1", ours).status == 201
        assert connection.request("PUT", "/v2/keys/elsewhere", "value=1", ours).status == 401
        assert connection.request("GET", f"/v2/keys{FOLDER}/x").status == 401


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
