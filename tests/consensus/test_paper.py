"""One test for each sentence of the Raft paper that promises something.

Sections 5.x, 6, 7 and 8 are the extended version's; `thesis` is Ongaro's, chapters 3, 4, 6 and 9.
"""

from collections import Counter

import pytest

from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Entry,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
)
from etcdpy.consensus.pump import Batch, Persist, SendAfterPersist, SendNow
from etcdpy.consensus.state import RaftConfig
from tests.consensus.harness import Cluster, Member, MemoryStorage, bootstrapped, with_log

KIND = MessageKind


def follower(*terms: int, **fields: int) -> Member:
    member = Member(RaftConfig(1), with_log(terms, **fields))  # type: ignore[arg-type]  # ints all
    member.run()
    return member


def leader(*terms: int, voters: tuple[int, ...] = (1, 2, 3)) -> Member:
    """Return member 1 leading in the term after its log's last."""
    member = Member(RaftConfig(1), with_log(terms, voters))
    member.run()
    member.core.campaign()
    member.run()
    term = member.state.term + 1
    member.step(*[Message(KIND.PRE_VOTE_RESPONSE, 1, other, term) for other in voters[1:]])
    member.step(*[Message(KIND.VOTE_RESPONSE, 1, other, term) for other in voters[1:]])
    assert member.state.is_leader
    member.take_sent()
    return member


def kinds(messages: list[Message]) -> list[MessageKind]:
    return [message.kind for message in messages]


# ---- 5.1 Raft basics


@pytest.mark.parametrize("role", list(Role))
def test_5_1_a_server_that_sees_a_larger_term_updates_its_own(role: Role) -> None:
    member = leader(2) if role is Role.LEADER else follower(2)
    if role in (Role.PRE_CANDIDATE, Role.CANDIDATE):
        member.core.campaign()
        member.run()
    if role is Role.CANDIDATE:
        member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    assert member.state.role is role
    member.step(Message(KIND.APPEND, 1, 2, 9, index=2, log_term=2))
    assert member.state.term == 9


@pytest.mark.parametrize("kind", [KIND.APPEND_RESPONSE, KIND.HEARTBEAT_RESPONSE, KIND.APPEND])
def test_5_1_a_leader_or_candidate_that_discovers_a_later_term_becomes_follower(
    kind: MessageKind,
) -> None:
    member = leader(2)
    member.step(Message(kind, 1, 2, 9, index=2, log_term=2))
    assert (member.state.role, member.state.term) == (Role.FOLLOWER, 9)


def test_5_1_a_request_with_a_stale_term_is_rejected() -> None:
    member = follower(2, 2, term=5)
    before = member.state.log.last_index
    sent = member.step(
        Message(KIND.APPEND, 1, 2, 3, index=3, log_term=2, entries=[Entry(3, 4, 0, b"old")])
    )
    assert member.state.log.last_index == before
    assert [(m.kind, m.term, m.index) for m in sent] == [(KIND.APPEND_RESPONSE, 5, 0)]


def test_5_1_a_granted_vote_is_for_the_requests_own_term() -> None:
    sent = follower(2).step(Message(KIND.VOTE, 1, 2, 7, index=2, log_term=2))
    assert [(m.kind, m.term, m.is_rejected) for m in sent] == [(KIND.VOTE_RESPONSE, 7, False)]


# ---- 5.2 leader election


def test_5_2_servers_start_up_as_followers() -> None:
    assert follower(2).state.role is Role.FOLLOWER


def test_5_2_a_follower_stays_one_while_it_hears_of_the_leader() -> None:
    member = follower(2)
    for _ in range(100):
        member.tick(5)
        member.step(Message(KIND.HEARTBEAT, 1, 2, 2))
    assert member.state.role is Role.FOLLOWER


def test_5_2_a_leader_sends_periodic_heartbeats_to_all() -> None:
    sent = leader(2).tick(3)
    assert Counter((m.kind, m.to) for m in sent) == {
        (KIND.HEARTBEAT, 2): 3,
        (KIND.HEARTBEAT, 3): 3,
    }


