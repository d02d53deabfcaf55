"""The driver on a real loop, with a storage whose writes end when the test says so."""

import asyncio
import threading

import pytest

from etcdpy.consensus import inbox, waiting
from etcdpy.consensus.membership import HELD_CHANGES_MAX
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    ConfState,
    Message,
    MessageKind,
    Role,
    SnapshotMeta,
    SoftState,
)
from etcdpy.errors import RAFT_INTERNAL, EtcdError, FatalError
from tests.consensus.harness import bootstrapped, with_log
from tests.consensus.rig import DEADLINE_S, Rig, run

ELECTION_TICKS = 10  # by default


def test_fresh_single_member_leads_in_term_2_with_commit_2() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        status = rig.driver.status
        assert (status.term, status.commit, status.applied) == (2, 2, 2)
        assert status.leader_id == 1
        assert status.role is Role.LEADER
        assert status.conf == ConfState((1,), ())
        assert status.counters.elections_started == 1
        assert rig.soft_states[-1] == SoftState(1, Role.LEADER)
        await rig.driver.stop()

    run(main)


def test_proposals_of_one_turn_are_one_frame_and_applied_in_order() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        frames = len(rig.storage.frames)
        for number in range(100):
            rig.driver.propose(b"%d" % number)
        await rig.until_applied(100)
        assert rig.collector.datas == [b"%d" % number for number in range(100)]
        assert len(rig.storage.frames) == frames + 1
        await rig.driver.stop()

    run(main)


def test_what_arrives_while_a_write_is_going_on_is_one_further_frame() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        frames = len(rig.storage.frames)
        rig.driver.propose(b"b")
        await asyncio.sleep(0)
        rig.driver.propose(b"c")
        await asyncio.sleep(0)
        assert rig.collector.datas == []
        rig.storage.gate.set()
        await rig.until_applied(3)
        written = [[entry.data for entry in frame[1]] for frame in rig.storage.frames[frames:]]
        assert written == [[b"a"], [b"b", b"c"]]
        await rig.driver.stop()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_a_message_that_arrives_while_a_write_is_going_on_is_answered_after_it() -> None:
    async def main() -> None:
        rig = Rig(with_log([2], (1, 2, 3)))
        rig.driver.start()
        rig.storage.gate.clear()
        rig.driver.step(Message(MessageKind.VOTE, 1, 2, 3, index=2, log_term=2))
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, rig.storage.began.wait, DEADLINE_S)
        rig.driver.step(Message(MessageKind.HEARTBEAT, 1, 2, 3))
        for _ in range(3):
            await asyncio.sleep(0)
        assert rig.collector.messages == []
        rig.storage.gate.set()
        await rig.until(lambda: rig.collector.of_kind(MessageKind.HEARTBEAT_RESPONSE))
        assert rig.collector.of_kind(MessageKind.VOTE_RESPONSE)
        await rig.driver.stop()
        await loop.shutdown_default_executor()

    run(main)


def test_nothing_is_applied_before_its_write_has_returned() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.storage.gate.clear()
        rig.driver.propose(b"a")
        for _ in range(10):
            await asyncio.sleep(0)
        assert rig.collector.datas == []
        rig.storage.gate.set()
        await rig.until(lambda: rig.collector.datas == [b"a"])
        await rig.driver.stop()

    run(main)


def test_what_is_on_disk_is_applied_while_the_next_write_goes_on() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        rig.driver.propose(b"b")
        read = rig.driver.read_index()
        await rig.go_on_to_the_next()
        await rig.until_applied(1)
        assert rig.collector.datas == [b"a"]
        assert await read == rig.driver.status.applied
        rig.storage.gate.set()
        await rig.until_applied(2)
        await rig.driver.stop()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_a_failure_to_apply_while_a_write_goes_on_ends_all() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        rig.driver.propose(b"b")
        rig.collector.error = ValueError("a bug")
        await rig.go_on_to_the_next()
        await rig.until(lambda: rig.fatal)
        rig.collector.error = None
        rig.storage.gate.set()
        await rig.driver.stop()
        assert [str(error) for error in rig.fatal] == ["ValueError: a bug"]
        assert rig.collector.datas == []
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_a_write_that_fails_takes_nothing_back_of_what_was_applied_meanwhile() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        rig.driver.propose(b"b")
        await rig.go_on_to_the_next()
        await rig.until_applied(1)
        rig.storage.error = FatalError("disk full")
        rig.storage.gate.set()
        await rig.until(lambda: rig.fatal)
        assert rig.collector.datas == [b"a"]
        await rig.driver.stop()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_all_writes_are_in_one_thread_that_is_not_the_loops() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        for number in range(3):
            rig.driver.propose(b"x")
            await rig.until_applied(number + 1)
        assert len(rig.storage.threads) == 1
        assert threading.get_ident() not in rig.storage.threads
        await rig.driver.stop()

    run(main)


