"""Random requests to etcdpy and to etcd: a few seeds always, many in the soak.

A seed that fails replays by `python -m tests.conformance.differential --seed N --steps M`.
"""

import os
from pathlib import Path

import pytest

from tests.conformance.differential import run
from tests.conformance.side_by_side import running_pair
from tests.harness.process import Kind

SOAK_SEEDS = int(os.environ.get("ETCDPY_SOAK_EXAMPLES", "20"))
#: The ring of events turns over, so that watches of the past find it cleared.
SOAK_STEPS = 4000

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_random_requests_are_answered_alike(seed: int, tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair:
        run(pair, seed, step_count=300)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1000, 1000 + SOAK_SEEDS))
def test_many_random_requests_are_answered_alike(seed: int, tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair:
        run(pair, seed, step_count=SOAK_STEPS)
