"""What the documents show was printed by a new member, and is printed again.

Each ```console block holds commands after `$ ` and what they print.  Ports, ids and times are
whatever they are; everything else has to be equal.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.process import Kind, Member
from tests.style.files import name_of, prose_files

DEADLINE_S = 20
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"(?:127\.0\.0\.1|localhost):\d+"), "HOST"),
    (re.compile(r'"id":"[0-9a-f]+"'), '"id":"ID"'),
    (re.compile(r'"expiration":"[0-9TZ:.-]+"'), '"expiration":"TIME"'),
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")


@dataclass(frozen=True, slots=True)
class Example:
    """One command, and what the document says it prints."""

    command: str
    output: str


def examples(path: Path) -> Iterator[Example]:
    for block in _BLOCK.findall(path.read_text()):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield Example(command, output)


def normal(text: str) -> str:
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


@pytest.mark.parametrize(
    "path", [path for path in prose_files() if any(examples(path))], ids=name_of
)
def test_a_document_shows_what_a_new_member_prints(path: Path, tmp_path: Path) -> None:
    with Member(Kind.ETCDPY, tmp_path, name="default") as member:
        member.start()
        address = member.client_url.removeprefix("http://")
        for example in examples(path):
            done = subprocess.run(
                ["bash", "-c", example.command.replace("127.0.0.1:2379", address)],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=True,
            )
            assert normal(done.stdout) == normal(example.output), example.command
