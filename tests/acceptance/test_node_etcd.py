"""node-etcd, from npm: each call brings the same on etcdpy as on the real etcd."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.environment import node_with, plain_environment
from tests.harness.process import Kind, Member

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).with_name("node_etcd.js")
RUN_DEADLINE_S = 60.0


def outcome(node: str, script: Path, kind: Kind, directory: Path) -> list[str]:
    """Return what the script says of a new member, a line for each call."""
    with Member(kind, directory / kind) as member:
        member.start()
        done = subprocess.run(
            [node, str(script), member.client_url],
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_DEADLINE_S,
            env=plain_environment(),
        )
    assert done.returncode == 0, f"{kind}: {done.stdout[-2000:]}\n{done.stderr}"
    return [line.replace(member.client_url, "URL") for line in done.stdout.splitlines()]


@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="needs etcd: apt-get install etcd-server")
def test_every_call_brings_the_same(tmp_path: Path) -> None:
    node = node_with(tmp_path, "node-etcd@7")
    script = tmp_path / SCRIPT.name
    shutil.copy(SCRIPT, script)
    ours, theirs = (outcome(node, script, kind, tmp_path) for kind in Kind)
    assert ours[-1] == "end"
    assert ours == theirs
