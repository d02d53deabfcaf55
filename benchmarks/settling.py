"""Waiting until no member is busy with a snapshot: what is called quiet has to be.

A file of its own because several measurements begin with it.  How long a snapshot of a million
keys takes depends on the machine, and nothing else of a member tells of it: after a wait of a fixed
time what was measured as normal was at times the writing of three snapshots on one disk.
"""

import re
import time
from collections.abc import Sequence

from tests.harness.process import Member, wait_until

#: Both servers' words, for a snapshot's begin and for its end.
BEGUN = re.compile(r"start to snapshot \(")
ENDED = re.compile(r"saved snapshot at index|gave up the snapshot")
#: A snapshot that is due is begun with the next write at the latest, and what is removed after it
#: is removed within this time.
PAUSE_S = 2.0
DEADLINE_S = 300.0


def wait_for_snapshots(members: Sequence[Member]) -> None:
    """Return when all snapshots that were due are written.  Raises: ServerError if they are not."""
    time.sleep(PAUSE_S)

    def are_over() -> bool:
        return not any(is_taking_one(member.log_text()) for member in members)

    wait_until(are_over, DEADLINE_S, "the snapshots that were due")
    time.sleep(PAUSE_S)


def is_taking_one(log: str) -> bool:
    """Tell from a member's log whether a snapshot was begun that has not ended.

    The last words decide: etcd says nothing of a snapshot that a newer one has overtaken.
    """
    return _last(BEGUN, log) > _last(ENDED, log)


def _last(words: re.Pattern[str], log: str) -> int:
    """Return where the words stand for the last time, -1 if nowhere."""
    return max((match.start() for match in words.finditer(log)), default=-1)
