"""Reads: ReadIndex, the proof that what is read here is not older than the read.

A file of its own because it is a protocol beside the log.  The leader notes its commit index,
proves by one round of heartbeats that it still led when the read was there, and gives the index
to the asker, who serves the read when it has applied it.  One round goes on at a time and all
reads that come meanwhile share the next.  Before the leader has committed an entry of its own
term it does not know what is committed, and reads wait.
Source: Raft (thesis), section 6.4.
"""

from etcdpy.consensus.messages import Message, MessageKind, ReadState
from etcdpy.consensus.quorum import majority
from etcdpy.consensus.state import ReadRequest, ReadRound, State


def request_own(state: State, token: int) -> None:
    """Ask for an index at which this member's read `token` may be served."""
    if len(state.own_reads) >= state.config.reads_count_max:
        state.counters.reads_dropped += 1
        return
    context = state.draw_context()
    state.own_reads[context] = token
    state.reads_waiting.append(ReadRequest(state.id, context))


def on_read_index(state: State, message: Message) -> None:
    """Take another member's read, to be answered with the next round."""
    if len(state.reads_waiting) >= state.config.reads_count_max:
        state.counters.reads_dropped += 1
        return
    state.reads_waiting.append(ReadRequest(message.sender, message.context))


def is_flush_due(state: State) -> bool:
    """Whether `flush` would do something."""
    if not state.reads_waiting:
        return False
    if state.is_leader:
        return state.read_round is None and is_commit_known(state)
    return state.leader_id != 0


def is_commit_known(state: State) -> bool:
    """Whether this leader has committed an entry of its own term."""
    return state.log.commit >= state.term_start_index


def flush(state: State) -> bool:
    """Move the reads that wait on by one step, once a batch; return whether a round began."""
    if not is_flush_due(state):
        return False
    waiting, state.reads_waiting = state.reads_waiting, []
    if not state.is_leader:
        _forward(state, waiting)
        return False
    if state.is_sole_voter:
        _release(state, waiting, state.log.commit)
        return False
    state.read_round_count += 1
    state.read_round = ReadRound(state.read_round_count, state.log.commit, waiting, {state.id})
    return True


def _forward(state: State, waiting: list[ReadRequest]) -> None:
    state.read_retry_elapsed = 0
    for _, context in waiting:
        state.post(
            Message(MessageKind.READ_INDEX, state.leader_id, state.id, state.term, context=context)
        )


def acknowledge(state: State, sender: int, context: int) -> None:
    """Count an answer to the round's heartbeats; with a quorum of them, answer its reads."""
    current = state.read_round
    if current is None or current.context != context:
        return
    current.acknowledged.add(sender)
    maybe_finish_round(state)


def maybe_finish_round(state: State) -> None:
    """Answer the round's reads if the voters that answered are a quorum."""
    current = state.read_round
    if current is None:
        return
    count = sum(1 for voter in state.voters if voter in current.acknowledged)
    if count >= majority(len(state.voters)):
        state.read_round = None
        _release(state, current.requests, current.index)


def _release(state: State, requests: list[ReadRequest], index: int) -> None:
    for sender, context in requests:
        if sender == state.id:
            _answer_own(state, context, index)
        else:
            state.post(
                Message(
                    MessageKind.READ_INDEX_RESPONSE,
                    sender,
                    state.id,
                    state.term,
                    index,
                    context=context,
                )
            )


def _answer_own(state: State, context: int, index: int) -> None:
    token = state.own_reads.pop(context, None)
    if token is not None:  # the second answer to a read that was asked again
        state.read_states.append(ReadState(token, index))


def on_read_index_response(state: State, message: Message) -> None:
    """Take the leader's answer to a read of this member."""
    _answer_own(state, message.context, message.index)


def tick(state: State) -> None:
    """Ask again for this member's reads, whose question or answer may have been lost."""
    if state.is_leader or not state.own_reads:
        return
    state.read_retry_elapsed += 1
    if state.read_retry_elapsed >= state.config.election_ticks:
        state.read_retry_elapsed = 0
        state.reads_waiting = [ReadRequest(state.id, context) for context in state.own_reads]