def test_a_failed_write_is_fatal_and_nothing_is_answered() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.storage.error = FatalError("disk full")
        rig.storage.gate.clear()
        rig.driver.propose(b"a")
        await asyncio.sleep(0)
        read = rig.driver.read_index()
        rig.storage.gate.set()
        await rig.until(lambda: rig.fatal)
        assert str(rig.fatal[0]) == "disk full"
        with pytest.raises(EtcdError, match="server stopped"):
            await read
        with pytest.raises(EtcdError, match="server stopped"):
            rig.driver.propose(b"b")
        rig.driver.step(Message(MessageKind.HEARTBEAT, 1, 2, 9))
        rig.driver.transfer_leadership(2)
        await asyncio.sleep(0)
        assert rig.collector.datas == []
        assert len(rig.fatal) == 1
        await rig.driver.stop()

    run(main)


def test_an_unforeseen_error_in_a_batch_is_fatal_too() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.collector.error = ValueError("a bug")
        rig.driver.propose(b"a")
        await rig.until(lambda: rig.fatal)
        assert str(rig.fatal[0]) == "ValueError: a bug"
        assert isinstance(rig.fatal[0].__cause__, ValueError)
        await rig.driver.stop()

    run(main)


def test_stop_applies_what_is_being_written_and_refuses_what_comes_later() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        rig.driver.propose(b"late")
        stopping = asyncio.create_task(rig.driver.stop())
        await asyncio.sleep(0)
        rig.storage.gate.set()
        await stopping
        assert rig.collector.datas == [b"a"]
        with pytest.raises(EtcdError) as refusal:
            rig.driver.propose(b"b")
        assert (refusal.value.code, refusal.value.cause) == (
            RAFT_INTERNAL,
            b"etcdserver: server stopped",
        )
        await rig.driver.stop()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_stop_before_start_is_harmless() -> None:
    async def main() -> None:
        rig = Rig(bootstrapped([1]))
        await rig.driver.stop()
        with pytest.raises(EtcdError, match="too many"):
            rig.driver.read_index()

    run(main)


def test_too_many_proposals_are_refused_by_count_and_by_bytes() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1]), held_count_max=3, held_bytes_max=10).started()
        for _ in range(3):
            rig.driver.propose(b"x")
        with pytest.raises(EtcdError, match="too many requests"):
            rig.driver.propose(b"y")
        await rig.until_applied(3)
        rig.driver.propose(b"12345")
        with pytest.raises(EtcdError, match="too many requests"):
            rig.driver.propose(b"678901")
        await rig.until_applied(4)
        await rig.driver.stop()

    run(main)


def test_too_many_configuration_changes_are_refused() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        change = ConfChange(ConfChangeKind.UPDATE, 1)
        for _ in range(HELD_CHANGES_MAX):
            rig.driver.propose_conf_change(change)
        with pytest.raises(EtcdError, match="too many requests"):
            rig.driver.propose_conf_change(change)
        await rig.until(lambda: len(rig.collector.applied) == 2 + HELD_CHANGES_MAX)
        await rig.driver.stop()

    run(main)


def test_a_frame_holds_at_most_what_one_slice_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(inbox, "BATCH_PROPOSALS_MAX", 4)
        rig = await Rig(bootstrapped([1]), apply_count_max=4).started()
        for number in range(10):
            rig.driver.propose(b"%d" % number)
        await rig.until_applied(10)
        assert rig.collector.datas == [b"%d" % number for number in range(10)]
        assert [len(entries) for _, entries in rig.storage.frames[-3:]] == [4, 4, 2]
        await rig.driver.stop()

    run(main)


