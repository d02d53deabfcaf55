"""What the documents say of flags, targets and paths is true of the project."""

import re
from pathlib import Path

import pytest
import yaml

from etcdpy import cli
from etcdpy.gateway import command
from etcdpy.settings import sources
from etcdpy.settings.config import FIELDS, Config, Field
from etcdpy.settings.ignored import WITHOUT_EFFECT
from etcdpy.settings.kinds import BOOLEAN, NUMBER, NUMBER64, TEXTS, URLS
from tests.conformance import differences
from tests.style.files import ROOT, name_of, prose_files, text_files

EXAMPLE = ROOT / "config.example.yml"
CONFIGURATION = ROOT / "docs" / "configuration.md"
DIFFERENCES = ROOT / "docs" / "differences.md"

#: Folders of one person's machine: a path below them is of no use to anybody else.
_PERSONAL = re.compile(r"(?<![\w.:/-])/(?:home|root|work|Users)/\w")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")
_TARGET = re.compile(r"\bmake ((?:[a-z]+ ?)+)")
#: Flags that are no settings, and those of clients.
OTHER_FLAGS = {
    "connections",
    "keys",
    "only",
    "rounds",
    "seconds",
    "server",
    "ca-file",
    "cacert",
    "cert",
    "data-urlencode",
    "endpoints",
    "key",
    "no-cache",
    "user",
    "version",
    "config-file",
    "help",
}


def row_of(field: Field) -> str:
    """Return the row of the table in docs/configuration.md for one setting."""
    setting = field.setting
    default = cli.show_default(field)
    shown = f"`{default}`" if default else ""
    allowed = ", ".join(note for note in (setting.unit, setting.bound) if note)
    return f"| `--{setting.flag}` | {setting.kind.name} | {shown} | {allowed} | {setting.help} |"


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.setting.flag)
def test_every_setting_has_its_row_in_the_documentation(field: Field) -> None:
    assert row_of(field) in CONFIGURATION.read_text().splitlines()


def test_the_table_names_no_setting_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `--([a-z0-9-]+)` \|", CONFIGURATION.read_text(), re.MULTILINE)
    assert documented == [field.setting.flag for field in FIELDS]


def test_every_old_flag_is_documented() -> None:
    text = CONFIGURATION.read_text()
    assert [flag for flag in sources.IGNORED_FLAGS if f"`-{flag}`" not in text] == []


def test_every_flag_without_effect_is_documented() -> None:
    text = CONFIGURATION.read_text()
    assert [flag for flag in WITHOUT_EFFECT if f"`--{flag}`" not in text] == []


def test_the_example_file_is_read_as_the_defaults(caplog: pytest.LogCaptureFixture) -> None:
    assert Config.model_validate(sources.values_of_file(str(EXAMPLE))) == Config()
    assert not caplog.messages


def test_the_example_file_shows_every_setting() -> None:
    shown = re.findall(r"^(?:# ?|  )?([a-z0-9-]+):", EXAMPLE.read_text(), re.MULTILINE)
    keys = [field.setting.key.rpartition(".")[2] for field in FIELDS]
    assert [key for key in shown if key not in sources.MAPS] == keys


def test_the_example_file_says_what_the_documentation_says() -> None:
    text = " ".join(EXAMPLE.read_text().replace("#", " ").split())
    assert [field.setting.flag for field in FIELDS if field.setting.help not in text] == []


def test_the_example_file_has_values_of_the_right_kind() -> None:
    commented_out = re.sub(r"^# ?([a-z0-9-]+:)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    values = yaml.safe_load(commented_out)
    wanted = {NUMBER: int, NUMBER64: int, BOOLEAN: bool, TEXTS: list}
    for field in FIELDS:
        outer, _, inner = field.setting.key.partition(".")
        value = values[outer][inner] if inner else values[outer]
        assert isinstance(value, wanted.get(field.setting.kind, str))
        if field.setting.kind is URLS and value:
            assert field.setting.kind.parse(str(value))


@pytest.mark.parametrize("path", prose_files(), ids=name_of)
def test_a_document_names_only_flags_that_exist(path: Path) -> None:
    known = {field.setting.flag for field in FIELDS} | OTHER_FLAGS | set(WITHOUT_EFFECT)
    known |= set(command.FLAGS)
    assert set(_FLAG.findall(path.read_text())) <= known


@pytest.mark.parametrize("path", prose_files(), ids=name_of)
def test_a_document_names_only_targets_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = "\n".join(re.findall(r"`[^`\n]+`", path.read_text()))
    for names in _TARGET.findall(quoted):
        assert set(names.split()) <= targets


def test_every_difference_that_the_comparisons_allow_is_documented() -> None:
    text = DIFFERENCES.read_text()
    assert [edge.reason for edge in differences.EDGES.values() if edge.reason not in text] == []


@pytest.mark.parametrize("path", prose_files(), ids=name_of)
def test_a_link_leads_to_a_file_of_the_project(path: Path) -> None:
    for link in _LINK.findall(path.read_text()):
        assert (path.parent / link).exists(), link


def test_nothing_names_a_folder_of_one_machine() -> None:
    found = {
        name_of(path): match.group()
        for path in text_files()
        if (match := _PERSONAL.search(path.read_text(errors="replace")))
    }
    assert not found


def test_every_attack_in_the_table_is_tried_by_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text().partition("## Attacks and answers")[2]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| test |" not in line]
    named = [re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2]) for row in rows]
    assert all(named), [row for row, tests in zip(rows, named, strict=True) if not tests]
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert {name for tests in named for name in tests} <= there
