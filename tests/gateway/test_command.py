"""The words of `etcdpy gateway`.  Its refusals beside etcd's: tests/conformance.

Source: spec/cluster.md section 10.
"""

import pytest

from etcdpy import cli
from etcdpy.gateway import command
from etcdpy.gateway.finding import Settings

pytestmark = pytest.mark.usefixtures("kept_logging")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What would have been started."""
    found: list[Settings] = []

    def start(settings: Settings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(command, "_start", start)
    return found


def test_without_flags_it_is_etcds_default(started: list[Settings]) -> None:
    assert cli.main(["gateway", "start"]) == 0
    assert started == [Settings("127.0.0.1:23790", ("127.0.0.1:2379",), retry_delay_s=60.0)]


def test_every_flag_is_read(started: list[Settings]) -> None:
    words = "--endpoints a:1,b:2 start --endpoints=c:3 --listen-addr x:1 word --retry-delay 1m30s"
    more = "--discovery-srv d --discovery-srv-name n --insecure-discovery --trusted-ca-file f"
    assert cli.main(["gateway", *words.split(), *more.split()]) == 0
    assert started == [Settings("x:1", ("a:1", "b:2", "c:3"), "d", "n", True, "f", 90.0)]


def test_what_follows_two_dashes_is_no_flag(started: list[Settings]) -> None:
    assert cli.main(["gateway", "start", "--insecure-discovery=false", "--", "--bogus"]) == 0
    assert started == [Settings()]


@pytest.mark.parametrize("words", [[], ["stop"], ["--help"], ["-h"]])
def test_alone_it_shows_what_there_is(
    started: list[Settings], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cli.main(["gateway", *words]) == 0
    assert "start       start the gateway" in capsys.readouterr().out
    assert not started


def test_a_delay_cannot_be_negative(
    started: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """etcd would try without a pause."""
    assert cli.main(["gateway", "start", "--retry-delay=-1s"]) == 1
    words = 'invalid argument "-1s" for "--retry-delay" flag: must not be negative'
    assert capsys.readouterr().err.endswith(words)
    assert not started


def test_a_refusal_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gateway", "start", "--endpoints=127.0.0.1:0"]) == 1
    assert capsys.readouterr().out == 'error parsing endpoint "127.0.0.1:0"'
