"""Test runs on one machine share its ports without ever drawing the same."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.ports import (
    BLOCK_PORTS,
    EPHEMERAL_ELSEWHERE,
    PORTS_OF_PROCFILE,
    NoPortError,
    PortBlocks,
    free_port,
    ports_to_listen_at,
    read_ephemeral,
)
from tests.harness.process import ROOT, wait_until

PORTS = ports_to_listen_at(read_ephemeral())
HOLDER = """
import sys
from pathlib import Path
from tests.harness.ports import PortBlocks
ports = PortBlocks(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
print(ports.draw(), flush=True)
sys.stdin.read()
"""


def two_blocks() -> range:
    """Return two blocks that this process's own draws have not come to."""
    return PORTS[-2 * BLOCK_PORTS :]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[PortBlocks, PortBlocks]]:
    """Two processes' ports, of which there is one block for each."""
    with (
        closing(PortBlocks(tmp_path, two_blocks())) as one,
        closing(PortBlocks(tmp_path, two_blocks())) as other,
    ):
        yield one, other


def test_two_processes_never_draw_the_same(two: tuple[PortBlocks, PortBlocks]) -> None:
    one, other = two
    mine, theirs = {one.draw()}, {other.draw()}
    mine |= {one.draw() for _ in range(3 * BLOCK_PORTS)}
    theirs |= {other.draw() for _ in range(3 * BLOCK_PORTS)}
    assert len(mine) > BLOCK_PORTS // 2
    assert not mine & theirs


def test_a_port_comes_again_only_after_all_others(tmp_path: Path) -> None:
    with closing(PortBlocks(tmp_path, two_blocks(), blocks_max=2)) as ports:
        first = ports.draw()
        drawn = []
        while (port := ports.draw()) != first:
            drawn.append(port)
        assert len(set(drawn)) == len(drawn) > BLOCK_PORTS


def test_a_port_in_use_is_not_drawn(tmp_path: Path) -> None:
    block = PORTS[-BLOCK_PORTS:]
    with closing(PortBlocks(tmp_path, block)) as ports, socket.socket() as server:
        port = ports.draw()
        server.bind(("127.0.0.1", port))
        server.listen()
        assert port not in {ports.draw() for _ in range(2 * BLOCK_PORTS)}


def test_who_finds_all_blocks_locked_is_told_where(
    tmp_path: Path, two: tuple[PortBlocks, PortBlocks]
) -> None:
    for ports in two:
        ports.draw()
    with pytest.raises(NoPortError, match=str(tmp_path)):
        PortBlocks(tmp_path, two_blocks()).draw()


def test_a_killed_run_leaves_its_ports(tmp_path: Path) -> None:
    block = PORTS[-BLOCK_PORTS:]
    words = [sys.executable, "-c", HOLDER, str(tmp_path), str(block.start), str(block.stop)]
    run = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with run, closing(PortBlocks(tmp_path, block)) as ports:
        assert run.stdout is not None
        assert int(run.stdout.readline()) in block
        with pytest.raises(NoPortError):
            ports.draw()
        run.kill()
        run.wait()
        wait_until(lambda: ports.draw() in block, 5, "a port of the ended run")


def test_ports_are_none_of_outgoing_connections() -> None:
    ephemeral = read_ephemeral()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert probe.getsockname()[1] in ephemeral
    drawn = {free_port() for _ in range(20)}
    assert len(drawn) == 20
    assert not drawn & set(ephemeral)
    assert not drawn & PORTS_OF_PROCFILE


@pytest.mark.parametrize(
    ("ephemeral", "ports"),
    [
        (range(32768, 61000), range(10000, 32768)),
        (range(1024, 40000), range(40000, 65536)),
        (range(15000, 65536), range(10000, 15000)),
        (EPHEMERAL_ELSEWHERE, range(10000, 49152)),
    ],
)
def test_the_longer_stretch_beside_them_is_taken(ephemeral: range, ports: range) -> None:
    assert ports_to_listen_at(ephemeral) == ports


def test_a_system_that_does_not_say_has_the_usual_ones(tmp_path: Path) -> None:
    assert read_ephemeral(tmp_path / "none") == EPHEMERAL_ELSEWHERE
