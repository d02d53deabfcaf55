"""Defects of reads and proposals: what clients are answered, and how often it is done."""

from typing import Any

from etcdpy.consensus import core, proposals, reads
from etcdpy.consensus.core import HANDLERS
from etcdpy.consensus.messages import (
    Message,
    MessageKind,
)
from etcdpy.consensus.pump import Pump
from etcdpy.consensus.quorum import majority
from etcdpy.consensus.state import Held, State
from tests.simulation.mutants.harness import Patches, mutant


@mutant("read without a quorum")
def read_without_quorum(patches: Patches) -> None:
    def flush(state: State) -> bool:
        if not reads.is_flush_due(state):
            return False
        waiting, state.reads_waiting = state.reads_waiting, []
        if state.is_leader:
            reads._release(state, waiting, state.log.commit)
        else:
            reads._forward(state, waiting)
        return False

    patches.replace(reads, "flush", flush)


@mutant("read index given out before an own-term commit")
def read_before_own_commit(patches: Patches) -> None:
    patches.replace(reads, "is_commit_known", lambda state: True)


@mutant("read round ended by answers to an earlier one")
def read_round_mixed_up(patches: Patches) -> None:
    before = reads.acknowledge

    def acknowledge(state: State, sender: int, context: int) -> None:
        if state.read_round is not None:
            context = state.read_round.context
        before(state, sender, context)

    patches.replace(reads, "acknowledge", acknowledge)


@mutant("read served before its index is applied")
def read_before_applied(patches: Patches) -> None:
    before = Pump._apply

    def apply(self: Pump, actions: list[Any]) -> None:
        waiting = self.core.state.read_states
        self.core.state.read_states = [state._replace(index=0) for state in waiting]
        before(self, actions)

    patches.replace(Pump, "_apply", apply)


@mutant("proposal sent twice: a forward is kept and sent again")
def forward_kept(patches: Patches) -> None:
    before = proposals._forward

    def forward(state: State, kind: Any, queue: Any) -> None:
        kept = list(queue)
        before(state, kind, queue)
        if state.random.randrange(8) == 0:
            queue.extend(kept)
            state.held_bytes += sum(len(held.data) for held in kept)

    patches.replace(proposals, "_forward", forward)


@mutant("proposal taken twice: a second delivery is not recognised")
def forward_taken_twice(patches: Patches) -> None:
    before = proposals.on_propose

    def on_propose(state: State, message: Message) -> None:
        state.forwards_taken.clear()
        before(state, message)

    patches.replace_handler(HANDLERS, on_propose, before)


@mutant("proposal taken by the leader of another term")
def forward_to_later_leader(patches: Patches) -> None:
    before = core._answer_old_term

    def answer_old_term(state: State, message: Message) -> None:
        if message.kind is MessageKind.PROPOSE and state.is_leader:
            proposals.on_propose(state, message)
        else:
            before(state, message)

    def refuse_forward(state: State, message: Message) -> None:
        until_tick = state.ticks + state.config.held_ticks_max
        state.held.extend(Held(entry.data, until_tick) for entry in message.entries)

    patches.replace(core, "_answer_old_term", answer_old_term)
    patches.replace_handler(HANDLERS, refuse_forward, proposals.refuse_forward)


@mutant("quorum of the read round counts whoever answers")
def read_counts_learners(patches: Patches) -> None:
    def maybe_finish_round(state: State) -> None:
        current = state.read_round
        if current is not None and len(current.acknowledged) >= majority(len(state.voters)):
            state.read_round = None
            reads._release(state, current.requests, current.index)

    patches.replace(reads, "maybe_finish_round", maybe_finish_round)