def test_5_2_a_follower_that_hears_nothing_begins_an_election() -> None:
    member = follower(2)
    sent = member.tick(20)
    assert member.state.role is Role.PRE_CANDIDATE
    assert {(m.kind, m.to) for m in sent} == {(KIND.PRE_VOTE, 2), (KIND.PRE_VOTE, 3)}


def test_5_2_a_candidate_increments_its_term_votes_for_itself_and_asks_all_others() -> None:
    member = follower(2)
    member.core.campaign()
    member.run()
    member.take_sent()
    sent = member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    assert (member.state.term, member.state.vote, member.state.votes) == (3, 1, {1: True})
    assert {(m.kind, m.to, m.term) for m in sent} == {(KIND.VOTE, 2, 3), (KIND.VOTE, 3, 3)}


@pytest.mark.parametrize(
    ("size", "granted", "wins"),
    [(3, 1, True), (3, 0, False), (5, 2, True), (5, 1, False), (4, 2, True), (4, 1, False)],
)
def test_5_2_votes_of_a_majority_for_the_same_term_make_a_leader(
    size: int, granted: int, wins: bool
) -> None:
    voters = tuple(range(1, size + 1))
    member = Member(RaftConfig(1), with_log([2], voters))
    member.run()
    member.core.campaign()
    member.run()
    member.step(*[Message(KIND.PRE_VOTE_RESPONSE, 1, other, 3) for other in voters[1:]])
    member.step(*[Message(KIND.VOTE_RESPONSE, 1, other, 3) for other in voters[1 : granted + 1]])
    assert member.state.is_leader is wins


def test_5_2_votes_of_another_term_or_of_strangers_do_not_count() -> None:
    member = follower(2)
    member.core.campaign()
    member.run()
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    member.step(Message(KIND.VOTE_RESPONSE, 1, 2, 2), Message(KIND.VOTE_RESPONSE, 1, 9, 3))
    assert member.state.role is Role.CANDIDATE


def test_5_2_each_server_votes_for_one_candidate_in_a_term_first_come_first_served() -> None:
    member = follower(2)
    sent = member.step(
        Message(KIND.VOTE, 1, 2, 3, index=2, log_term=2),
        Message(KIND.VOTE, 1, 3, 3, index=2, log_term=2),
    )
    assert [(m.to, m.is_rejected) for m in sent] == [(2, False), (3, True)]


def test_5_2_a_candidate_that_hears_of_a_leader_of_its_term_follows_it() -> None:
    member = follower(2)
    member.core.campaign()
    member.run()
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    member.step(Message(KIND.APPEND, 1, 3, 3, index=2, log_term=2))
    assert (member.state.role, member.state.leader_id) == (Role.FOLLOWER, 3)


def test_5_2_a_candidate_ignores_a_leader_of_an_earlier_term() -> None:
    member = follower(2)
    member.core.campaign()
    member.run()
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    member.step(Message(KIND.APPEND, 1, 3, 2, index=2, log_term=2))
    assert member.state.role is Role.CANDIDATE


def test_5_2_a_candidate_without_a_majority_tries_again_in_a_new_term() -> None:
    member = follower(2)
    member.core.campaign()
    member.run()
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    assert member.state.term == 3
    member.tick(20)
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 4))
    assert (member.state.role, member.state.term) == (Role.CANDIDATE, 4)


def test_5_2_election_timeouts_are_drawn_from_a_fixed_interval() -> None:
    member = follower(2)
    drawn = set()
    for _ in range(500):
        member.state.draw_election_timeout()
        drawn.add(member.state.election_timeout)
    assert drawn == set(range(10, 20))


def test_5_2_split_votes_are_rare_since_members_draw_apart() -> None:
    drawn: Counter[int] = Counter()
    for seed in range(200):
        member = Member(RaftConfig(1), with_log([2]), seed=seed)
        drawn[member.state.election_timeout] += 1
    assert max(drawn.values()) < 60


