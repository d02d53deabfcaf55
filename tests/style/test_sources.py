"""Every page that the code names as its source is there."""

import re
from pathlib import Path

import pytest

from tests.style.files import CODE, ROOT, name_of, python_files

_CITED = re.compile(r"spec/([a-z0-9]+\.md)")


@pytest.mark.parametrize("path", python_files(*CODE), ids=name_of)
def test_cited_pages_exist(path: Path) -> None:
    for page in set(_CITED.findall(path.read_text())):
        assert (ROOT / "docs" / "spec" / page).is_file(), f"{path} names {page}"
