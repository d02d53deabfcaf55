"""pump: the order of doing, as data."""

import random
from itertools import pairwise

import pytest

from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    HardState,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
    SoftState,
)
from etcdpy.consensus.pump import (
    Action,
    Apply,
    Batch,
    Install,
    Persist,
    Pump,
    ReleaseReads,
    SendAfterPersist,
    SendNow,
    SendSnapshot,
    SoftStateChanged,
)
from etcdpy.consensus.state import RaftConfig
from tests.consensus.harness import Cluster, Member, with_log

BEGIN_ORDER = [SoftStateChanged, SendNow, SendSnapshot, Persist, Apply, ReleaseReads]
INSTALL_ORDER = [SoftStateChanged, SendNow, SendSnapshot, Apply, ReleaseReads, Install, Persist]
PERSISTED_ORDER = [SendAfterPersist, Apply, ReleaseReads]
DIRECT_ORDER = [SoftStateChanged, SendNow, SendSnapshot, SendAfterPersist, Apply, ReleaseReads]


def in_order(actions: list[Action], order: list[type]) -> bool:
    places = [order.index(type(action)) for action in actions]
    return all(before <= after for before, after in pairwise(places))


@pytest.mark.parametrize("seed", range(20))
def test_actions_are_in_the_promised_order(seed: int) -> None:
    """Random traffic among three members: every list that a pump gives is in order."""
    source = random.Random(seed)
    cluster = Cluster.of(3)
    for turn in range(150):
        member = cluster[source.randrange(1, 4)]
        cluster.collect()
        mine = [message for message in cluster.wire if message.to == member.state.id]
        cluster.wire = [message for message in cluster.wire if message.to != member.state.id]
        batch = Batch(
            messages=mine,
            tick_count=source.randrange(3),
            proposals=[b"x"] * source.randrange(3),
            reads=[turn] if source.random() < 0.2 else [],
        )
        actions = member.pump.begin(batch)
        has_to_persist = member.pump.is_persisting
        has_to_install = any(isinstance(action, Install) for action in actions)
        begin_order = INSTALL_ORDER if has_to_install else BEGIN_ORDER
        assert in_order(actions, begin_order if has_to_persist else DIRECT_ORDER)
        for action in actions:
            member.do(action)
        if has_to_persist:
            assert not any(isinstance(action, SendAfterPersist) for action in actions)
            assert any(isinstance(action, (Persist, Install)) for action in actions)
            must_apply = source.random() < 0.5
            actions = member.pump.persisted(must_apply=must_apply)
            assert in_order(actions, PERSISTED_ORDER if must_apply else [SendAfterPersist])
            for action in actions:
                member.do(action)


def test_nothing_is_begun_while_something_is_being_persisted() -> None:
    member = Member(RaftConfig(1), with_log([2], (1,)))
    member.pump.begin(Batch())
    with pytest.raises(AssertionError):
        member.pump.begin(Batch())


def test_persisted_is_owed_only_after_persist() -> None:
    with pytest.raises(AssertionError):
        Member(RaftConfig(1), with_log([2])).pump.persisted()


def test_heartbeats_are_heard_before_the_clock() -> None:
    """After a pause the ticks must not outrun the messages that came meanwhile."""
    member = Member(RaftConfig(1), with_log([2]))
    member.state.election_timeout = 10
    member.run(Batch(tick_count=9))
    heartbeat = Message(MessageKind.HEARTBEAT, 1, 2, 2)
    member.run(Batch(messages=[heartbeat], tick_count=9))
    assert member.state.role is Role.FOLLOWER
    assert member.state.counters.elections_started == 0


def test_a_read_is_released_after_its_index_is_applied() -> None:
    member = Member(RaftConfig(1, apply_count_max=2), with_log([2] * 6, commit=7))
    heartbeat = Message(MessageKind.HEARTBEAT, 1, 2, 2)
    asked = member.once(Batch(messages=[heartbeat], reads=[5]))
    context = next(a for a in asked if isinstance(a, SendNow)).messages[0].context
    answer = Message(MessageKind.READ_INDEX_RESPONSE, 1, 2, 2, index=6, context=context)
    # Two entries are applied at a time: 2 and 3 above, then 4 and 5, then 6 and 7.
    assert [type(action) for action in member.once(Batch(messages=[answer]))] == [Apply]
    assert [type(action) for action in member.once()] == [Apply, ReleaseReads]
    assert member.released == [5]


def test_a_snapshot_is_installed_with_its_own_commit_before_the_entries_after_it() -> None:
    member = Member(RaftConfig(1), with_log([2]))
    meta = SnapshotMeta(5, 3, ConfState((1, 2, 3), ()))
    actions = member.pump.begin(
        Batch(
            messages=[
                Message(MessageKind.SNAPSHOT, 1, 2, 4, snapshot=meta),
                Message(
                    MessageKind.APPEND,
                    1,
                    2,
                    4,
                    index=5,
                    log_term=3,
                    entries=[Entry(4, 6, 0, b"x")],
                    commit=6,
                ),
            ]
        )
    )
    assert actions == [
        SoftStateChanged(SoftState(2, Role.FOLLOWER)),
        Install(HardState(4, 0, 5), meta),
        Persist(HardState(4, 0, 6), [Entry(4, 6, 0, b"x")]),
    ]


def test_has_work_says_whether_begin_would_do_anything() -> None:
    cluster = Cluster.of(3)
    cluster.elect(1)
    assert not any(member.pump.has_work for member in cluster.members.values())
    for member in cluster.members.values():
        assert member.pump.begin(Batch()) == []


def test_a_new_pump_on_what_is_durable_is_a_restart() -> None:
    member = Member(RaftConfig(1), with_log([2, 2], (1,)))
    member.run()
    member.propose(b"x")
    before = member.applied[:]
    member.restart()
    member.run()
    assert member.applied[: len(before)] == before
    assert isinstance(member.pump, Pump)