# ---- 5.3 log replication


def test_5_3_the_leader_appends_the_command_and_sends_it_to_all() -> None:
    member = leader(2)
    sent = acknowledged_leader(member).propose(b"x")
    assert [(m.to, [e.data for e in m.entries]) for m in sent] == [(2, [b"x"]), (3, [b"x"])]
    assert member.state.log.last_term == member.state.term


def acknowledged_leader(member: Member) -> Member:
    """Have both others acknowledge all that the leader has."""
    last = member.state.log.last_index
    term = member.state.term
    member.step(*[Message(KIND.APPEND_RESPONSE, 1, other, term, index=last) for other in (2, 3)])
    return member


def test_5_3_an_entry_is_committed_and_applied_once_a_majority_has_it() -> None:
    member = acknowledged_leader(leader(2))
    member.propose(b"x")
    assert member.applied[-1].data != b"x"
    member.step(Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=4))
    assert member.applied[-1] == Entry(3, 4, 0, b"x")


def test_5_3_the_leader_retries_until_all_followers_store_all_entries() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].run(Batch(proposals=[b"x"]))
    cluster.collect()
    cluster[1].run(Batch(proposals=[b"y"]))
    cluster.settle()
    assert cluster[3].state.log.last_index == 4
    cluster.heal()
    cluster.tick(1)
    cluster.settle()
    assert cluster[3].state.log.last_index == cluster[1].state.log.last_index


def test_5_3_a_commit_commits_all_preceding_entries_of_earlier_leaders_too() -> None:
    member = leader(1, 2)
    assert member.state.log.commit == 1
    member.step(Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=4))
    assert [(e.index, e.term) for e in member.applied] == [(2, 1), (3, 2), (4, 3)]


def test_5_3_the_leader_tells_its_commit_index_in_later_appends() -> None:
    member = acknowledged_leader(leader(2))
    sent = member.propose(b"x")
    assert {m.commit for m in sent} == {3}
    sent = member.step(Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=4))
    assert {m.commit for m in sent if m.kind is KIND.APPEND} == {4}


def test_5_3_a_follower_applies_what_it_learns_is_committed_in_log_order() -> None:
    member = follower(2)
    entries = [Entry(2, index, 0, b"%d" % index) for index in (3, 4, 5)]
    append = Message(KIND.APPEND, 1, 2, 2, index=2, log_term=2, entries=entries)
    member.step(append._replace(commit=4))
    assert [e.index for e in member.applied] == [2, 3, 4]
    member.step(Message(KIND.HEARTBEAT, 1, 2, 2, commit=5))
    assert [e.index for e in member.applied] == [2, 3, 4, 5]


def test_5_3_a_leader_makes_at_most_one_entry_of_an_index_in_a_term() -> None:
    member = leader(2)
    member.propose(b"a", b"b")
    member.propose(b"c")
    entries = member.state.log.entries(2, member.state.log.last_index + 1, 1 << 20)
    assert [e.index for e in entries] == [2, 3, 4, 5, 6]
    assert len({(e.index, e.term) for e in entries}) == 5


@pytest.mark.parametrize(
    ("index", "term", "is_taken"), [(3, 2, True), (3, 1, False), (4, 2, False), (2, 2, True)]
)
def test_5_3_a_follower_refuses_entries_that_do_not_follow_on_its_log(
    index: int, term: int, is_taken: bool
) -> None:
    member = follower(2, 2)
    new = Entry(4, index + 1, 0, b"new")
    sent = member.step(Message(KIND.APPEND, 1, 2, 4, index=index, log_term=term, entries=[new]))
    assert sent[-1].is_rejected is not is_taken
    assert (member.state.log.last_term == 4) is is_taken


