"""How a member starts, ends and shares (or refuses to share) its data directory."""

import contextlib
import http.client
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.harness.client import Connection
from tests.harness.ports import free_port
from tests.harness.process import Kind, Launcher, Member, ServerError, wait_until

pytest_plugins = ("tests.harness.plugin",)

DEADLINE_S = 15.0
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def index_and_term(member: Member) -> tuple[int, int]:
    answer = member.request("GET", "/v2/keys/")
    return answer.index, int(answer.headers["x-raft-term"])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_member_with_that_signal(
    launch: Launcher, number: signal.Signals
) -> None:
    member = launch().start()
    member.request("PUT", "/v2/keys/a", {"value": "1"})
    assert member.stop(number) == -number
    word = "terminated" if number is signal.SIGTERM else "interrupt"
    assert f"received {word} signal, shutting down" in member.log_text()
    assert member.start().request("GET", "/v2/keys/a").json()["node"]["value"] == "1"


@pytest.mark.parametrize("number", SIGNALS)
def test_waiting_watches_are_cut_when_the_member_ends(
    launch: Launcher, number: signal.Signals
) -> None:
    member = launch().start()
    with contextlib.ExitStack() as stack:
        watches = []
        for mode in ("wait=true", "wait=true&stream=true"):
            connection = stack.enter_context(Connection(member.client_url, DEADLINE_S))
            watches.append(connection.open("GET", f"/v2/keys/a?{mode}"))
        assert [watch.status for watch in watches] == [200, 200]
        started_s = time.monotonic()
        member.stop(number)
        assert time.monotonic() - started_s < 5
        for watch in watches:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                watch.read()


def test_nothing_listens_once_the_member_has_ended(launch: Launcher) -> None:
    member = launch().start()
    member.stop()
    for port in (member.client_port, member.peer_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_restart_costs_one_index_and_a_term(launch: Launcher, is_clean: bool) -> None:
    member = launch().start()
    assert index_and_term(member) == (3, 2)
    assert member.request("PUT", "/v2/keys/a", {"value": "1"}).index == 4
    for restarts in range(1, 3):
        if is_clean:
            member.stop()
        else:
            member.kill()
        assert index_and_term(member.start()) == (4 + restarts, 2 + restarts)


def test_what_scripts_wait_for_is_logged(launch: Launcher) -> None:
    member = launch().start()
    wait_until(
        lambda: "ready to serve client requests" in member.log_text(), DEADLINE_S, "the line"
    )
    (listed,) = member.request("GET", "/v2/members").json()["members"]
    log = member.log_text()
    assert f"published {{Name:{member.name} ClientURLs:[{member.client_url}]}}" in log
    assert "enabled capabilities for version 3.4" in log
    assert listed["id"] in log


def test_keys_with_a_ttl_expire_across_a_restart(launch: Launcher) -> None:
    member = launch().start()
    short = member.request("PUT", "/v2/keys/short", {"value": "1", "ttl": "1"})
    member.request("PUT", "/v2/keys/long", {"value": "1", "ttl": "1000"})
    wanted = member.request("GET", "/v2/keys/long").json()["node"]["expiration"]
    member.kill()
    member.start()

    def is_gone() -> bool:
        return member.request("GET", "/v2/keys/short").status == 404

    wait_until(is_gone, DEADLINE_S, "the expiry")
    path = f"/v2/keys/short?wait=true&waitIndex={short.index + 1}"
    assert member.request("GET", path).json()["action"] == "expire"
    assert member.request("GET", "/v2/keys/long").json()["node"]["expiration"] == wanted


def test_a_restart_with_another_name_and_client_url_publishes_them(launch: Launcher) -> None:
    member = launch().start()
    (before,) = member.request("GET", "/v2/members").json()["members"]
    member.stop()
    member.name = "renamed"
    member.client_port = free_port()
    member.start()
    (after,) = member.request("GET", "/v2/members").json()["members"]
    assert after == {**before, "name": "renamed", "clientURLs": [member.client_url]}


def test_a_second_process_does_not_serve_a_held_data_dir(launch: Launcher) -> None:
    """etcd waits for the lock; refusing at once with exit code 1 is as good."""
    holder = launch().start()
    holder.request("PUT", "/v2/keys/a", {"value": "1"})
    second = launch(data_dir=holder.data_dir)
    second.launch()
    end = time.monotonic() + 2
    while second.is_running and time.monotonic() < end:
        assert not second.is_ready()
    assert holder.request("PUT", "/v2/keys/b", {"value": "2"}).status == 201
    if not second.is_running:
        assert second.wait_exit() == 1
        assert str(holder.data_dir) in second.log_text()
        return
    holder.stop()
    second.wait_ready()
    assert second.request("GET", "/v2/keys/b").json()["node"]["value"] == "2"


def test_a_taken_port_is_said_and_ends_with_1(launch: Launcher) -> None:
    holder = launch().start()
    second = launch()
    second.client_port = holder.client_port
    second.launch()
    assert second.wait_exit() == 1
    assert "address already in use" in second.log_text()
    assert "Traceback" not in second.log_text()


def test_the_data_dir_is_for_its_owner_only(launch: Launcher) -> None:
    member = launch().start()
    assert member.data_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.live
def test_the_data_of_a_real_etcd_is_recognised_and_left_alone(launch_etcdpy: Launcher) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    reference = launch_etcdpy(kind=Kind.ETCD).start()
    reference.request("PUT", "/v2/keys/a", {"value": "1"})
    reference.stop()
    before = contents(reference.data_dir)
    ours = launch_etcdpy(data_dir=reference.data_dir)
    with pytest.raises(ServerError):
        ours.start()
    assert ours.wait_exit() == 1
    assert re.search(r"etcd", ours.log_text())
    assert str(reference.data_dir) in ours.log_text()
    assert "Traceback" not in ours.log_text()
    assert contents(reference.data_dir) == before
    assert reference.start().request("GET", "/v2/keys/a").json()["node"]["value"] == "1"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