def test_a_backlog_is_applied_in_slices_between_which_the_loop_turns() -> None:
    async def main() -> None:
        rig = Rig(with_log([2] * 50, (1, 2, 3), commit=51), apply_count_max=7)
        rig.driver.start()
        turns = 0
        while rig.driver.status.applied < 51:
            await asyncio.sleep(0)
            turns += 1
        assert max(rig.collector.slices) == 7
        assert turns >= len(rig.collector.slices) >= 50 // 7
        assert [entry.index for entry in rig.collector.applied] == list(range(2, 52))
        await rig.driver.stop()

    run(main)


def test_read_index_resolves_after_what_was_acknowledged_before() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.driver.propose(b"a")
        await rig.until(lambda: rig.collector.datas)
        assert await rig.driver.read_index() >= rig.driver.status.commit
        await rig.driver.stop()

    run(main)


def test_reads_share_questions_and_those_given_up_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr(waiting, "OPEN_READS_MAX", 1)
        monkeypatch.setattr(waiting, "READS_COUNT_MAX", 3)
        rig = Rig(with_log([2], (1, 2, 3)))
        rig.driver.start()
        first = rig.driver.read_index()
        await asyncio.sleep(0)
        second, third = rig.driver.read_index(), rig.driver.read_index()
        with pytest.raises(EtcdError, match="too many requests"):
            rig.driver.read_index()
        first.cancel()
        fourth = rig.driver.read_index()
        rig.driver.step(Message(MessageKind.HEARTBEAT, 1, 2, 2, commit=2))
        await rig.until(lambda: len(rig.collector.of_kind(MessageKind.READ_INDEX)) == 1)
        answer = MessageKind.READ_INDEX_RESPONSE
        context = rig.collector.of_kind(MessageKind.READ_INDEX)[0].context
        rig.driver.step(Message(answer, 1, 2, 2, index=2, context=context))
        await rig.until(lambda: len(rig.collector.of_kind(MessageKind.READ_INDEX)) == 2)
        context = rig.collector.of_kind(MessageKind.READ_INDEX)[1].context
        rig.driver.step(Message(answer, 1, 2, 2, index=2, context=context))
        assert [await second, await third, await fourth] == [2, 2, 2]
        await rig.driver.stop()

    run(main)


def test_a_late_timer_is_one_tick() -> None:
    async def main() -> None:
        rig = Rig(with_log([2], (1, 2, 3)))
        rig.driver.start()
        for _ in range(50):
            rig.driver._tick()  # as if fifty were due at once
            assert rig.driver._timer is not None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rig.driver._core.state.election_elapsed == 1
        await rig.driver.stop()

    run(main)


def test_a_received_snapshot_is_installed_off_the_loop() -> None:
    async def main() -> None:
        rig = Rig(with_log([2, 2], (1, 2, 3)))
        rig.driver.start()
        meta = SnapshotMeta(10, 3, ConfState((1, 2, 3), ()))
        rig.driver.step(Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=meta))
        await rig.until(lambda: rig.installed == [meta] and rig.collector.messages)
        answer = rig.collector.messages[-1]
        assert (answer.kind, answer.index) == (MessageKind.APPEND_RESPONSE, 10)
        assert rig.driver.status.applied == 10
        assert rig.driver.applied_meta() == meta
        await rig.driver.stop()

    run(main)


def test_no_snapshot_can_be_taken_while_a_received_one_is_installed() -> None:
    async def main() -> None:
        rig = Rig(with_log([2, 2], (1, 2, 3)))
        rig.driver.start()
        meta = SnapshotMeta(10, 3, ConfState((1, 2), ()))
        rig.driver.step(Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=meta))
        await rig.until(lambda: rig.installed)
        assert rig.places == [None, None]  # neither the place before nor after it is a whole one
        await rig.driver.stop()

    run(main)


def test_a_snapshot_without_an_installer_is_fatal() -> None:
    async def main() -> None:
        rig = Rig(with_log([2, 2], (1, 2, 3)))
        rig.driver._installer = None
        rig.driver.start()
        meta = SnapshotMeta(10, 3, ConfState((1, 2, 3), ()))
        rig.driver.step(Message(MessageKind.SNAPSHOT, 1, 2, 3, snapshot=meta))
        await rig.until(lambda: rig.fatal)
        await rig.driver.stop()

    run(main)


def test_compaction_past_the_snapshot_is_refused_and_within_it_done() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        for _ in range(5):
            rig.driver.propose(b"x")
        await rig.until_applied(5)
        with pytest.raises(FatalError):
            rig.driver.compact(4)
        rig.snapshot()
        rig.driver.compact(4)
        assert rig.storage.first_index() == 5
        await rig.driver.stop()

    run(main)