def test_5_3_a_leader_never_overwrites_or_deletes_entries_in_its_own_log() -> None:
    member = leader(2, 2)
    before = member.state.log.entries(2, member.state.log.last_index + 1, 1 << 20)
    member.step(
        Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=3, log_term=1, is_rejected=True, hint=1),
        Message(KIND.APPEND_RESPONSE, 1, 3, 3, index=2),
    )
    member.propose(b"x")
    after = member.state.log.entries(2, member.state.log.last_index + 1, 1 << 20)
    assert after[: len(before)] == before


@pytest.mark.parametrize(
    "terms",
    [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    ],
    ids="abcdef",
)
def test_5_3_logs_become_the_leaders_by_the_consistency_check(terms: tuple[int, ...]) -> None:
    mine = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    cluster = Cluster(
        {
            1: with_log(mine, (1, 2, 3), term=7),
            2: with_log(terms, (1, 2, 3), term=7),
            3: with_log(mine[:1], (1, 2, 3), term=7),
        }
    )
    cluster.elect(1)
    logs = {tuple(member.state.log.entries(2, 13, 1 << 20)) for member in cluster.members.values()}
    assert len(logs) == 1


def test_5_3_a_conflicting_term_costs_one_rejection_not_one_per_entry() -> None:
    cluster = Cluster(
        {1: with_log([2] + [5] * 40, (1, 2), term=5), 2: with_log([2] + [3] * 50, (1, 2), term=5)}
    )
    cluster[1].core.campaign()
    cluster[1].run()
    rejections = 0
    for _ in range(20):
        cluster.collect()
        rejections += sum(m.is_rejected for m in cluster.wire if m.kind is KIND.APPEND_RESPONSE)
        cluster.deliver()
    assert rejections == 1
    assert cluster[2].state.log.last_index == cluster[1].state.log.last_index


# ---- 5.4 safety


@pytest.mark.parametrize(
    ("ours", "index", "term", "is_granted"),
    [
        ((2,), 2, 2, True),
        ((2, 2), 2, 2, False),
        ((2,), 3, 2, True),
        ((3,), 9, 2, False),
        ((2, 2, 2), 2, 3, True),
    ],
)
@pytest.mark.parametrize("kind", [KIND.VOTE, KIND.PRE_VOTE])
def test_5_4_1_a_voter_denies_its_vote_if_its_own_log_is_more_up_to_date(
    kind: MessageKind, ours: tuple[int, ...], index: int, term: int, is_granted: bool
) -> None:
    sent = follower(*ours).step(Message(kind, 1, 2, 9, index=index, log_term=term))
    assert [m.is_rejected for m in sent] == [not is_granted]


def test_5_4_1_the_request_tells_where_the_candidates_log_ends() -> None:
    member = follower(2, 2, 4)
    member.core.campaign()
    member.run()
    assert {(m.index, m.log_term) for m in member.take_sent()} == {(4, 4)}


def test_5_4_2_only_entries_of_the_leaders_term_are_committed_by_counting() -> None:
    member = leader(1, 2)
    for other in (2, 3):
        member.step(Message(KIND.APPEND_RESPONSE, 1, other, 3, index=3))
    assert member.state.log.commit == 1
    member.step(Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=4))
    assert member.state.log.commit == 4


# ---- 5.5 follower and candidate crashes


def test_5_5_rpcs_are_idempotent() -> None:
    member = follower(2)
    append = Message(
        KIND.APPEND, 1, 2, 2, index=2, log_term=2, entries=[Entry(2, 3, 0, b"x")], commit=3
    )
    first = member.step(append)
    log = member.state.log.entries(2, 4, 1 << 20)
    assert member.step(append) == first
    assert member.state.log.entries(2, 4, 1 << 20) == log
    assert [e.index for e in member.applied] == [2, 3]


