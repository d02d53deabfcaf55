"""Election: when to campaign, whom to vote for, when to give up leading, whom to hand it to.

A file of its own because terms and roles change here and nowhere else (but for hearing of a
newer term or of a leader, which core and replication do with `State.become_follower`).

Three things go beyond the paper's Figure 2.  A member asks in a pre-vote whether it could win
before it begins a term, so that one that comes back from a partition deposes nobody.  A leader
that has not heard of a quorum for an election timeout steps down.  A member that has heard of
its leader within an election timeout ignores who wants a vote, unless the leader sent it.
Source: Raft (thesis), sections 4.2.3, 6.2, 9.6, 3.10.
"""

from etcdpy.consensus import membership, replication, retention
from etcdpy.consensus.messages import EntryKind, Message, MessageKind, Role
from etcdpy.consensus.quorum import VoteResult, majority, vote_result
from etcdpy.consensus.state import State

# Message.hint of a vote request: the candidate acts for the leader, who wants to be succeeded.
HINT_TRANSFER = 1


def tick(state: State) -> None:
    """Let one tick of the clock pass."""
    if state.is_leader:
        _tick_leader(state)
        return
    state.election_elapsed += 1
    if state.election_elapsed >= state.election_timeout:
        state.election_elapsed = 0
        state.draw_election_timeout()
        campaign(state)


def _tick_leader(state: State) -> None:
    state.heartbeat_elapsed += 1
    state.election_elapsed += 1
    if state.transfer_to:
        state.transfer_elapsed += 1
        if state.transfer_elapsed >= state.config.election_ticks:
            state.transfer_to = 0  # the other is too slow: take proposals again
    if state.election_elapsed >= state.config.election_ticks:
        state.election_elapsed = 0
        _check_quorum(state)
    if state.is_leader and state.heartbeat_elapsed >= state.config.heartbeat_ticks:
        state.heartbeat_elapsed = 0
        replication.send_heartbeats(state)


def _check_quorum(state: State) -> None:
    """Step down unless a quorum of voters was heard of since the last check."""
    active = 0
    for member_id, progress in state.progress.items():
        if member_id in state.voters:
            active += member_id == state.id or progress.is_recent_active
        retention.note_check(progress)
        progress.is_recent_active = False
    # One that is no voter any more has led on, taking nothing new, to tell the others so.
    if active < majority(len(state.voters)) or not state.is_voter:
        state.become_follower(state.term, 0)


def may_campaign(state: State) -> bool:
    """Whether this member may try to become leader."""
    return (
        state.is_voter
        and not state.is_leader
        and not state.is_removed
        and not membership.has_unapplied_change(state)
    )


def is_alone(state: State) -> bool:
    """Whether this member should campaign at once, because there is nobody to wait for."""
    return state.is_sole_voter and state.role is Role.FOLLOWER and may_campaign(state)


def campaign(state: State, *, is_transfer: bool = False) -> None:
    """Ask for votes, first for the promise of them unless the leader wants this campaign."""
    if not may_campaign(state):
        return
    state.counters.elections_started += 1
    if is_transfer or state.is_sole_voter:
        _become_candidate(state, is_transfer=is_transfer)
    else:
        _become_pre_candidate(state)


def _become_pre_candidate(state: State) -> None:
    state.role = Role.PRE_CANDIDATE
    state.leader_id = 0
    state.votes.clear()
    _request_votes(state, MessageKind.PRE_VOTE, state.term + 1, hint=0)
    state.votes[state.id] = True  # a pre-vote promises nothing, so nothing has to be on disk


def _become_candidate(state: State, *, is_transfer: bool = False) -> None:
    state.reset(state.term + 1)
    state.role = Role.CANDIDATE
    state.vote = state.id
    # The own vote counts when it is on disk: see `own_vote_persisted`.
    hint = HINT_TRANSFER if is_transfer else 0
    _request_votes(state, MessageKind.VOTE, state.term, hint)


def _request_votes(state: State, kind: MessageKind, term: int, hint: int) -> None:
    log = state.log
    for voter in state.voters:
        if voter != state.id:
            state.post(
                Message(kind, voter, state.id, term, log.last_index, log.last_term, hint=hint)
            )


def own_vote_persisted(state: State) -> None:
    """Count this candidate's vote for itself, which is now on disk."""
    if state.role is Role.CANDIDATE and state.id not in state.votes:
        state.votes[state.id] = True
        _count_votes(state)


