"""Whether a member is busy with a snapshot is read from its log, whichever server's it is."""

from pathlib import Path

import pytest

from benchmarks.settling import BEGUN as BEGIN
from benchmarks.settling import is_taking_one
from tests.harness.process import Kind, Member, kinds_present, wait_until

DEADLINE_S = 30.0
BEGUN = "I | etcdserver: start to snapshot (applied: 20, lastsnap: 9)\n"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", False),
        (BEGUN, True),
        (BEGUN + "I | etcdserver: saved snapshot at index 20\n", False),
        (BEGUN + "I | etcdserver: gave up the snapshot: a newer one was received\n", False),
        (BEGUN + "I | etcdserver: saved snapshot at index 20\n" + BEGUN, True),
        (BEGUN + BEGUN + "I | etcdserver: saved snapshot at index 20\n", False),
    ],
)
def test_a_snapshot_goes_on_from_its_begin_to_its_end(log: str, expected: bool) -> None:
    assert is_taking_one(log) is expected


@pytest.mark.parametrize("kind", kinds_present())
def test_either_server_says_so(kind: Kind, tmp_path: Path) -> None:
    with Member(kind, tmp_path, "--snapshot-count", "10").start() as member:
        for number in range(20):
            assert member.request("PUT", f"/v2/keys/{number}", {"value": "v"}).status == 201
        wait_until(lambda: bool(BEGIN.search(member.log_text())), DEADLINE_S, "a snapshot's begin")
        wait_until(lambda: not is_taking_one(member.log_text()), DEADLINE_S, "a snapshot's end")
