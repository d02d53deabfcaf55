"""Programs of others that are installed for one run, or whose test is skipped with the reason.

A file of its own because these may not share the environment that etcdpy is developed in: they
want libraries as old as themselves.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

#: Some are built from their sources first.
INSTALL_DEADLINE_S = 600.0


def run_or_skip(command: Sequence[str], directory: Path) -> None:
    """Run a step of an installation; the test is skipped, with the step's words, if it fails."""
    shown = " ".join(Path(word).name for word in command)
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_DEADLINE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{shown}: {error}")
    if done.returncode:
        pytest.skip(f"{shown}: {done.stderr.strip().splitlines()[-1:]}")


def python_with(directory: Path, *requirements: str) -> Path:
    """Return the Python of a new environment that has what is required."""
    python = directory / "bin" / "python"
    run_or_skip([sys.executable, "-m", "venv", str(directory)], directory.parent)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_or_skip([*pip, *requirements], directory)
    return python


def node_with(directory: Path, *requirements: str) -> str:
    """Return the node command, after what is required was installed below `directory`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm: apt-get install nodejs npm")
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    run_or_skip([*command, *requirements], directory)
    return node


def plain_environment(**others: str) -> dict[str, str]:
    """Return an environment without settings of etcd or of this Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD", "PYTHON"))}
    return {**kept, **others}