def test_5_persistent_state_is_on_disk_before_a_request_is_answered() -> None:
    member = follower(2)
    actions = member.run(
        Batch(
            messages=[
                Message(KIND.VOTE, 1, 2, 3, index=2, log_term=2),
                Message(KIND.APPEND, 1, 2, 3, index=2, log_term=2, entries=[Entry(3, 3, 0, b"")]),
            ]
        )
    )
    persist = next(n for n, action in enumerate(actions) if isinstance(action, Persist))
    answer = next(n for n, action in enumerate(actions) if isinstance(action, SendAfterPersist))
    assert persist < answer
    assert not [action for action in actions if isinstance(action, SendNow)]
    assert actions[persist] == Persist(member.state.hard_state, [Entry(3, 3, 0, b"")])


def test_5_persistent_state_survives_a_restart() -> None:
    member = follower(2)
    member.step(Message(KIND.VOTE, 1, 2, 3, index=2, log_term=2))
    entries = [Entry(3, 3, 0, b"x")]
    member.step(Message(KIND.APPEND, 1, 2, 3, index=2, log_term=2, entries=entries))
    member.restart()
    assert (member.state.term, member.state.vote) == (3, 2)
    assert member.state.log.entries(3, 4, 1 << 20) == entries


# ---- 6 and thesis 4: membership


def changed(cluster: Cluster, leader_id: int, kind: ConfChangeKind, member_id: int) -> None:
    cluster[leader_id].run(Batch(changes=[ConfChange(kind, member_id)]))
    cluster.settle()


def joined(cluster: Cluster, member_id: int) -> None:
    cluster.members[member_id] = Member(RaftConfig(member_id), MemoryStorage(), seed=member_id)


def test_thesis_4_1_changes_are_of_one_member_at_a_time() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    changes = [ConfChange(ConfChangeKind.ADD_LEARNER, 7), ConfChange(ConfChangeKind.REMOVE, 3)]
    cluster[1].run(Batch(changes=changes))
    assert [e.kind for e in cluster[1].state.log.unstable or cluster[1].storage.log[4:]] == [1]
    cluster.settle()
    assert cluster[1].state.conf == ConfState((1, 2), (7,))


def test_thesis_4_2_1_a_new_server_without_a_log_is_brought_up_to_date() -> None:
    cluster = Cluster.of(1)
    cluster[1].run(Batch(proposals=[b"x"]))
    joined(cluster, 2)
    changed(cluster, 1, ConfChangeKind.ADD_VOTER, 2)
    assert cluster[2].state.log.last_index == cluster[1].state.log.last_index
    assert cluster[2].state.conf == ConfState((1, 2), ())


def test_thesis_4_2_1_a_learner_has_no_vote_and_delays_no_commit() -> None:
    cluster = Cluster({1: bootstrapped([1], [2]), 2: bootstrapped([1], [2])})
    for member in cluster.members.values():
        member.run()
    cluster.isolate(2)
    cluster[1].run(Batch(proposals=[b"x"]))
    assert cluster[1].applied[-1].data == b"x"
    cluster[2].tick(100)
    assert cluster[2].state.role is Role.FOLLOWER


def test_thesis_4_2_2_a_leader_that_removed_itself_does_not_count_itself() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    changed(cluster, 1, ConfChangeKind.REMOVE, 1)
    assert cluster[1].state.is_removed
    assert cluster[1].state.id not in cluster[1].state.progress


def test_thesis_4_2_2_a_leader_that_removed_itself_steps_down_and_others_go_on() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    changed(cluster, 1, ConfChangeKind.REMOVE, 1)
    cluster.tick(1, 10)
    cluster.settle()
    assert not cluster[1].state.is_leader
    for member_id in (2, 3):
        cluster.tick(member_id, 10)
    cluster.elect(2)
    cluster[2].run(Batch(proposals=[b"x"]))
    cluster.settle()
    assert cluster[3].applied[-1].data == b"x"


def test_thesis_4_2_3_a_removed_server_does_not_disrupt() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster.isolate(3)
    changed(cluster, 1, ConfChangeKind.REMOVE, 3)
    cluster.heal()
    for _ in range(10):
        cluster.tick(1)
        cluster.tick(3, 7)
        cluster.settle()
    assert (cluster[1].state.term, cluster[1].state.role) == (2, Role.LEADER)
    assert cluster[3].state.is_removed


