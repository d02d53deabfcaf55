"""quorum, against a second implementation that counts the long way."""

from collections.abc import Mapping
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from etcdpy.consensus.quorum import VoteResult, committed_index, majority, vote_result

matches = st.lists(st.integers(0, 20), max_size=9)
ids = st.frozensets(st.integers(1, 12), max_size=9)


def naive_committed_index(found: list[int]) -> int:
    quorums = list(combinations(found, len(found) // 2 + 1)) if found else []
    return max((min(quorum) for quorum in quorums), default=0)


def naive_vote_result(voters: frozenset[int], votes: Mapping[int, bool]) -> VoteResult:
    """Try every way in which the missing votes could still fall."""
    if not voters:
        return VoteResult.LOST
    missing = [voter for voter in voters if voter not in votes]
    granted = len([voter for voter in voters if votes.get(voter)])
    outcomes = {(granted + more) * 2 > len(voters) for more in range(len(missing) + 1)}
    if outcomes == {True}:
        return VoteResult.WON
    return VoteResult.LOST if outcomes == {False} else VoteResult.PENDING


@settings(deadline=None)
@given(matches)
def test_committed_index_is_what_the_best_quorum_holds(found: list[int]) -> None:
    assert committed_index(found) == naive_committed_index(found)


@settings(deadline=None)
@given(ids, st.dictionaries(st.integers(1, 14), st.booleans()))
def test_vote_result_is_won_or_lost_when_no_further_vote_matters(
    voters: frozenset[int], votes: dict[int, bool]
) -> None:
    assert vote_result(voters, votes) is naive_vote_result(voters, votes)


@settings(deadline=None)
@given(st.integers(1, 50))
def test_two_majorities_meet_and_a_minority_is_none(count: int) -> None:
    assert 2 * majority(count) > count
    assert 2 * (majority(count) - 1) <= count
