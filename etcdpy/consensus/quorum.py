"""Votes won or lost, index committed: arithmetic only.

A file of its own so that it can be held against a naive second implementation; it knows
nothing of terms, messages or roles.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum


class VoteResult(IntEnum):
    """What the votes so far say."""

    PENDING = 0
    WON = 1
    LOST = 2


def majority(count: int) -> int:
    """Return how many of `count` voters are a quorum."""
    return count // 2 + 1


def vote_result(voters: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """Return what `votes` (member id to granted) decide; those of non-voters do not count.

    With no voters nothing can be won.
    """
    needed = majority(len(voters))
    granted = sum(1 for voter in voters if votes.get(voter, False))
    refused = sum(1 for voter in voters if not votes.get(voter, True))
    if granted >= needed:
        return VoteResult.WON
    if len(voters) - refused < needed:
        return VoteResult.LOST
    return VoteResult.PENDING


def committed_index(matches: Collection[int]) -> int:
    """Return the largest index that a quorum of voters holds, given each one's match.

    Source: Raft (extended), Figure 2, "Rules for Servers", leaders; the term rule is not here.
    """
    count = len(matches)
    if count == 0:
        return 0
    return sorted(matches)[count - majority(count)]
