"""Every file of data/ must replay as it stands there.

`REWRITE_TRANSCRIPTS=1 pytest tests/consensus/test_transcripts.py` writes what happens now into
the files instead; the diff is what a reviewer reads.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.consensus.transcript import Stage, parse, render

FILES = sorted((Path(__file__).parent / "data").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript_replays(path: Path) -> None:
    stage = Stage()
    cases = parse(path.read_text())
    happened = [replace(case, expected=stage.do(case.command)) for case in cases]
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(render(happened))
        return
    for number, (case, now) in enumerate(zip(cases, happened, strict=True), 1):
        assert now.expected == case.expected, f"{path.name}, command {number}: {case.command}"


def test_each_transcript_says_what_rule_it_holds() -> None:
    assert [path.name for path in FILES if not path.read_text().startswith("# ")] == []


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 40
