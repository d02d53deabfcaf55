"""Retention: what the leader's log keeps for members that a snapshot brings up to date.

A file of its own because without it a member can get one snapshot after the other: while one is on
its way clients write on, and where the entries that follow it were compacted meanwhile, it was sent
in vain.  So a member that is sent a snapshot has a claim on what follows, from that moment until it
holds all that is to be compacted.  A claim is bounded: it ends as well when the transfer fails (the
next try is with the newest snapshot), when the member is removed or falls silent, when this member
does not lead any more, and when what it keeps beyond the usual takes more memory than
`RaftConfig.kept_bytes_max`.

Claims are looked at when something is to be compacted, and only then: nothing is forgotten before.
Source: etcd skips compactions while it sends a snapshot, and for 30 s after.
"""

from etcdpy.consensus.progress import Claim, Progress
from etcdpy.consensus.state import State

#: A claim ends when its member was not heard of for so many checks of the quorum in a row, each an
#: election timeout: time to start again with what it was sent, not to be repaired.
SILENT_CHECKS_MAX = 10
#: What an entry takes in memory beside its data: a tuple of four, two integers, the bytes' head.
ENTRY_MEMORY_BYTES = 160


def claim(state: State, progress: Progress, index: int) -> None:
    """Keep what follows the snapshot at `index`, which is about to be sent to a member."""
    progress.claim = Claim(index, state.log.last_index, state.appended_bytes)


def note_check(progress: Progress) -> None:
    """Take note, at a check of the quorum, of whether a member was heard of since the last."""
    kept = progress.claim
    if kept is None:
        return
    kept.silent_checks = 0 if progress.is_recent_active else kept.silent_checks + 1
    if kept.silent_checks >= SILENT_CHECKS_MAX:
        progress.claim = None


def compactable_to(state: State, index: int) -> int:
    """Return up to where the log may be compacted now, where up to `index` is wanted."""
    lowest = index
    for progress in state.progress.values():
        kept = progress.claim
        if kept is None:
            continue
        after = max(progress.match, kept.index)
        # Who holds what is to be compacted lags no more than any other member may.
        is_over = progress.match >= index
        if is_over or _size_of(state, kept, index - after) > state.config.kept_bytes_max:
            progress.claim = None
        else:
            lowest = min(lowest, after)
    return lowest


def _size_of(state: State, kept: Claim, count: int) -> int:
    """Return about how much memory so many entries take.

    By the average of what came since the claim began: to add them up would hold up the loop.
    """
    appended = state.log.last_index - kept.last_index
    return (state.appended_bytes - kept.appended_bytes) * count // max(appended, 1)