def test_an_added_learner_is_sent_a_snapshot_when_its_entries_are_compacted() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.snapshot()
        rig.driver.compact(2)
        rig.driver.propose_conf_change(ConfChange(ConfChangeKind.ADD_LEARNER, 2))
        await rig.until(lambda: rig.driver.status.conf.learners == (2,))
        await rig.until(lambda: rig.collector.messages)
        refused = rig.collector.messages[0]
        assert refused.kind is MessageKind.APPEND
        rig.driver.step(
            Message(MessageKind.APPEND_RESPONSE, 1, 2, 2, refused.index, is_rejected=True, hint=0)
        )
        await rig.until(lambda: rig.collector.requests)
        rig.driver.report_snapshot(2, is_ok=False)
        rig.driver.report_unreachable(2)
        rig.driver.report_unreachable(2)
        await asyncio.sleep(0)
        assert rig.collector.requests[0].message.snapshot == SnapshotMeta(2, 2, ConfState((1,), ()))
        await rig.driver.stop()

    run(main)


def test_a_job_for_the_writer_runs_in_its_thread_and_between_frames() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        seen: list[int] = []
        await rig.driver.run_in_writer(lambda: seen.append(threading.get_ident()))
        assert set(seen) == rig.storage.threads

        def fail() -> None:
            raise OSError("no")

        with pytest.raises(OSError, match="no"):
            await rig.driver.run_in_writer(fail)
        given_up = rig.driver.run_in_writer(lambda: None)
        given_up.cancel()
        await rig.driver.run_in_writer(lambda: None)
        await rig.driver.stop()
        with pytest.raises(EtcdError, match="server stopped"):
            rig.driver.run_in_writer(lambda: None)

    run(main)


def test_without_a_soft_state_callback_nothing_is_told() -> None:
    async def main() -> None:
        rig = Rig(bootstrapped([1]))
        rig.driver._on_soft_state = None
        await rig.started()
        assert rig.soft_states == []
        await rig.driver.stop()

    run(main)


def test_reads_given_up_are_passed_over_when_others_are_answered_or_refused() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        given_up, other = rig.driver.read_index(), rig.driver.read_index()
        given_up.cancel()
        assert await other == rig.driver.status.applied
        given_up, other = rig.driver.read_index(), rig.driver.read_index()
        given_up.cancel()
        await rig.driver.stop()
        with pytest.raises(EtcdError, match="server stopped"):
            await other

    run(main)


def test_a_write_that_fails_while_stopping_is_told() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        rig.storage.error = FatalError("disk full")
        await rig.propose_and_hold(b"a")
        stopping = asyncio.create_task(rig.driver.stop())
        await asyncio.sleep(0)
        rig.storage.gate.set()
        await stopping
        assert [str(error) for error in rig.fatal] == ["disk full"]
        assert rig.collector.datas == []
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main)


def test_a_member_that_is_told_to_campaigns_without_waiting() -> None:
    async def main() -> None:
        rig = Rig(bootstrapped([1, 2, 3]))
        rig.driver.start()
        await rig.until(lambda: rig.driver.status.applied == 3)
        rig.driver.campaign()
        await rig.until(lambda: rig.soft_states)
        assert rig.driver.status.role is Role.PRE_CANDIDATE
        assert rig.driver.status.term == 1  # a pre-vote begins no term
        await rig.driver.stop()

    run(main)


def test_ticks_can_pass_at_once() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1, 2, 3])).started()
        counters = rig.driver.status.counters
        for ticks, elections in ((ELECTION_TICKS - 1, 0), (ELECTION_TICKS, 1)):
            rig.driver.advance(ticks)
            await asyncio.sleep(0)  # the batch is taken in the next turn
            await asyncio.sleep(0)
            assert counters.elections_started == elections
        await rig.driver.stop()

    run(main)


def test_what_waits_is_told() -> None:
    async def main() -> None:
        rig = await Rig(bootstrapped([1])).started()
        await rig.propose_and_hold(b"a")
        rig.driver.propose(b"b")
        read = rig.driver.read_index()
        backlog = rig.driver.backlog
        assert (backlog.proposals, backlog.new_reads) == (1, 1)
        rig.storage.gate.set()
        await read
        await rig.until_applied(2)
        assert sum(rig.driver.backlog) == 0
        await rig.driver.stop()

    run(main)
