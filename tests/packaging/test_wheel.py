"""The wheel has what an installed etcdpy needs, and nothing else; the command runs from it."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from etcdpy import ETCD_VERSION, __version__
from tests.style.files import ROOT, python_files

#: What a build reads.
SOURCES = ("etcdpy", "pyproject.toml", "README.md", "LICENSE")
DEADLINE_S = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is written into the project."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    target = tmp_path_factory.mktemp("wheel")
    words = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *words, "--wheel-dir", target, tree],
        check=True,
        timeout=DEADLINE_S,
    )
    (built,) = target.glob("*.whl")
    return built


def test_it_has_every_module_and_no_test(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in python_files("etcdpy")}
    assert modules | {"etcdpy/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "etcdpy",
        f"etcdpy-{__version__}.dist-info",
    }


def test_its_metadata_names_version_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = f"etcdpy-{__version__}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    entry_points = archive.read(f"{folder}/entry_points.txt").decode().split()
    assert entry_points == ["[console_scripts]", "etcdpy", "=", "etcdpy.cli:main"]


def test_the_command_runs_from_it(wheel: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "etcdpy", "--version"],
        env={"PYTHONPATH": str(wheel)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert done.stdout.splitlines()[0] == f"etcd Version: {ETCD_VERSION}"
    assert done.stdout.splitlines()[-1] == f"etcdpy Version: {__version__}"


def test_importing_the_package_starts_nothing() -> None:
    """Who asks for the version does not load the server's libraries."""
    code = "import sys, etcdpy; sys.exit(any(m in sys.modules for m in ('aiohttp', 'asyncio')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0


@pytest.mark.soak
def test_it_installs_with_what_it_needs(wheel: Path, tmp_path: Path) -> None:
    """Into an empty environment, from the package index."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=DEADLINE_S)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, timeout=600)
    done = subprocess.run(
        [place / "bin" / "etcdpy", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"etcd Version: {ETCD_VERSION}")
