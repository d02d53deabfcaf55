"""The project's files, as the style tests see them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("etcdpy", "tests", "benchmarks")
_TEXT_SUFFIXES = {".py", ".md", ".yml", ".yaml", ".toml", ".lua", ".txt", ".json", ".jsonl", ""}
_TOP_FILES = (
    "Makefile",
    "README.md",
    "pyproject.toml",
    "config.example.yml",
    "Procfile",
    ".ci/run",
)


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below these folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> Iterator[Path]:
    """Yield every file that people write, code and prose."""
    for folder in (*CODE, "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in _TEXT_SUFFIXES and "__pycache__" not in path.parts:
                yield path
    yield from (ROOT / name for name in _TOP_FILES)


def prose_files() -> list[Path]:
    """Return what users read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(path: Path) -> str:
    """Return how a failure names a file."""
    return str(path.relative_to(ROOT))
