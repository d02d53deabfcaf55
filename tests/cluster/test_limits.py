"""What clients may take of a member is bounded by its flags, as clients see it, and is counted."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import etcd
import pytest

from etcdpy.http.limits import DEFAULT_LIMITS, Limit
from etcdpy.settings.config import FIELDS
from etcdpy.settings.kinds import LIMITS
from etcdpy.settings.limits import BODY_BYTES_MAX, HEAD_BYTES_MAX
from tests.harness.client import Connection
from tests.harness.metrics import metrics
from tests.harness.ports import free_port
from tests.harness.process import Kind, Launcher, Member, wait_until
from tests.http.rawsocket import connect, exchange, put, read_all, read_response, request

DEADLINE_S = 30.0


def test_every_limit_is_a_setting_and_the_defaults_are_one() -> None:
    flags = {field.setting.flag for field in FIELDS if field.setting.section == LIMITS}
    assert set(Limit) == flags
    assert DEFAULT_LIMITS.head_bytes_max == HEAD_BYTES_MAX
    assert DEFAULT_LIMITS.body_bytes_max == BODY_BYTES_MAX


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[tuple[Member, str]]:
    """A member, and where its metrics are served: the bounds of clients do not hold there."""
    url = f"http://127.0.0.1:{free_port()}"
    with Launcher(Kind.ETCDPY, directory)(f"--listen-metrics-urls={url}", *options) as member:
        yield member.start(), url


def reached(url: str, limit: Limit) -> float:
    return metrics(url)["etcdpy_limit_reached_total", limit]


def until_reached(url: str, limit: Limit) -> None:
    wait_until(lambda: reached(url, limit) >= 1, DEADLINE_S, f"--{limit} is reached")


def write(member: Member, key: str, value: str = "v", **form: str) -> dict[str, Any]:
    answer = member.request("PUT", f"/v2/keys/{key}", {"value": value, **form})
    body: dict[str, Any] = {"status": answer.status, **answer.json()}
    return body


def health(member: Member, query: str = "") -> tuple[int, bytes]:
    answer = member.request("GET", f"/health{query}")
    return answer.status, answer.body


def test_a_quota_of_keys_leaves_clients_to_read_and_delete(tmp_path: Path) -> None:
    with running(tmp_path, "--quota-keys=10") as (member, url):
        for number in range(9):
            assert write(member, f"k{number}")["status"] == 201
        assert write(member, "lease", ttl="100")["status"] == 201
        refused = {"status": 403, "errorCode": 120, "message": "Quota exceeded"}
        refused |= {"cause": "10 keys of 10", "index": 13}
        assert write(member, "one-more") == refused
        assert write(member, "k0", "longer") == refused
        check_what_goes_on(member)
        assert health(member) == (503, b'{"health":"false"}\n')
        assert health(member, "?exclude=CORRUPT&exclude=NOSPACE") == (200, b'{"health":"true"}')
        samples = metrics(url)
        assert samples["etcdpy_store_keys", ""] == 10
        assert samples["etcdpy_quota_exceeded", ""] == 1
        assert samples["etcdpy_limit", "quota-keys"] == 10
        assert samples["etcdpy_limit_reached_total", "quota-keys"] == 2
        assert member.stop() != 0
        member.start()
        assert write(member, "one-more")["errorCode"] == 120
        assert member.request("DELETE", "/v2/keys/k0").status == 200
        assert write(member, "one-more")["status"] == 201
        assert health(member)[0] == 503
        check_what_was_said(member)


def check_what_goes_on(member: Member) -> None:
    """Reads, watches, refreshes of a TTL and changes of users are as ever."""
    assert member.request("GET", "/v2/keys/k0?quorum=true").json()["node"]["value"] == "v"
    with Connection(member.client_url) as connection:
        refresh = {"ttl": "200", "refresh": "true", "prevExist": "true"}
        assert connection.request("PUT", "/v2/keys/lease", refresh).status == 200
        user = json.dumps({"user": "root", "password": "x"})
        assert connection.request("PUT", "/v2/auth/users/root", user).status == 201


def check_what_was_said(member: Member) -> None:
    text = member.log_text()
    assert text.count("quota exceeded, clients can only read and delete: 10 keys of 10") == 2
    assert text.count("quota is kept again, clients can write: 9 keys of 10") == 1
    assert text.count("/health error due to memberID:") == 1


def test_keys_that_expire_make_room_by_themselves(tmp_path: Path) -> None:
    with running(tmp_path, "--quota-bytes=100") as (member, url):
        assert write(member, "k", "v" * 100, ttl="1")["status"] == 201
        assert write(member, "more")["cause"] == "101 bytes of 100"
        wait_until(lambda: health(member)[0] == 200, DEADLINE_S, "the key has expired")
        assert metrics(url)["etcdpy_store_bytes", ""] == 0
        assert write(member, "more")["status"] == 201


@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="etcdctl is not on PATH")
def test_clients_show_why_they_were_refused(tmp_path: Path) -> None:
    with running(tmp_path, "--quota-keys=1") as (member, _):
        assert write(member, "k")["status"] == 201
        words = ["etcdctl", "--endpoints", member.client_url, "set", "/more", "x"]
        environment = {"ETCDCTL_API": "2", "PATH": os.environ["PATH"]}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr.strip() == "Error:  120: Quota exceeded (1 keys of 1) [4]"
        assert done.returncode == 4
        client = etcd.Client(port=member.client_port)
        with pytest.raises(etcd.EtcdException, match="Quota exceeded : 1 keys of 1"):
            client.write("/more", "x")


def test_heads_and_bodies_are_bounded_in_size_and_time(tmp_path: Path) -> None:
    options = ["--head-bytes-max=1024", "--body-bytes-max=100"]
    options += ["--head-timeout=200", "--body-timeout=200"]
    with running(tmp_path, *options) as (member, url):
        port = member.client_port
        assert exchange(port, request(headers=b"X: %b\r\n" % (b"x" * 900))).status == 200
        assert exchange(port, request(headers=b"X: %b\r\n" % (b"x" * 1024))).status == 431
        assert exchange(port, put(b"/v2/keys/a", b"value=" + b"v" * 94)).status == 201
        longer = exchange(port, put(b"/v2/keys/a", b"value=" + b"v" * 95))
        assert (longer.status, json.loads(longer.body)["cause"]) == (400, "http: POST too large")
        with connect(port) as sock:
            sock.sendall(b"GET /v2/keys/ HT")
            assert read_all(sock) == b""
        with connect(port) as sock:
            sock.sendall(put(b"/v2/keys/a", b"value=x")[:-1])
            assert read_all(sock) == b""
        with connect(port) as idle:  # which is not half a request
            for limit in (
                Limit.HEAD_BYTES,
                Limit.BODY_BYTES,
                Limit.HEAD_TIMEOUT,
                Limit.BODY_TIMEOUT,
            ):
                assert reached(url, limit) == 1
            idle.sendall(request())
            assert read_response(idle).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, "--send-timeout=200") as (member, url):
        assert write(member, "big", "v" * 1_000_000)["status"] == 201
        with connect(member.client_port) as sock:
            sock.sendall(request(target=b"/v2/keys/big", is_last=False) * 50)
            until_reached(url, Limit.SEND_TIMEOUT)
            assert read_all(sock).count(b"HTTP/1.1 200 OK") < 50


def test_watches_are_bounded_in_all(tmp_path: Path) -> None:
    with running(tmp_path, "--watchers-max=2") as (member, url):
        watch = request(target=b"/v2/keys/a?wait=true", is_last=False)
        with connect(member.client_port) as first, connect(member.client_port) as second:
            for sock in (first, second):
                sock.sendall(watch)
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            answer = member.request("GET", "/v2/keys/a?wait=true")
            assert (answer.status, answer.json()["cause"]) == (429, "etcdserver: too many watchers")
            assert reached(url, Limit.WATCHERS) == 1
        wait_until(
            lambda: metrics(url)["etcd_debugging_store_watchers", ""] == 0, DEADLINE_S, "no watch"
        )
        with connect(member.client_port) as sock:
            sock.sendall(watch)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_writes_that_wait_are_bounded(tmp_path: Path) -> None:
    with running(tmp_path, "--proposals-max=1") as (member, url), contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(member.client_port)) for _ in range(8)]
        statuses: set[bytes] = set()

        def ask_at_once() -> bool:
            for sock in sockets:
                sock.sendall(put(b"/v2/keys/a", b"value=x", is_last=False))
            answers = [read_response(sock) for sock in sockets]
            statuses.update(answer.split(b" ", 2)[1] for answer in answers)
            refused = [answer for answer in answers if b'"errorCode":121' in answer]
            assert all(b"etcdserver: too many requests" in answer for answer in refused)
            return bool(refused)

        wait_until(ask_at_once, DEADLINE_S, "two writes at once")
        assert statuses <= {b"200", b"201", b"429"}
        assert reached(url, Limit.PROPOSALS) >= 1
        assert write(member, "after")["status"] == 201


def test_one_connection_too_many_waits_for_another_to_end(tmp_path: Path) -> None:
    options = ["--connections-max=2", "--peer-connections-max=1"]
    with running(tmp_path, *options) as (member, url), contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(connect(member.client_port)) for _ in range(3))
        for sock in (first, second):
            sock.sendall(request(is_last=False))
            assert read_response(sock).startswith(b"HTTP/1.1 200 ")
        third.sendall(request(is_last=False))
        until_reached(url, Limit.CONNECTIONS)
        assert metrics(url)["etcdpy_http_connections", "client"] == 2
        first.close()
        assert read_response(third).startswith(b"HTTP/1.1 200 ")
        check_the_others(member, url)


def check_the_others(member: Member, url: str) -> None:
    """The peers' port has a bound of its own."""
    with connect(member.peer_port) as first, connect(member.peer_port) as second:
        first.sendall(request(target=b"/version", is_last=False))
        assert read_response(first).startswith(b"HTTP/1.1 200 ")
        second.sendall(request(target=b"/version", is_last=False))
        until_reached(url, Limit.PEER_CONNECTIONS)
        assert metrics(url)["etcdpy_http_connections", "peer"] == 1
        first.shutdown(socket.SHUT_RDWR)
        assert read_response(second).startswith(b"HTTP/1.1 200 ")
