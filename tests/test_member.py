"""One member in this process, on real files and sockets: life, snapshots, expiry, faults."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from etcdpy import snapshotter
from etcdpy.errors import RAFT_INTERNAL, EtcdError, FatalError
from etcdpy.expirer import SYNC_LIMIT
from etcdpy.member import Member
from etcdpy.serving import Listeners
from etcdpy.settings.config import Config
from etcdpy.startup.bootstrap import start_up
from etcdpy.startup.listeners import open_listeners
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import OsFiles
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.watch import Watcher

DEADLINE_S = 20.0
ANY_PORT = ["http://127.0.0.1:0"]


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(path: Path, **settings: object) -> AsyncIterator[Member]:
    """A member that has started, stopped in the end."""
    config = Config.model_validate({"data_dir": str(path), **settings})
    data_dir = DataDir.open(OsFiles(), config.data_dir, config.wal_dir)
    try:
        member = Member(config, await start_up(config, data_dir))
        try:
            await member.start(Listeners(open_listeners(ANY_PORT), open_listeners(ANY_PORT)))
            await until(lambda: member.cluster_version is not None)
            yield member
        finally:
            await member.stop()
    finally:
        data_dir.close()


def put(member: Member, name: str, value: bytes = b"v", ttl_ns: int | None = None) -> Command:
    now_ns = member.now_ns()
    expiration_ns = None if ttl_ns is None else now_ns + ttl_ns
    path = f"/1/{name}".encode()
    return Command(CommandKind.SET, now_ns, path, value, expiration_ns=expiration_ns)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S * 2):
            await test()

    asyncio.run(bounded())


def names_in(path: Path, suffix: str) -> list[str]:
    return sorted(file.name for file in path.glob(f"*{suffix}"))


def index_of(member: Member) -> int:
    return member.get(b"/1", is_recursive=False, is_sorted=False).index


def test_a_first_write_has_index_4_and_a_restart_adds_1(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            event = await member.propose(put(member, "a"))
            assert (event.index, member.raft_status().commit) == (4, 5)
        async with running(tmp_path / "d") as member:
            assert (index_of(member), member.raft_status().term) == (5, 3)

    run(test)


def test_bookkeeping_counts_as_in_etcd(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            stats = {name: count for name, count in member.store_stats().items() if count}
            assert stats == {"getsFail": 1, "setsSuccess": 2, "createSuccess": 1}
            assert await member.monitor.is_healthy()
            assert member.store_stats()["getsSuccess"] == 1

    run(test)


def test_snapshots_follow_the_count_and_retention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshotter, "TAIL_COUNT", 5)

    async def test() -> None:
        directory = tmp_path / "d" / "snapshots"
        settings = {"snapshot_count": 20, "max_snapshots": 2}

        def newest() -> int:
            names = names_in(directory, ".snapshot")
            return int(names[-1].split("-")[1].split(".")[0], 16) if names else 0

        writes = 100
        async with running(tmp_path / "d", **settings) as member:
            for number in range(writes):
                await member.propose(put(member, f"k{number}"))
            deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
            while newest() <= 80:  # what is written while one is being taken counts for the next
                assert asyncio.get_running_loop().time() < deadline_s
                await member.propose(put(member, "k0"))
                writes += 1
            await until(lambda: len(names_in(directory, ".snapshot")) == 2)
        assert 80 < newest() <= writes + 4
        async with running(tmp_path / "d", **settings) as member:
            assert index_of(member) == writes + 4
            listed = member.get(b"/1", is_recursive=False, is_sorted=True).node.nodes
            assert listed is not None
            assert len(listed) == 100

    run(test)


def test_a_restart_takes_no_snapshot_of_what_it_replays(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            results = [member.propose(put(member, f"k{number}")) for number in range(50)]
            await asyncio.gather(*results)
        async with running(tmp_path / "d", snapshot_count=10) as member:
            assert names_in(tmp_path / "d" / "snapshots", ".snapshot") == []
            await member.propose(put(member, "one more"))
            directory = tmp_path / "d" / "snapshots"
            await until(lambda: len(names_in(directory, ".snapshot")) == 1)

    run(test)


def test_more_expired_nodes_than_one_sync_removes_go_in_one_tick(tmp_path: Path) -> None:
    count = SYNC_LIMIT * 2 + 5

    async def test() -> None:
        async with running(tmp_path / "d") as member:
            results = [member.propose(put(member, f"k{n}", ttl_ns=1)) for n in range(count)]
            await asyncio.gather(*results)
            await until(lambda: member.store_stats()["expireCount"] == count)
            assert index_of(member) == 3 + 2 * count

    run(test)


class Reader:
    """The owner of a watcher that takes whatever there is, when it is told."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.indexes: list[int] = []
        watcher.owner = self

    def wake(self) -> None:
        self.indexes += [event.index for event in self.watcher.take()]


@pytest.mark.parametrize("path", [b"/1", b"/1/d/k7"])
def test_a_stream_that_is_read_survives_a_flood_of_expiries(tmp_path: Path, path: bytes) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            results = [member.propose(put(member, f"d/k{n}", ttl_ns=10**9)) for n in range(500)]
            await asyncio.gather(*results)
            watcher = member.watch(path, is_recursive=True, is_stream=True, since=0)
            reader = Reader(watcher)
            await until(lambda: member.store_stats()["expireCount"] == 500)
            assert not watcher.is_overflowed
            # One event each; where a watched node itself is removed, etcd tells of it twice.
            assert len(reader.indexes) == (500 if path == b"/1" else 2)

    run(test)


@pytest.mark.interpreted
def test_a_request_that_is_not_committed_in_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            monkeypatch.setattr(member._driver, "propose", lambda data: None)
            monkeypatch.setattr(member._driver, "read_index", lambda: never)
            member._request_timeout_s = member._linearizer._timeout_s = 0.05
            with pytest.raises(EtcdError) as refusal:
                await member.propose(put(member, "a"))
            assert refusal.value.code == RAFT_INTERNAL
            assert refusal.value.cause == b"etcdserver: request timed out"
            with pytest.raises(EtcdError, match="request timed out"):
                await member.linearized()

    run(test)


def test_a_write_that_the_disk_refuses_ends_the_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:

            def refuse(*_: object) -> None:
                raise FatalError("cannot write: no space left on device")

            monkeypatch.setattr(member._storage, "write", refuse)
            result = member.propose(put(member, "a"))
            error = await member.failed
            assert str(error) == "cannot write: no space left on device"
            assert not result.done()
        with pytest.raises(EtcdError, match="server stopped"):
            result.result()

    run(test)
