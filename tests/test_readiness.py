"""What systemd is told."""

import socket
from pathlib import Path

import pytest

from etcdpy.readiness import notify_systemd


def test_systemd_is_told_where_it_has_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (str(tmp_path / "notify"), f"@etcdpy-test-{tmp_path.name}-{id(tmp_path)}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind("\0" + address[1:] if address[0] == "@" else address)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            notify_systemd()
            systemd.settimeout(5.0)
            assert systemd.recv(100) == b"READY=1"


def test_nobody_is_told_where_nobody_has_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_systemd()
    assert not caplog.messages


def test_a_socket_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify_systemd()
    (line,) = caplog.messages
    assert line.startswith("failed to notify systemd for readiness: ")
