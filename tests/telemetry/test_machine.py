"""What the system tells of this process is what it tells others of it."""

import resource
import socket
import time
from pathlib import Path

import psutil
import pytest

from etcdpy.telemetry import machine


def test_memory_and_start_are_those_that_the_system_shows() -> None:
    memory, judge = machine.find_memory(), psutil.Process()
    assert memory is not None
    assert memory.resident_bytes == pytest.approx(judge.memory_info().rss, rel=0.2)
    assert memory.virtual_bytes == pytest.approx(judge.memory_info().vms, rel=0.2)
    assert memory.started_s == pytest.approx(judge.create_time(), abs=2)
    assert memory.started_s < time.time()


def test_an_open_descriptor_is_counted() -> None:
    before = machine.find_descriptor_count()
    with socket.socket():
        after = machine.find_descriptor_count()
    assert before is not None
    assert after == before + 1


def test_processor_time_goes_forward() -> None:
    before_s = machine.cpu_s()
    sum(range(100_000))
    assert machine.cpu_s() > before_s


def test_limits_are_the_systems() -> None:
    assert machine.descriptors_max() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    assert machine.virtual_bytes_max() == (2**64 - 1 if limit < 0 else limit)


def test_a_system_without_proc_leaves_figures_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROC", Path("/nonexistent/self"))
    monkeypatch.setattr(machine, "_DESCRIPTORS", "/nonexistent/fd")
    assert machine.find_memory() is None
    assert machine.find_descriptor_count() is None
