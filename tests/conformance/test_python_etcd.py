"""python-etcd 0.4.5, unchanged, against etcdpy and the real etcd.

The client's own deprecated calls (`Logger.warn`) are let through; nothing else is.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness.process import Launcher, Member, wait_until

etcd = pytest.importorskip("etcd", reason="python-etcd is not installed")

pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'warn' method is deprecated:DeprecationWarning:etcd"
)

DEADLINE_S = 60.0


def connect(member: Member, **options: Any) -> Any:
    options = {"host": "127.0.0.1", "port": member.client_port} | options
    return etcd.Client(**member.python_options, **options)


@pytest.fixture
def client(member: Member) -> Iterator[Any]:
    one = connect(member)
    yield one
    one.http.clear()


@pytest.fixture
def reads_of_three() -> dict[str, int]:
    """How three requests, one of which is a GET, move the counters of reads."""
    return {"getsSuccess": 1, "getsFail": 3}  # each request looks for the switch of auth


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def wait_for_watchers(member: Member, count: int) -> None:
    """Wait until the member has `count` registered watches, so that what follows is live."""

    def has_them() -> bool:
        stats = member.request("GET", "/v2/stats/store").json()
        return bool(stats["watchers"] >= count)

    wait_until(has_them, DEADLINE_S, f"{count} watchers")


def result(future: Future[Any]) -> Any:
    return future.result(DEADLINE_S)


class TestKeys:
    def test_set_then_get(self, client: Any, prefix: str) -> None:
        written = client.set(prefix, "héllo ✓")
        assert (written.action, written.newKey, written.value) == ("set", True, "héllo ✓")
        read = client.get(prefix)
        assert (read.action, read.value, read.dir) == ("get", "héllo ✓", False)
        assert read.modifiedIndex == read.createdIndex == written.modifiedIndex
        assert read.etcd_index >= read.modifiedIndex
        assert read.raft_index > 1

    def test_set_again_shows_the_previous_node(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        again = client.set(prefix, "2")
        assert not again.newKey
        assert again._prev_node.value == "1"
        assert again.modifiedIndex == again._prev_node.modifiedIndex + 1

    def test_a_missing_key_is_not_found(self, client: Any, prefix: str) -> None:
        with pytest.raises(etcd.EtcdKeyNotFound) as caught:
            client.get(f"{prefix}/none")
        assert caught.value.payload["errorCode"] == 100
        assert caught.value.payload["cause"] == prefix
        assert prefix not in client

    def test_contains_is_true_for_a_key_and_its_directory(self, client: Any, prefix: str) -> None:
        client.set(f"{prefix}/a", "1")
        assert f"{prefix}/a" in client
        assert prefix in client

    def test_test_and_set_swaps_only_from_the_expected_value(
        self, client: Any, prefix: str
    ) -> None:
        client.set(prefix, "1")
        swapped = client.test_and_set(prefix, "2", "1")
        assert (swapped.action, swapped.value) == ("compareAndSwap", "2")
        with pytest.raises(etcd.EtcdCompareFailed) as caught:
            client.test_and_set(prefix, "3", "1")
        assert caught.value.payload["cause"] == "[1 != 2]"
        assert client.get(prefix).value == "2"

    def test_prev_index_is_compared_with_the_modified_index(self, client: Any, prefix: str) -> None:
        index = client.set(prefix, "1").modifiedIndex
        assert client.write(prefix, "2", prevIndex=index).value == "2"
        with pytest.raises(etcd.EtcdCompareFailed):
            client.write(prefix, "3", prevIndex=index)

    def test_prev_exist_creates_or_updates(self, client: Any, prefix: str) -> None:
        with pytest.raises(etcd.EtcdKeyNotFound):
            client.write(prefix, "1", prevExist=True)
        created = client.write(prefix, "1", prevExist=False)
        assert created.action == "create"
        with pytest.raises(etcd.EtcdAlreadyExist):
            client.write(prefix, "2", prevExist=False)
        updated = client.write(prefix, "2", prevExist=True)
        assert (updated.action, updated.createdIndex) == ("update", created.createdIndex)

    def test_delete_and_pop(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        deleted = client.delete(prefix)
        assert (deleted.action, deleted.value, deleted._prev_node.value) == ("delete", None, "1")
        client.set(prefix, "2")
        assert client.pop(prefix).value == "2"
        with pytest.raises(etcd.EtcdKeyNotFound):
            client.delete(prefix)

    def test_compare_and_delete(self, client: Any, prefix: str) -> None:
        index = client.set(prefix, "1").modifiedIndex
        with pytest.raises(etcd.EtcdCompareFailed):
            client.delete(prefix, prevValue="2")
        with pytest.raises(etcd.EtcdCompareFailed):
            client.delete(prefix, prevIndex=index + 1)
        assert client.delete(prefix, prevValue="1").action == "compareAndDelete"

    def test_update_changes_what_was_read(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        seen = client.get(prefix)
        seen.value = "2"
        client.update(seen)
        assert client.get(prefix).value == "2"
        with pytest.raises(etcd.EtcdCompareFailed):
            client.update(seen)

    def test_append_makes_keys_in_order(self, client: Any, prefix: str) -> None:
        keys = [client.write(prefix, str(i), append=True).key for i in range(3)]
        assert keys == sorted(keys)
        assert all(len(key.rpartition("/")[2]) == 20 for key in keys)
        listed = client.read(prefix, recursive=True, sorted=True)
        assert [(child.key, child.value) for child in listed.children] == [
            (key, str(i)) for i, key in enumerate(keys)
        ]

    def test_quorum_reads_see_the_write(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        assert client.read(prefix, quorum=True).value == "1"

    def test_a_key_of_any_characters_comes_back(self, client: Any, prefix: str) -> None:
        key = f"{prefix}/a b+c&d=é"
        client.set(key, "1")
        assert client.get(key).key == key


class TestDirectories:
    def test_a_directory_is_made_listed_and_removed(self, client: Any, prefix: str) -> None:
        made = client.write(f"{prefix}/d", None, dir=True)
        assert (made.dir, made.value) == (True, None)
        with pytest.raises(etcd.EtcdNotFile):
            client.write(f"{prefix}/d", None, dir=True)
        with pytest.raises(etcd.EtcdNotFile):
            client.delete(f"{prefix}/d")
        client.delete(f"{prefix}/d", dir=True)
        assert f"{prefix}/d" not in client

    def test_a_full_directory_needs_recursive(self, client: Any, prefix: str) -> None:
        client.set(f"{prefix}/d/a", "1")
        with pytest.raises(etcd.EtcdDirNotEmpty):
            client.delete(f"{prefix}/d", dir=True)
        assert client.delete(f"{prefix}/d", recursive=True).action == "delete"

    def test_a_directory_takes_no_value(self, client: Any, prefix: str) -> None:
        client.set(f"{prefix}/d/a", "1")
        with pytest.raises(etcd.EtcdNotFile):
            client.set(f"{prefix}/d", "1")
        with pytest.raises(etcd.EtcdNotFile):
            client.write(f"{prefix}/d", "1", prevExist=True)

    def test_a_file_has_no_children(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        with pytest.raises(etcd.EtcdNotDir) as caught:
            client.set(f"{prefix}/a/b", "1")
        assert caught.value.payload["cause"] == prefix

    def test_the_root_is_read_only(self, client: Any) -> None:
        with pytest.raises(etcd.EtcdRootReadOnly):
            client.set("/", "1")
        with pytest.raises(etcd.EtcdRootReadOnly):
            client.delete("/", recursive=True)

    def test_get_subtree_walks_directories_then_leaves(self, client: Any, prefix: str) -> None:
        for name in ("a/x", "a/y", "b", "_hidden"):
            client.set(f"{prefix}/{name}", name)
        tree = client.read(prefix, recursive=True, sorted=True)
        assert [node.key.removeprefix(prefix) for node in tree.get_subtree()] == [
            "",
            "/a",
            "/a/x",
            "/a/y",
            "/b",
        ]
        assert [node.value for node in tree.get_subtree(leaves_only=True)] == ["a/x", "a/y", "b"]

    def test_a_listing_that_is_not_recursive_stops_at_the_children(
        self, client: Any, prefix: str
    ) -> None:
        client.set(f"{prefix}/a/x", "1")
        client.set(f"{prefix}/b", "2")
        shown = client.read(prefix, sorted=True)
        assert [(node.key, node.dir) for node in shown.get_subtree(leaves_only=True)] == [
            (f"{prefix}/a", True),
            (f"{prefix}/b", False),
        ]


class TestTtl:
    def test_a_key_with_a_ttl_expires(self, client: Any, prefix: str) -> None:
        written = client.set(prefix, "1", ttl=1)
        assert written.ttl == 1
        assert written.expiration.endswith("Z")
        wait_until(lambda: prefix not in client, DEADLINE_S, "the expiry")

    def test_a_watch_sees_the_expiry(
        self, client: Any, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        index = client.set(prefix, "1", ttl=1).modifiedIndex
        seen = result(pool.submit(client.watch, prefix, index=index + 1, timeout=DEADLINE_S))
        assert (seen.action, seen.key, seen._prev_node.value) == ("expire", prefix, "1")

    def test_refresh_moves_the_expiry_and_keeps_the_value(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1", ttl=100)
        refreshed = client.refresh(prefix, 1000)
        assert refreshed.action == "update"
        read = client.get(prefix)
        assert read.value == "1"
        assert 900 < read.ttl <= 1000

    def test_refresh_needs_the_key(self, client: Any, prefix: str) -> None:
        with pytest.raises(etcd.EtcdKeyNotFound):
            client.refresh(prefix, 10)

    def test_refresh_wakes_no_watcher(
        self, client: Any, member: Member, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        index = client.set(prefix, "1", ttl=100).modifiedIndex
        client.refresh(prefix, 200)
        client.set(prefix, "2")
        seen = result(pool.submit(client.watch, prefix, index=index + 1, timeout=DEADLINE_S))
        assert (seen.action, seen.value) == ("set", "2")

    def test_a_write_without_ttl_makes_the_key_stay(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1", ttl=100)
        client.set(prefix, "1")
        assert client.get(prefix).ttl is None


class TestWatch:
    def test_watch_sees_the_next_change(
        self, client: Any, member: Member, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        index = client.set(prefix, "1").modifiedIndex
        waiting = pool.submit(client.watch, prefix, timeout=DEADLINE_S)
        wait_for_watchers(member, 1)
        connect(member).set(prefix, "2")
        seen = result(waiting)
        assert (seen.action, seen.value, seen._prev_node.value) == ("set", "2", "1")
        assert seen.modifiedIndex == index + 1

    def test_watch_from_an_index_reads_history(self, client: Any, prefix: str) -> None:
        index = client.set(prefix, "1").modifiedIndex
        client.set(prefix, "2")
        assert client.watch(prefix, index=index).value == "1"
        assert client.watch(prefix, index=index + 1).value == "2"

    def test_a_recursive_watch_sees_what_is_below(self, client: Any, prefix: str) -> None:
        index = client.set(f"{prefix}/a/b", "1").modifiedIndex
        seen = client.watch(prefix, index=index, recursive=True)
        assert seen.key == f"{prefix}/a/b"

    def test_a_watch_times_out_and_the_client_goes_on(self, client: Any, prefix: str) -> None:
        client.set(prefix, "1")
        with pytest.raises(etcd.EtcdWatchTimedOut):
            client.watch(prefix, timeout=1)
        assert client.get(prefix).value == "1"

    def test_eternal_watch_misses_nothing(
        self, client: Any, member: Member, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        count = 50
        index = client.set(f"{prefix}/start", "go").modifiedIndex

        def follow() -> list[str]:
            events = client.eternal_watch(prefix, index=index + 1, recursive=True)
            return [next(events).value for _ in range(count)]

        following = pool.submit(follow)
        writer = connect(member)
        for i in range(count):
            writer.set(f"{prefix}/{i % 7}", str(i))
        assert result(following) == [str(i) for i in range(count)]

    def test_an_index_that_history_has_lost_is_cleared(
        self, client: Any, member: Member, prefix: str
    ) -> None:
        index = client.set(prefix, "1").modifiedIndex
        with member.connect() as connection:
            for i in range(1001):
                connection.request("PUT", f"/v2/keys{prefix}", {"value": str(i)})
        with pytest.raises(etcd.EtcdEventIndexCleared) as caught:
            client.watch(prefix, index=index)
        assert caught.value.payload["errorCode"] == 401


class TestLock:
    def test_a_lock_is_taken_and_given_back(self, client: Any, prefix: str) -> None:
        lock = etcd.Lock(client, prefix[1:])
        assert lock.acquire(lock_ttl=60)
        assert lock.is_acquired
        lock.release()
        assert not lock.is_acquired

    def test_a_held_lock_is_refused_without_blocking(
        self, client: Any, member: Member, prefix: str
    ) -> None:
        with etcd.Lock(client, prefix[1:]):
            other = etcd.Lock(connect(member), prefix[1:])
            assert not other.acquire(blocking=False, lock_ttl=60)
            other.release()

    def test_a_waiting_lock_gets_its_turn(
        self, client: Any, member: Member, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        first = etcd.Lock(client, prefix[1:])
        assert first.acquire(lock_ttl=60)
        second = etcd.Lock(connect(member), prefix[1:])
        waiting = pool.submit(second.acquire, lock_ttl=60, timeout=int(DEADLINE_S))
        wait_for_watchers(member, 1)
        assert not waiting.done()
        first.release()
        assert result(waiting)
        second.release()

    def test_a_lock_excludes(self, member: Member, prefix: str, pool: ThreadPoolExecutor) -> None:
        inside = threading.Lock()

        def enter(count: int) -> int:
            entered = 0
            for _ in range(count):
                with etcd.Lock(connect(member), prefix[1:]):
                    assert inside.acquire(blocking=False), "two holders"
                    entered += 1
                    inside.release()
            return entered

        assert sum(result(f) for f in [pool.submit(enter, 5) for _ in range(3)]) == 15


class TestCluster:
    def test_members_and_leader(self, client: Any, member: Member) -> None:
        members = client.members
        (only,) = members.values()
        assert only["name"] == member.name
        assert only["clientURLs"] == [member.client_url]
        assert only["peerURLs"] == [member.peer_url]
        assert client.leader == only

    def test_machines(self, client: Any, member: Member) -> None:
        assert client.machines == [member.client_url]

    def test_version(self, client: Any) -> None:
        assert client.version == "3.4.23"
        assert client.cluster_version == "3.4.0"

    def test_stats(self, client: Any, member: Member) -> None:
        stats = client.stats
        (member_id,) = client.members
        assert (stats["name"], stats["id"], stats["state"]) == (
            member.name,
            member_id,
            "StateLeader",
        )
        assert client.leader_stats == {"leader": member_id, "followers": {}}

    def test_store_stats_count_what_was_done(
        self, client: Any, prefix: str, reads_of_three: dict[str, int]
    ) -> None:
        before = client.store_stats
        client.set(prefix, "1")
        client.get(prefix)
        client.delete(prefix)
        after = client.store_stats
        moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert moved == {
            "setsSuccess": 1,
            "deleteSuccess": 1,
            **reads_of_three,
        }


class TestConnections:
    def test_a_list_of_hosts_survives_a_dead_one(self, launch: Launcher) -> None:
        dead, alive = launch(), launch().start()
        hosts = (("127.0.0.1", dead.client_port), ("127.0.0.1", alive.client_port))
        client = connect(alive, host=hosts, allow_reconnect=True)
        assert client.set("/a", "1").value == "1"
        client.http.clear()

    @pytest.mark.parametrize("number_of_restarts", [2])
    def test_a_client_outlives_restarts(self, launch: Launcher, number_of_restarts: int) -> None:
        member = launch().start()
        client = connect(member)
        client.set("/a", "1")
        for _ in range(number_of_restarts):
            member.stop()
            with pytest.raises(etcd.EtcdConnectionFailed):
                client.get("/a")
            member.start()
            assert client.get("/a").value == "1"
        client.http.clear()

    def test_another_cluster_is_noticed(self, launch: Launcher) -> None:
        first, second = launch().start(), launch().start()
        client = connect(first)
        client.set("/a", "1")
        client._base_uri = second.client_url
        with pytest.raises(etcd.EtcdClusterIdChanged):
            client.get("/a")
        client.http.clear()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c, k: c.write(k, "1", ttl="x"), "EtcdValueError"),
        (lambda c, k: c.write(k, "1", prevIndex="x"), "EtcdValueError"),
        (lambda c, k: c.write(k, "1", prevExist="x"), "EtcdValueError"),
        (lambda c, k: c.write(k, "1", prevValue=""), "EtcdValueError"),
        (lambda c, k: c.read(k, recursive="x"), "EtcdValueError"),
    ],
)
def test_a_malformed_parameter_is_a_value_error(
    client: Any, prefix: str, call: Callable[[Any, str], Any], error: str
) -> None:
    with pytest.raises(getattr(etcd, error)):
        call(client, prefix)
