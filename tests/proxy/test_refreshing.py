"""Who the members are: asked, kept on disk, and forgotten when nobody answers."""

import asyncio
import logging
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from etcdpy.proxy.director import Director
from etcdpy.proxy.figures import Figures
from etcdpy.proxy.members import Members
from etcdpy.proxy.refreshing import Description, Refresher, UnknownClusterError
from etcdpy.proxy.stored_cluster import StoredCluster
from etcdpy.proxy.upstream import Timeouts, Upstream
from etcdpy.tls.contexts import ClientTls

OLD = ("http://a:2380",)
NEW = Description(("http://b:2380", "http://c:2380"), ("http://b:2379",))


class Cluster:
    """Answers what it is told to, and keeps whom it was asked."""

    def __init__(self) -> None:
        self.answer: Description | None = NEW
        self.asked: list[tuple[str, ...]] = []

    async def __call__(self, urls: Sequence[str]) -> Description:
        self.asked.append(tuple(urls))
        if self.answer is None:
            raise UnknownClusterError("could not retrieve cluster information from the given URLs")
        return self.answer


def make(cluster: Cluster, directory: Path) -> tuple[Refresher, Members]:
    members = Members(
        Director(5.0, 30.0, random.Random(1)),
        Upstream(ClientTls(), Timeouts(), 10),
        Figures(),
        5.0,
        now_s=lambda: 0.0,
    )
    return Refresher(OLD, cluster, StoredCluster(directory), members), members


def test_what_is_found_is_used_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        cluster = Cluster()
        refresher, members = make(cluster, tmp_path)
        await refresher.refresh()
        assert [endpoint.url for endpoint in members.available()] == ["http://b:2379"]
        assert StoredCluster(tmp_path).read() == NEW.peer_urls
        await refresher.refresh()
        assert cluster.asked == [OLD, NEW.peer_urls]
        assert caplog.messages == [
            "proxy: updated peer urls in cluster file from [http://a:2380]"
            " to [http://b:2380 http://c:2380]",
            'endpoints found ["http://b:2379"]',
        ]

    async def test_when_nobody_answers_there_are_no_endpoints_and_the_file_stays(
        tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster = Cluster()
        refresher, members = make(cluster, tmp_path)
        await refresher.refresh()
        cluster.answer = None
        await refresher.refresh()
        assert members.available() == []
        assert StoredCluster(tmp_path).read() == NEW.peer_urls
        assert caplog.messages[-1] == (
            "proxy: could not retrieve cluster information from the given URLs"
        )
        cluster.answer = NEW
        await refresher.refresh()
        assert len(members.available()) == 1

    async def test_a_disk_that_cannot_keep_them_is_said_and_the_former_urls_are_asked(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(stored: StoredCluster, urls: Sequence[str]) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(StoredCluster, "write", fail)
        cluster = Cluster()
        refresher, members = make(cluster, tmp_path)
        await refresher.refresh()
        await refresher.refresh()
        assert cluster.asked == [OLD, OLD]
        assert len(members.available()) == 1
        assert "proxy: error on writing urls [Errno 28] No space left on device" in caplog.messages

    asyncio.run(test())
