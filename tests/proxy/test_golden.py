"""Every recorded scenario of the keys API through a proxy, over real sockets.

A proxy must not be noticed: the recordings are those of a member that is asked itself.
"""

from typing import Any

import pytest

from tests.conformance import differences, transcript
from tests.conformance.replay import Player
from tests.conformance.test_golden import compare
from tests.http.server import ServerThread
from tests.proxy.serving import ProxyThread, url_of

SCENARIOS = transcript.load()


#: What is otherwise where watches are coalesced, each tested in `test_watches`: a removal is told
#: once, a stream from the past goes on, a key that rests is not forgotten, and the `X-Etcd-Index`
#: of a watch with a `waitIndex` may be a second old.
OTHERWISE = {
    "expiry_of_a_directory",
    "watch_actions",
    "watch_directory_delete_stream",
    "watch_file_delete_stream_duplicates",
    "watch_history_ring",
    "watch_stream",
    "watch_stream_from_history_is_dead",
}
#: Scenarios with watches: for the others it makes no difference whether these are coalesced.
WATCHING = {name for name, steps in SCENARIOS.items() if "wait=true" in str(steps)}
#: Scenarios that wait for what a member does by itself; outside the soak one of them is played.
SLOW = {name for name, steps in SCENARIOS.items() if transcript.has_sleep(steps)}
ONE_SLOW = "expiry_of_a_file"


def case(scenario: str, is_coalescing: bool) -> Any:
    is_long = scenario in SLOW and scenario != ONE_SLOW
    return pytest.param(scenario, is_coalescing, marks=[pytest.mark.soak] if is_long else [])


CASES = [
    *(case(scenario, False) for scenario in SCENARIOS),
    *(case(scenario, True) for scenario in sorted(WATCHING - OTHERWISE)),
]


@pytest.mark.parametrize(("scenario", "is_coalescing"), CASES)
def test_scenario(scenario: str, is_coalescing: bool) -> None:
    steps = differences.expected(SCENARIOS[scenario])
    with (
        ServerThread() as member,
        ProxyThread([url_of(member.port)], proxy_coalesce=is_coalescing) as proxy,
    ):
        compare(steps, Player(proxy.port).play(steps))
        assert proxy.errors == []
    assert member.errors == []