def test_6_a_server_disregards_vote_requests_while_it_believes_a_leader_exists() -> None:
    member = follower(2)
    member.step(Message(KIND.HEARTBEAT, 1, 2, 2))
    member.tick(9)
    assert member.step(Message(KIND.VOTE, 1, 3, 9, index=9, log_term=9)) == []
    assert member.state.term == 2


# ---- 7: log compaction


def test_7_a_follower_far_behind_is_sent_a_snapshot() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].run(Batch(proposals=[b"x"]))
    cluster.settle()
    state = cluster[1].state
    meta = SnapshotMeta(state.log.applied, state.term, state.conf)
    cluster[1].storage.snapshot(meta)
    cluster[1].core.compact(meta.index)
    cluster.heal()
    cluster.tick(1)
    cluster.settle()
    assert cluster[3].storage.meta == meta
    assert cluster[3].state.log.applied == meta.index


def test_7_a_snapshot_of_new_information_discards_the_followers_entire_log() -> None:
    member = follower(2, 2, 2)
    meta = SnapshotMeta(9, 3, ConfState((1, 2, 3), ()))
    sent = member.step(Message(KIND.SNAPSHOT, 1, 2, 3, snapshot=meta))
    assert (member.state.log.first_index, member.state.log.last_index) == (10, 9)
    assert [(m.kind, m.index) for m in sent] == [(KIND.APPEND_RESPONSE, 9)]


def test_7_a_snapshot_of_a_prefix_keeps_the_entries_that_follow_it() -> None:
    member = follower(2, 2, 2)
    meta = SnapshotMeta(3, 2, ConfState((1, 2, 3), ()))
    member.step(Message(KIND.SNAPSHOT, 1, 2, 2, snapshot=meta))
    assert member.state.log.last_index == 4
    assert member.storage.meta.index == 1


def test_7_a_snapshot_holds_the_configuration_as_of_its_index() -> None:
    member = follower(2)
    meta = SnapshotMeta(9, 3, ConfState((1, 2, 5), (7,)))
    member.step(Message(KIND.SNAPSHOT, 1, 2, 3, snapshot=meta))
    member.restart()
    assert member.state.conf == ConfState((1, 2, 5), (7,))


# ---- 8 and thesis 6: clients


def test_8_a_leader_commits_an_empty_entry_at_the_start_of_its_term() -> None:
    member = leader(2)
    assert member.state.log.entries(3, 4, 1 << 20) == [Entry(3, 3, 0, b"")]


def test_thesis_6_4_a_read_waits_for_an_own_term_commit() -> None:
    member = leader(2)
    member.run(Batch(reads=[1]))
    assert KIND.HEARTBEAT not in kinds(member.take_sent())
    sent = member.step(Message(KIND.APPEND_RESPONSE, 1, 2, 3, index=3))
    assert KIND.HEARTBEAT in kinds(sent)


def test_thesis_6_4_a_read_needs_a_majority_that_still_follows() -> None:
    member = acknowledged_leader(leader(2))
    member.run(Batch(reads=[1]))
    member.step(Message(KIND.HEARTBEAT_RESPONSE, 1, 2, 3))  # of no round, or of an earlier one
    assert member.released == []
    member.step(Message(KIND.HEARTBEAT_RESPONSE, 1, 2, 3, context=1))
    assert member.released == [1]


def test_thesis_6_4_a_read_is_served_at_or_after_its_read_index() -> None:
    member = follower(2)
    member.step(Message(KIND.HEARTBEAT, 1, 2, 2))
    member.run(Batch(reads=[5]))
    asked = next(m for m in member.take_sent() if m.kind is KIND.READ_INDEX)
    answer = Message(KIND.READ_INDEX_RESPONSE, 1, 2, 2, index=2, context=asked.context)
    member.step(answer)
    assert member.released == []
    member.step(Message(KIND.HEARTBEAT, 1, 2, 2, commit=2))
    assert member.released == [5]
    member.step(answer)
    assert member.released == [5]


