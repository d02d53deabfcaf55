"""What a member without data asks the others, and which answers it believes.

Source: spec/cluster.md section 2.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from etcdpy.errors import ConfigError
from etcdpy.startup import joining
from etcdpy.startup.joining import (
    RunningCluster,
    check_compatible,
    find_local_id,
    find_running_cluster,
    is_bootstrapped,
)
from etcdpy.tree.members import Member
from tests.harness.fake_peer import CLUSTER_ID, FakePeer, row

DEADLINE_S = 20.0
#: Nobody listens on it: it is none that a listener is given.
DEAD_URL = "http://127.0.0.1:1"
NOTHING_FOUND = (
    "cannot fetch cluster info from peer urls:"
    " could not retrieve cluster information from the given URLs"
)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    asyncio.run(bounded())


def refusal_of(question: Awaitable[object]) -> str:
    async def ask() -> str:
        with pytest.raises(ConfigError) as refused:
            await question
        return str(refused.value)

    return asyncio.run(ask())


def test_the_first_url_that_can_tell_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with FakePeer([row(2, "http://b:1"), row(1, "http://a:1", name="a")]) as peer:
            found = await find_running_cluster([DEAD_URL, peer.url, "http://never.asked:1"])
        assert found == RunningCluster(
            CLUSTER_ID, (Member(1, ("http://a:1",), "a"), Member(2, ("http://b:1",)))
        )

    run(test)
    (line,) = caplog.messages
    assert line.startswith(f"could not get cluster response from {DEAD_URL}: Connect")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"null",
        b"[1]",
        b'[{"peerURLs":["http://a:1"]}]',
        b'[{"id":"1","peerURLs":["http://a:1"]}]',
        b'[{"id":true,"peerURLs":["http://a:1"]}]',
        b'[{"id":0,"peerURLs":["http://a:1"]}]',
        b'[{"id":18446744073709551616,"peerURLs":["http://a:1"]}]',
        b'[{"id":1,"peerURLs":[]}]',
        b'[{"id":1,"peerURLs":"http://a:1"}]',
        b'[{"id":1,"peerURLs":["foo"]}]',
        b'[{"id":1,"peerURLs":[1]}]',
        b'[{"id":1,"peerURLs":["http://a:1"],"name":1}]',
        b'[{"id":1,"peerURLs":["http://a:1"]},{"id":1,"peerURLs":["http://b:1"]}]',
        b"[" * 100_000,
        b"[" + b'{"id":1,"peerURLs":["http://a:1"]},' * 100_000,
        b"\xff",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_answer_that_is_no_list_of_members_is_not_believed(body: bytes) -> None:
    async def test() -> None:
        async with FakePeer(body=body) as peer:
            with pytest.raises(ConfigError) as refused:
                await find_running_cluster([peer.url])
        assert str(refused.value) == NOTHING_FOUND

    run(test)


def test_a_list_of_members_from_no_cluster_is_not_believed() -> None:
    async def test() -> None:
        async with FakePeer([row(1, "http://a:1")], cluster_id="none") as peer:
            with pytest.raises(ConfigError, match="could not retrieve cluster information"):
                await find_running_cluster([peer.url])

    run(test)


def test_another_status_is_not_believed() -> None:
    async def test() -> None:
        async with FakePeer([row(1, "http://a:1")], status=503) as peer:
            with pytest.raises(ConfigError, match="could not retrieve cluster information"):
                await find_running_cluster([peer.url])

    run(test)


def test_a_silent_peer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "JOIN_TIMEOUT_S", 0.05)

    async def test() -> None:
        async with FakePeer(is_silent=True) as silent:
            with pytest.raises(ConfigError, match="could not retrieve cluster information"):
                await find_running_cluster([silent.url])

    run(test)


def test_a_member_that_knows_no_members_yet_is_left_for_the_next() -> None:
    async def test() -> None:
        async with FakePeer() as empty, FakePeer([row(1, "http://a:1")]) as peer:
            assert (await find_running_cluster([empty.url, peer.url])).members
            with pytest.raises(ConfigError) as refused:
                await find_running_cluster([empty.url])
        assert str(refused.value) == (
            "cannot fetch cluster info from peer urls:"
            " failed to get raft cluster member(s) from the given URLs"
        )

    run(test)


def test_a_cluster_of_the_real_etcd_is_not_joined() -> None:
    async def test() -> None:
        async with FakePeer([row(1, "http://a:1")], is_etcdpy=False) as peer:
            with pytest.raises(ConfigError) as refused:
                await find_running_cluster([peer.url])
        assert str(refused.value) == (
            f"cannot fetch cluster info from peer urls: {peer.url} is a member of a cluster of"
            " the real etcd, which etcdpy cannot join"
        )

    run(test)


def test_a_member_is_bootstrapped_once_a_cluster_has_its_client_urls() -> None:
    async def test() -> None:
        published = row(2, "http://b:1", name="b", client_url="http://b:2")
        async with FakePeer([row(1, "http://a:1"), published]) as peer:
            urls = [DEAD_URL, peer.url]
            assert await is_bootstrapped(2, urls)
            assert not await is_bootstrapped(1, urls)
            assert not await is_bootstrapped(3, urls)
            assert not await is_bootstrapped(2, [DEAD_URL])
            assert not await is_bootstrapped(2, [])

    run(test)


def test_founders_that_are_silent_hold_each_other_up_for_one_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "FOUND_TIMEOUT_S", 0.2)

    async def test() -> None:
        async with FakePeer(is_silent=True) as one, FakePeer(is_silent=True) as other:
            assert not await is_bootstrapped(1, [one.url, other.url])
            assert one.asked == other.asked == ["/members"]

    run(test)


# Against `--initial-cluster`

RUNNING = RunningCluster(
    0xC3C3E1FE6B491ED9,
    (
        Member(0xA1, ("http://127.0.0.1:22490",), "m1", ("http://127.0.0.1:22379",)),
        Member(0xB2, ("http://127.0.0.1:22500",)),
    ),
)


def listed(**urls: str) -> list[Member]:
    return [Member(at, (url,), name) for at, (name, url) in enumerate(urls.items(), 1)]


def test_the_id_is_found_by_peer_urls_whatever_the_others_are_called() -> None:
    others = listed(x="http://127.0.0.1:22490", b="http://127.0.0.1:22500")
    assert asyncio.run(find_local_id(RUNNING, "b", others)) == 0xB2


def test_another_count_of_members_is_refused() -> None:
    assert refusal_of(find_local_id(RUNNING, "b", listed(b="http://127.0.0.1:22500"))) == (
        "error validating peerURLs {ClusterID:c3c3e1fe6b491ed9 Members:["
        "&{ID:a1 RaftAttributes:{PeerURLs:[http://127.0.0.1:22490] IsLearner:false}"
        " Attributes:{Name:m1 ClientURLs:[http://127.0.0.1:22379]}}"
        " &{ID:b2 RaftAttributes:{PeerURLs:[http://127.0.0.1:22500] IsLearner:false}"
        " Attributes:{Name: ClientURLs:[]}}"
        "] RemovedMemberIDs:[]}: member count is unequal"
    )


def test_a_member_that_is_not_listed_is_refused() -> None:
    wrong = listed(x="http://127.0.0.1:22490", b="http://127.0.0.1:1")
    assert refusal_of(find_local_id(RUNNING, "b", wrong)).endswith(
        "}: PeerURLs: no match found for existing member (b2, [http://127.0.0.1:22500]),"
        ' last resolver error (resolved urls: "http://127.0.0.1:22500" != "http://127.0.0.1:1")'
    )


def check(versions: list[str]) -> None:
    """Ask as member 9 a cluster whose other members know these versions."""

    async def test() -> None:
        peers = [FakePeer(cluster_version=version) for version in versions]
        for peer in peers:
            await peer.__aenter__()
        try:
            members = [Member(at, (peer.url,)) for at, peer in enumerate(peers, 1)]
            members += [Member(8, (DEAD_URL,)), Member(9, (DEAD_URL,))]
            await check_compatible(RunningCluster(1, tuple(members)), 9)
        finally:
            for peer in peers:
                await peer.__aexit__(None, None, None)

    run(test)


@pytest.mark.parametrize(
    "versions", [["3.4.0"], ["3.0.0"], ["3.4.0", "not_decided"], ["3.3.0", "3.4.0"]]
)
def test_a_cluster_of_a_version_that_is_known_is_joined(versions: list[str]) -> None:
    check(versions)


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ([], "cannot get the version of member 8"),
        (["not_decided"], "cannot understand the cluster version of member 1 (not_decided)"),
        (
            ["2.3.0", "3.4.0"],
            "the running cluster version(2.3.0) is lower than the minimal cluster version(3.0.0)"
            " supported",
        ),
        (
            ["3.4.0", "3.5.0"],
            "the running cluster version(3.5.0) is higher than the maximum cluster version(3.4.0)"
            " supported",
        ),
    ],
)
def test_a_cluster_of_another_version_is_not_joined(
    versions: list[str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=r"^incompatible with current running cluster$"):
        check(versions)
    assert any(line.startswith(message) for line in caplog.messages)
