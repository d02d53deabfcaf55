"""Every recorded scenario of the keys API through a proxy, over real sockets.

A proxy must not be noticed: the recordings are those of a member that is asked itself.
"""

import pytest

from tests.conformance import differences, transcript
from tests.conformance.replay import Player
from tests.conformance.test_golden import compare
from tests.http.server import ServerThread
from tests.proxy.serving import ProxyThread, url_of

SCENARIOS = transcript.load()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    steps = differences.expected(SCENARIOS[scenario])
    with ServerThread() as member, ProxyThread([url_of(member.port)]) as proxy:
        compare(steps, Player(proxy.port).play(steps))
        assert proxy.errors == []
    assert member.errors == []
