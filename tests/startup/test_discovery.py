"""How founders meet under a URL: retries, order, and who changes what meanwhile.

Its refusals beside etcd's: tests/conformance/test_discovery_live.py.
Source: spec/cluster.md section 4.1.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from etcdpy.startup import discovery
from etcdpy.startup.discovery import DiscoveryError, Failure, find_cluster, join_cluster
from etcdpy.startup.registry import (
    INDEX_CLEARED,
    Node,
    RefusedError,
    RegistryError,
    UnavailableError,
)
from tests.harness.virtual_time import run_virtual

URL = "http://registry:2379/v2/keys/t"
OWN_ID = 0xA1
OWN = "m=http://m:1"
OTHER = "o=http://o:1"


class FakeRegistry:
    """One token in memory; fails as often as it is told to."""

    def __init__(self, size: str = "2") -> None:
        self.size = size
        self.index = 10
        self.nodes: list[Node] = []
        self.failures: list[Exception] = []  # one for each question, first ones first
        self.events: asyncio.Queue[Node | Exception] = asyncio.Queue()
        self.waited_from: list[int] = []

    def register(self, name: str, value: str) -> Node:
        self.index += 1
        node = Node(f"/t/{name}", value, self.index, self.index, (), self.index)
        self.nodes.append(node)
        return node

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def get(self, path: str) -> Node:
        self._fail()
        if path.endswith("/_config/size"):
            return Node(path, self.size, 1, 1)
        config = Node("/t/_config", "", 1, 1)
        return Node(path, "", 1, 1, (config, *reversed(self.nodes)), self.index)

    async def create(self, path: str, value: str) -> Node:
        self._fail()
        return self.register(path.rpartition("/")[2], value)

    async def wait(self, path: str, index: int, *, is_recursive: bool) -> Node:
        self._fail()
        if not is_recursive:
            return self.nodes[-1]
        self.waited_from.append(index)
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    one = FakeRegistry()

    @asynccontextmanager
    async def open_it(*_: object) -> AsyncIterator[FakeRegistry]:
        yield one

    monkeypatch.setattr(discovery, "open_registry", open_it)
    return one


def join() -> str:
    """Return what comes of joining, within virtual time."""
    results: list[str] = []

    async def main() -> None:
        results.append(await join_cluster(URL, "", OWN_ID, OWN))

    run_virtual(main)
    return results[0]


def failure_of(action: Callable[[], object]) -> DiscoveryError:
    with pytest.raises(DiscoveryError) as refused:
        action()
    return refused.value


def test_founders_stand_in_the_order_in_which_they_came(registry: FakeRegistry) -> None:
    registry.register("f0", OTHER)
    assert join() == f"{OTHER},{OWN}"


def test_who_comes_later_is_waited_for_from_the_next_index_on(registry: FakeRegistry) -> None:
    registry.size = "3"
    registry.events.put_nowait(Node("/t/b", OTHER, 20, 20))
    registry.events.put_nowait(Node("/t/c", "p=http://p:1", 23, 25))
    assert join() == f"{OWN},{OTHER},p=http://p:1"
    assert registry.waited_from == [12, 21]


def test_only_the_first_so_many_count(registry: FakeRegistry) -> None:
    registry.register("a1", OWN)  # in an earlier life
    registry.register("f0", OTHER)
    registry.register("f1", "late=http://late:1")
    results: list[str] = []

    async def main() -> None:
        results.append(await find_cluster(URL, ""))

    run_virtual(main)
    assert results == [f"{OWN},{OTHER}"]
    assert failure_of(lambda: asyncio.run(join_cluster(URL, "", 0xB, OWN))).failure is Failure.FULL


def test_waits_double_up_to_a_bound_and_begin_nowhere_anew(
    registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refused = UnavailableError("dial tcp: no")
    registry.failures = [refused] * 10
    registry.register("f0", OTHER)
    join()
    tries = [m for m in caplog.messages if "retrying" in m]
    assert [line.rpartition(" ")[2] for line in tries] == [
        *("2s", "4s", "8s", "16s", "32s", "1m4s", "2m8s", "4m16s", "4m16s", "4m16s")
    ]
    assert tries[0] == (
        "cluster status check: error connecting to http://registry:2379, retrying in 2s"
    )
    assert caplog.messages.count("error #0: dial tcp: no") == 10


def test_a_wait_that_breaks_is_begun_again_after_a_look(
    registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry.events.put_nowait(UnavailableError("gone"))
    registry.events.put_nowait(Node("/t/b", OTHER, 20, 20))
    assert join() == f"{OWN},{OTHER}"
    assert (
        "waiting for other nodes: error connecting to http://registry:2379, retrying in 2s"
    ) in caplog.messages


def test_a_history_that_has_moved_on_is_no_reason_to_fail(registry: FakeRegistry) -> None:
    """A registry with much to do has forgotten the index by then; etcd gives up."""
    registry.events.put_nowait(RefusedError(INDEX_CLEARED, "cleared", "", 0))
    registry.events.put_nowait(Node("/t/b", OTHER, 20, 20))
    assert join() == f"{OWN},{OTHER}"


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ([RefusedError(100, "Key not found", "/t", 3)], "100: Key not found (/t) [3]"),
        ([RegistryError("context deadline exceeded")], "context deadline exceeded"),
    ],
)
def test_what_no_try_can_help_is_final(
    registry: FakeRegistry, failures: list[Exception], words: str
) -> None:
    registry.failures = failures
    refusal = failure_of(join)
    assert refusal.failure is Failure.OTHER
    assert str(refusal) == f"failed to join discovery cluster ({words})"


@pytest.mark.parametrize(
    "size", ["", "0", "-1", "+1", "1_0", "1.5", "0x1", "²", str(2**64), "9" * 21]
)
def test_a_size_is_a_decimal_number_of_members(registry: FakeRegistry, size: str) -> None:
    """With 0 of them etcd crashes."""
    registry.size = size
    assert failure_of(join).failure is Failure.BAD_SIZE


def test_a_size_is_at_most_what_64_bits_hold(registry: FakeRegistry) -> None:
    registry.size = str(2**64 - 1)
    registry.events.put_nowait(RegistryError("others were waited for"))
    assert str(failure_of(join)).endswith("(others were waited for)")


def test_a_size_may_have_any_number_of_zeros_in_front(registry: FakeRegistry) -> None:
    registry.size = "2".zfill(5000)
    registry.register("f0", OTHER)
    assert join() == f"{OTHER},{OWN}"


@pytest.mark.parametrize(
    ("value", "failure"),
    [("", Failure.DUPLICATE_NAME), ("x", Failure.INVALID_URL), (OWN, Failure.DUPLICATE_NAME)],
)
def test_what_others_have_written_is_checked(
    registry: FakeRegistry, value: str, failure: Failure
) -> None:
    registry.register("f0", value)
    assert failure_of(join).failure is failure


@pytest.mark.parametrize("proxy", ["::", "http://"])
def test_a_proxy_has_a_host(registry: FakeRegistry, proxy: str) -> None:
    refusal = failure_of(lambda: asyncio.run(join_cluster(URL, proxy, OWN_ID, OWN)))
    assert "invalid proxy address" in str(refusal)
