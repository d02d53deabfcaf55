"""What who is no member says must not end a member, nor keep it from starting again.

Such a one is heard, since it may be a member that this one has not heard of yet; what it says as
leader of a later term is done.  Neither may lead to what only a broken promise of Raft explains.
"""

import random

import pytest

from etcdpy.consensus.codec import encode_messages
from etcdpy.consensus.messages import ConfState, Entry, HardState, Message, MessageKind
from etcdpy.consensus.pump import Batch
from tests.consensus.harness import Cluster, Member
from tests.harness.strangers import Stranger

SEEDS = range(40)
STRANGERS = (8, 9)
MESSAGES = 60
KINDS = [kind for kind in MessageKind if kind is not MessageKind.REMOVED]


def tell(member: Member, source: random.Random) -> None:
    """Step a batch of a stranger's, and let some time pass."""
    state = member.state
    to, conf = member.config.member_id, ConfState(state.voters)
    strangers = [Stranger(source, sender, to, conf) for sender in STRANGERS]
    batch = [
        source.choice(strangers).say(source.choice(KINDS), state.term, state.log.last_index)
        for _ in range(source.randrange(1, 4))
    ]
    member.run(Batch(messages=batch, tick_count=source.randrange(3)))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_strangers_word_ends_a_member_or_keeps_it_from_starting(seed: int) -> None:
    source = random.Random(seed)
    cluster = Cluster.of(3)
    cluster.elect(1)
    victim = cluster[source.choice((1, 2))]
    for _ in range(MESSAGES):
        tell(victim, source)
        encode_messages(victim.take_sent())  # whatever it has become, it can say so
        if source.randrange(8) == 0:
            victim.restart()
            victim.run()


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_a_cluster_goes_on_after_what_a_stranger_said_to_one_of_it(seed: int) -> None:
    """But for entries and snapshots, which whoever leads may put in the place of others."""
    source = random.Random(seed)
    cluster = Cluster.of(3)
    cluster.elect(1)
    cluster[1].run(Batch(proposals=[b"before"]))
    cluster.settle()
    for _ in range(MESSAGES):
        kind = source.choice([k for k in KINDS if k.name not in ("APPEND", "SNAPSHOT")])
        member = cluster[source.choice((1, 2, 3))]
        stranger = Stranger(source, 9, member.config.member_id, ConfState((1, 2, 3)))
        said = stranger.say(kind, member.state.term, member.state.log.last_index)
        member.run(Batch(messages=[said]))
        cluster.settle()
    leader = lead_again(cluster)
    leader.run(Batch(proposals=[b"after"]))
    cluster.settle()
    cluster.tick(leader.config.member_id)
    cluster.settle()
    for member in cluster.members.values():
        datas = [entry.data for entry in member.applied if entry.data in (b"before", b"after")]
        assert datas == [b"before", b"after"]


def lead_again(cluster: Cluster) -> Member:
    """Let time pass until somebody leads."""
    for _ in range(200):
        for member_id, member in cluster.members.items():
            cluster.tick(member_id)
            cluster.settle()
            if member.state.is_leader:
                return member
    raise AssertionError("nobody leads")


def test_a_hard_state_of_the_last_term_can_still_be_left() -> None:
    """The end of what is believed of a term leaves room for the next campaigns."""
    member = Cluster.of(3)[1]
    member.step(Message(MessageKind.VOTE, 1, 9, 2**62, 2**62, 2**62, hint=1))
    assert member.storage.hard_state == HardState(2**62, 9, 3)
    sent = member.tick(30)
    assert {message.term for message in sent} == {2**62 + 1}
    encode_messages([m._replace(entries=(Entry(m.term, 1, 0, b""),)) for m in sent])
