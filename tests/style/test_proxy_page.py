"""The page on proxies has a row for each of its metrics, and for no other."""

import re

import pytest

from etcdpy.metrics.etcd import PROCESS
from etcdpy.metrics.exposition import Family
from etcdpy.metrics.proxy import PROXY_FAMILIES
from tests.style.files import ROOT
from tests.style.test_monitoring import row_of

PAGE = ROOT / "docs" / "proxy.md"
_ROW = re.compile(r"^\| `((?:etcd|etcdpy)_\w+)` \|", re.MULTILINE)
_OWN = [family for family in PROXY_FAMILIES.values() if family not in PROCESS]


@pytest.mark.parametrize("family", _OWN, ids=lambda family: family.name)
def test_every_metric_has_its_row(family: Family) -> None:
    assert row_of(family) in PAGE.read_text().splitlines()


def test_there_are_rows_for_no_other_metric() -> None:
    assert _ROW.findall(PAGE.read_text()) == [family.name for family in _OWN]
