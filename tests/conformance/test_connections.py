"""Whole connections to etcdpy and to etcd: every form of `connections` gets the same bytes back."""

import re
from collections.abc import Iterator

import pytest

from tests.conformance import connections, differences
from tests.conformance.side_by_side import Pair, running_pair
from tests.harness.process import Kind
from tests.http.rawsocket import put

pytestmark = pytest.mark.live

_RESPONSE = re.compile(r"(?=HTTP/1\.[01] \d{3} )")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    with running_pair(tmp_path_factory.mktemp("connections")) as both:
        both.ask(put(connections.KEY, b"value=0"))
        yield both


def ask(
    pair: Pair, data: bytes, *, half_close: bool, is_peer: bool = False
) -> tuple[list[str], list[str]]:
    """Return the responses of both, each with its header lines sorted."""
    ours, theirs = (
        ["\r\n".join(sorted(part.split("\r\n"))) for part in _RESPONSE.split(text)]
        for text in pair.ask(data, half_close=half_close, is_peer=is_peer)
    )
    return ours, theirs


@pytest.mark.parametrize("case", connections.ALL)
def test_connections_are_answered_alike(pair: Pair, case: str) -> None:
    ours, theirs = ask(pair, connections.ALL[case], half_close=False)
    assert ours == theirs


@pytest.mark.parametrize("case", connections.TRUNCATED)
def test_connections_that_break_off_are_answered_alike(pair: Pair, case: str) -> None:
    ours, theirs = ask(pair, connections.TRUNCATED[case], half_close=True)
    assert ours == theirs


@pytest.mark.parametrize("case", connections.LINES)
def test_the_peer_port_takes_and_refuses_alike(pair: Pair, case: str) -> None:
    ours, theirs = ask(pair, connections.LINES[case], half_close=True, is_peer=True)
    assert ours == theirs


@pytest.mark.parametrize("size", [200_000, 1_000_000, 1_200_000])
@pytest.mark.parametrize("is_second", [False, True])
def test_long_heads_are_answered_alike(pair: Pair, size: int, is_second: bool) -> None:
    head = connections.get(b"Host: x\r\nConnection: close\r\nX: %b\r\n" % (b"v" * size))
    ours, theirs = ask(pair, connections.GET * is_second + head, half_close=False)
    assert ours == theirs
    assert ("431" in ours[-1]) == (size == 1_200_000)


@pytest.mark.parametrize("case", differences.EDGES)
def test_connections_that_differ_are_listed(pair: Pair, case: str) -> None:
    data = differences.EDGES[case].data
    ours, theirs = ask(pair, data, half_close=False)
    assert ours != theirs
