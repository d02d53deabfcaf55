"""A member publishes itself until the cluster knows it."""

import asyncio

import pytest

from etcdpy.clustering import publishing
from etcdpy.errors import RAFT_INTERNAL, EtcdError
from etcdpy.tree.command import Command
from etcdpy.tree.event import Event
from tests.http.backend import MEMBER_ID, TreeBackend


class Reluctant(TreeBackend):
    """Has no leader for its first proposals."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 2

    def propose(self, command: Command) -> "asyncio.Future[Event]":
        if self.refusals:
            self.refusals -= 1
            raise EtcdError(RAFT_INTERNAL, b"etcdserver: request timed out")
        return super().propose(command)


def test_publishing_goes_on_until_it_is_applied(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publishing, "RETRY_INTERVAL_S", 0.0)
    caplog.set_level("INFO", logger="etcdpy.etcdserver")
    backend = Reluctant()

    async def test() -> None:
        await publishing.publish(backend, MEMBER_ID, "new", ("http://127.0.0.1:1",))

    asyncio.run(test())
    (member,) = backend.members()
    assert (member.name, member.client_urls) == ("new", ("http://127.0.0.1:1",))
    assert [record.message for record in caplog.records] == [
        "publish error: etcdserver: request timed out",
        "publish error: etcdserver: request timed out",
        "published {Name:new ClientURLs:[http://127.0.0.1:1]} to cluster c8730d66636ff140",
    ]