def test_thesis_6_4_an_answer_to_a_read_of_an_earlier_start_answers_none_of_this() -> None:
    member = follower(2)
    member.run(Batch(messages=[Message(KIND.HEARTBEAT, 1, 2, 2)], reads=[5]))
    asked = next(m for m in member.take_sent() if m.kind is KIND.READ_INDEX)
    member.seed += 1  # another start draws other names
    member.restart()
    member.run(Batch(messages=[Message(KIND.HEARTBEAT, 1, 2, 2)], reads=[6]))
    member.step(Message(KIND.READ_INDEX_RESPONSE, 1, 2, 2, index=1, context=asked.context))
    assert member.released == []


def test_thesis_6_4_reads_that_gather_share_one_round() -> None:
    member = acknowledged_leader(leader(2))
    member.run(Batch(reads=[1]))
    member.run(Batch(reads=[2]))
    member.run(Batch(reads=[3, 4]))
    assert kinds(member.take_sent()).count(KIND.HEARTBEAT) == 2
    sent = member.step(Message(KIND.HEARTBEAT_RESPONSE, 1, 2, 3, context=1))
    assert kinds(sent).count(KIND.HEARTBEAT) == 2
    member.step(Message(KIND.HEARTBEAT_RESPONSE, 1, 3, 3, context=2))
    assert member.released == [1, 2, 3, 4]


def test_thesis_6_2_a_leader_steps_down_without_a_round_to_a_majority() -> None:
    member = acknowledged_leader(leader(2))
    member.tick(10)
    member.tick(10)
    assert (member.state.role, member.state.leader_id) == (Role.FOLLOWER, 0)


# ---- thesis 3.10 and 9.6


def test_thesis_3_10_the_target_of_a_transfer_campaigns_at_once() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster[1].run(Batch(transfer_to=3))
    cluster.settle()
    assert [m.state.role for m in cluster.members.values()] == [
        Role.FOLLOWER,
        Role.FOLLOWER,
        Role.LEADER,
    ]


def test_thesis_3_10_the_prior_leader_takes_no_requests_during_a_transfer() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    last = cluster[1].state.log.last_index
    cluster[1].run(Batch(transfer_to=3))
    cluster[1].run(Batch(proposals=[b"x"]))
    assert cluster[1].state.log.last_index == last


def test_thesis_3_10_a_transfer_that_takes_an_election_timeout_is_aborted() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].run(Batch(transfer_to=3))
    cluster[1].run(Batch(proposals=[b"x"]))
    cluster.settle()
    cluster.tick(1, 10)
    cluster.settle()
    assert cluster[1].state.transfer_to == 0
    assert cluster[1].applied[-1].data == b"x"


def test_thesis_9_6_a_pre_vote_changes_no_term_and_no_vote() -> None:
    member = follower(2)
    before = member.state.hard_state
    sent = member.step(Message(KIND.PRE_VOTE, 1, 2, 3, index=2, log_term=2))
    assert [(m.kind, m.term, m.is_rejected) for m in sent] == [(KIND.PRE_VOTE_RESPONSE, 3, False)]
    assert member.state.hard_state == before


def test_thesis_9_6_a_candidate_increments_its_term_only_when_a_majority_would_vote() -> None:
    member = follower(2)
    member.tick(500)
    assert member.state.term == 2
    member.step(Message(KIND.PRE_VOTE_RESPONSE, 1, 2, 3))
    assert member.state.term == 3


def test_thesis_9_6_a_partitioned_server_does_not_depose_the_leader_when_it_returns() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(3, 200)
    cluster.collect()
    cluster.heal()
    for _ in range(5):
        cluster.tick(1)
        cluster.settle()
    assert (cluster[1].state.role, cluster[1].state.term) == (Role.LEADER, 2)
    assert cluster[3].state.leader_id == 1
