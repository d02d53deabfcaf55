"""Salt's execution module for etcd: each call tells the same on etcdpy as on the real etcd."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.environment import plain_environment, python_with
from tests.harness.process import Kind, Member

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

#: The next has left this module to an extension.
REQUIREMENTS = ("salt>=3006,<3008", "python-etcd==0.4.5")
SCRIPT = Path(__file__).with_name("salt_calls.py")
RUN_DEADLINE_S = 120.0


def outcome(python: Path, kind: Kind, directory: Path) -> list[dict[str, Any]]:
    """Return what each call told on a new member."""
    with Member(kind, directory / kind) as member:
        member.start()
        config = directory / f"{kind}.yml"
        store = {"etcd.host": "127.0.0.1", "etcd.port": member.client_port}
        minion = {"id": "minion", "root_dir": str(directory), "file_client": "local"}
        config.write_text(yaml.safe_dump({**minion, "store": store}))
        done = subprocess.run(
            [str(python), str(SCRIPT), str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_DEADLINE_S,
            env=plain_environment(),
        )
    assert done.returncode == 0, f"{kind}: {done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="needs etcd: apt-get install etcd-server")
def test_every_call_tells_the_same(tmp_path: Path) -> None:
    python = python_with(tmp_path / "python", *REQUIREMENTS)
    ours, theirs = (outcome(python, kind, tmp_path) for kind in Kind)
    assert {"call": "get", "of": "/site/name", "told": "one"} in ours
    assert ours == theirs
