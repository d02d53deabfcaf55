"""A member seen from outside: every metric is there, and moves with what it counts.

Source: spec/observability.md sections 2, 4, 5 and 6.
"""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from etcdpy import logs
from etcdpy.consensus.driver import Driver
from etcdpy.errors import RAFT_INTERNAL, EtcdError
from etcdpy.member import Member
from etcdpy.metrics.families import FAMILIES
from tests.test_member import put, run, running, until

#: Families that a member alone has no value for: they are of peers, or of what has not happened.
NEEDS_MORE = {
    *(name for name in FAMILIES if name.startswith(("etcd_network_", "etcdpy_peer_"))),
    *(name for name in FAMILIES if name.startswith("etcd_http_")),
    "etcdpy_clock_difference_seconds",
    "etcdpy_raft_follower_lag_entries",
    "etcdpy_log_lines_total",
}


def scrape(member: Member) -> dict[tuple[str, str], float]:
    """Return all samples by name and labels; the parser ends the names of all counters alike."""
    samples: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(member.monitor.render_metrics().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            samples[sample.name, labels] = sample.value
    return samples


def types_of(text: bytes) -> dict[str, str]:
    """Return the type of each family of a text."""
    lines = [line.split() for line in text.decode().splitlines()]
    return {words[2]: words[3] for words in lines if words[:2] == ["#", "TYPE"]}


def test_a_member_shows_every_metric_that_needs_no_other(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d", metrics="extensive") as member:
            await member.propose(put(member, "a"))
            types = types_of(member.monitor.render_metrics())
            wanted = {name: str(f.kind) for name, f in FAMILIES.items() if name not in NEEDS_MORE}
            assert {name: types.get(name) for name in wanted} == wanted

    run(test)


def test_basic_leaves_out_what_is_for_few(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            shown = types_of(member.monitor.render_metrics())
            assert not any(FAMILIES[name].is_extensive for name in shown)

    run(test)


def test_writes_move_the_indexes(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            before = scrape(member)
            for _ in range(10):
                await member.propose(put(member, "a"))
            after = scrape(member)
            for name in (
                "etcd_server_proposals_committed_total",
                "etcd_server_proposals_applied_total",
                "etcdpy_raft_log_last_index",
                "etcdpy_store_index",
                "etcdpy_raft_batch_proposals_sum",
            ):
                assert after[name, ""] == before[name, ""] + 10, name
            term = after["etcdpy_raft_term", ""]
            assert after["etcdpy_raft_log_last_term", ""] == term
            writes = ("etcd_debugging_store_writes_total", "action=set")
            assert after[writes] == before[writes] + 10

    run(test)


def test_a_leader_is_seen_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            seen = scrape(member)
            assert seen["etcd_server_has_leader", ""] == 1
            assert seen["etcd_server_is_leader", ""] == 1
            assert seen["etcd_server_is_learner", ""] == 0
            assert seen["etcd_server_leader_changes_seen_total", ""] == 1
            assert seen["etcd_server_id", f"server_id={member.member_id:x}"] == 1
            assert seen["etcd_cluster_version", "cluster_version=3.4"] == 1

    run(test)


def test_watches_and_keys_that_expire_are_counted(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            await member.propose(put(member, "a", ttl_ns=3_600_000_000_000))
            watcher = member.watch(b"/1/a", is_recursive=False, is_stream=False, since=0)
            seen = scrape(member)
            assert seen["etcd_debugging_store_watchers", ""] == 1
            assert seen["etcdpy_watch_paths", ""] == 1
            assert seen["etcdpy_expiring_keys", ""] == 1
            member.unwatch(watcher)
            await member.propose(put(member, "a", ttl_ns=1))
            await until(lambda: scrape(member)["etcd_debugging_store_expires_total", ""] == 1)
            assert scrape(member)["etcd_debugging_store_watchers", ""] == 0

    run(test)


def test_a_snapshot_is_timed(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d", snapshot_count=5) as member:
            name = "etcd_debugging_snap_save_total_duration_seconds_count"
            for _ in range(20):
                await member.propose(put(member, "a"))
            await until(lambda: scrape(member)[name, ""] >= 1)
            seen = scrape(member)
            assert seen["etcdpy_raft_snapshot_index", ""] > 0

    run(test)


def test_probes_are_counted_and_a_failed_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(driver: Driver) -> "asyncio.Future[int]":
        raise EtcdError(RAFT_INTERNAL, b"etcdserver: too many requests")

    async def test() -> None:
        async with running(tmp_path / "d") as member:
            assert await member.monitor.is_healthy()
            monkeypatch.setattr(Driver, "read_index", refuse)
            assert not await member.monitor.is_healthy()
            seen = scrape(member)
            assert seen["etcd_server_health_success_total", ""] == 1
            assert seen["etcd_server_health_failures_total", ""] == 1

    run(test)
    said = "/health error; QGET failed etcdserver: too many requests (status code 503)"
    assert said in caplog.messages


def test_a_read_without_a_quorum_is_counted_and_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("etcdpy.telemetry.telemetry.HEALTH_TIMEOUT_S", 0.01)

    async def test() -> None:
        async with running(tmp_path / "d") as member:
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(Driver, "read_index", lambda driver: loop.create_future())
            assert not await member.monitor.is_healthy()
            assert scrape(member)["etcd_server_read_indexes_failed_total", ""] == 1

    run(test)
    said = "/health error; QGET failed etcdserver: request timed out (status code 503)"
    assert said in caplog.messages


def test_variables_tell_where_raft_stands(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path / "d") as member:
            await member.propose(put(member, "a"))
            values = member.monitor.variables()
            assert list(values) == sorted(values)
            me = f"{member.member_id:x}"
            assert values["raft.status"] == {
                "id": me,
                "term": 2,
                "vote": me,
                "commit": 5,
                "lead": me,
                "raftState": "StateLeader",
                "applied": 5,
                "progress": {me: {"match": 5, "next": 6, "state": "StateReplicate"}},
                "leadtransferee": "0",
            }
            assert json.dumps(values)

    run(test)


def test_the_level_of_the_log_can_be_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = logging.getLogger("etcdpy")
    before = ours.level

    async def test() -> None:
        async with running(tmp_path / "d") as member:
            ours.setLevel(logging.INFO)
            assert member.monitor.set_log_level("w")
            assert ours.level == logging.WARNING
            assert not member.monitor.set_log_level("WARN")
            assert ours.level == logging.WARNING

    try:
        run(test)
    finally:
        ours.setLevel(before)
    record = next(r for r in caplog.records if "globalLogLevel" in r.message)
    assert (record.message, record.levelno) == ('globalLogLevel set to "WARNING"', logs.NOTICE)