def on_vote_request(state: State, message: Message) -> None:
    """Grant or refuse a vote or a pre-vote.

    Source: Raft (extended), sections 5.2 and 5.4.1.
    """
    is_pre_vote = message.kind is MessageKind.PRE_VOTE
    is_free = (
        state.vote == message.sender
        or (state.vote == 0 and state.leader_id == 0)
        or (is_pre_vote and message.term > state.term)
    )
    is_granted = is_free and state.log.is_up_to_date(message.index, message.log_term)
    if is_granted and not is_pre_vote:
        state.election_elapsed = 0
        state.vote = message.sender
    kind = MessageKind.PRE_VOTE_RESPONSE if is_pre_vote else MessageKind.VOTE_RESPONSE
    # A pre-vote is granted for the term asked about, and refused in our own.
    term = message.term if is_granted else state.term
    _answer_vote(state, kind, message.sender, term, is_rejected=not is_granted)


def refuse_vote(state: State, kind: MessageKind, to: int) -> None:
    """Refuse a vote or a pre-vote."""
    _answer_vote(state, kind, to, state.term, is_rejected=True)


def _answer_vote(state: State, kind: MessageKind, to: int, term: int, *, is_rejected: bool) -> None:
    """Answer for or against, and say what is committed: see `learn_commit`."""
    commit = state.log.commit
    state.post(
        Message(
            kind,
            to,
            state.id,
            term,
            log_term=state.log.term(commit),
            commit=commit,
            is_rejected=is_rejected,
        )
    )


def on_vote_response(state: State, message: Message) -> None:
    """Count another member's vote or pre-vote."""
    is_pre_vote = message.kind is MessageKind.PRE_VOTE_RESPONSE
    if is_pre_vote and not message.is_rejected and message.term != state.term + 1:
        return  # granted to a campaign of an earlier term
    state.votes.setdefault(message.sender, not message.is_rejected)
    learn_commit(state, message)
    if state.role in (Role.PRE_CANDIDATE, Role.CANDIDATE):
        _count_votes(state)


def learn_commit(state: State, message: Message) -> None:
    """Commit what a vote says is committed, if this log holds that very entry.

    Without it members can wait for each other for ever.  One that was removed, and so does not
    campaign, has the longer log and refuses its vote to another, who needs that vote only because
    it has not heard that the removal is committed.  Or the one with the longest log restarts, has
    forgotten that it is committed, and needs the votes of members that have long been removed.
    Source: Log Matching, Raft (extended), section 5.3; raft-rs does the same.
    """
    log = state.log
    if message.commit <= log.commit or log.find_term(message.commit) != message.log_term:
        return
    log.commit_to(message.commit)
    is_campaigning = state.role in (Role.PRE_CANDIDATE, Role.CANDIDATE)
    if is_campaigning and membership.has_unapplied_change(state):
        # What was begun by a configuration that is over must not be won by it.
        state.become_follower(state.term, 0)


def _count_votes(state: State) -> None:
    result = vote_result(state.voters, state.votes)
    if result is VoteResult.LOST:
        # Of a lost campaign nothing is learnt but that somebody else should try.
        state.become_follower(state.term, 0)
    elif result is VoteResult.WON and state.role is Role.PRE_CANDIDATE:
        _become_candidate(state)
    elif result is VoteResult.WON:
        _become_leader(state)


def _become_leader(state: State) -> None:
    """Lead: begin the term with an empty entry, since only own-term entries can be committed."""
    state.reset(state.term)
    state.role = Role.LEADER
    state.leader_id = state.id
    replication.append_own(state, EntryKind.NORMAL, [b""])
    state.term_start_index = state.log.last_index
    state.pending_change_index = state.log.last_index


def transfer_leadership(state: State, to: int) -> None:
    """As leader, hand leadership to voter `to`; as follower, ask the leader to."""
    if not state.is_leader:
        if state.leader_id:
            state.post(
                Message(MessageKind.TRANSFER, state.leader_id, state.id, state.term, index=to)
            )
        return
    if to == state.id or to not in state.voters:
        return
    state.transfer_to = to
    state.transfer_elapsed = 0
    progress = state.progress[to]
    if progress.match == state.log.last_index:
        state.post(Message(MessageKind.TIMEOUT_NOW, to, state.id, state.term))
    else:
        state.is_append_due = True


def on_transfer(state: State, message: Message) -> None:
    """As the leader that it is addressed to, hand leadership over as a member asks."""
    transfer_leadership(state, message.index)


def on_timeout_now(state: State, message: Message) -> None:
    """Campaign at once: the leader wants to be succeeded."""
    del message
    campaign(state, is_transfer=True)
