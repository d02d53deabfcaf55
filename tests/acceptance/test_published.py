"""python-etcd's own tests, as it publishes them: the same pass and fail as on the real etcd.

They start the `etcd` on the PATH, on ports that they have chosen for good.  Some fail everywhere:
they were written for an etcd of their time.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.acceptance.environment import plain_environment, python_with
from tests.acceptance.machine import on_a_machine_alone
from tests.harness.process import ROOT, Kind

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

#: With what its tests import: the last pyOpenSSL that can do what they ask, and nose's successor.
REQUIREMENTS = ("python-etcd==0.4.5", "pyOpenSSL>=23,<24.3", "pynose>=1.5,<2", "pytest>=8,<9")
MODULES = ("etcd.tests.integration.test_simple", "etcd.tests.integration.test_ssl")
AUTH = "etcd.tests.test_auth"
PLUGIN = Path(__file__).with_name("published_patience.py")
RUN_DEADLINE_S = 400.0


def put_on_path(kind: Kind, folder: Path) -> None:
    """Write a command `etcd` that runs this kind."""
    words = {
        Kind.ETCDPY: f"PYTHONPATH={ROOT} exec {sys.executable} -m etcdpy",
        Kind.ETCD: f"exec {shutil.which('etcd')} --enable-v2",
    }
    folder.mkdir()
    command = folder / "etcd"
    command.write_text(f'#!/bin/sh\n{words[kind]} "$@"\n')
    command.chmod(0o755)


def outcomes(python: Path, kind: Kind, directory: Path) -> dict[str, str]:
    """Return what became of each test on this kind of server."""
    directory.mkdir()
    put_on_path(kind, directory / "bin")
    report = directory / "report.xml"
    shutil.copy(PLUGIN, directory)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN.stem]
    environment = plain_environment(TMPDIR=str(directory), PYTHONPATH=str(directory))
    environment["PATH"] = f"{directory / 'bin'}:{environment['PATH']}"
    with (directory / "output").open("wb") as output:
        subprocess.run(
            on_a_machine_alone([*command, f"--junitxml={report}", "--pyargs", *MODULES, AUTH]),
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            timeout=RUN_DEADLINE_S,
        )
    assert report.exists(), (directory / "output").read_text(errors="replace")[-3000:]
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{c.get('classname')}.{c.get('name')}": _outcome(c) for c in cases}


def _outcome(case: ElementTree.Element) -> str:
    tags = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return tags[0] if tags else "passed"


@pytest.mark.skipif(not Kind.ETCD.is_present(), reason="needs etcd: apt-get install etcd-server")
def test_the_same_pass_and_fail(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    python = python_with(tmp_path / "python", *REQUIREMENTS)
    ours, theirs = (outcomes(python, kind, tmp_path / kind) for kind in Kind)
    record_property("tally", f"etcdpy {Counter(ours.values())}, etcd {Counter(theirs.values())}")
    assert Counter(ours.values())["passed"] > 10
    differing = {
        name: (ours.get(name), theirs.get(name))
        for name in ours.keys() | theirs.keys()
        if ours.get(name) != theirs.get(name)
    }
    assert not differing
