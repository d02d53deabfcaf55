"""The list of metrics keeps Prometheus' rules for names, and etcd's where they are etcd's."""

import re

import pytest

from etcdpy.metrics.etcd import ETCD
from etcdpy.metrics.exposition import Family, Kind
from etcdpy.metrics.families import FAMILIES
from etcdpy.metrics.own import OWN

ALL = [*ETCD, *OWN]
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def test_no_name_is_taken_twice() -> None:
    assert len(FAMILIES) == len(ALL)


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_a_family_is_complete(family: Family) -> None:
    assert _NAME.fullmatch(family.name)
    assert family.help
    assert (family.buckets is not None) == (family.kind is Kind.HISTOGRAM)
    assert len(set(family.labels)) == len(family.labels)


@pytest.mark.parametrize("family", OWN, ids=lambda family: family.name)
def test_a_metric_of_ours_is_known_by_its_name(family: Family) -> None:
    assert family.name.startswith("etcdpy_")
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.help.endswith(".")


@pytest.mark.parametrize("family", ETCD, ids=lambda family: family.name)
def test_a_metric_of_etcd_is_shown_to_everybody(family: Family) -> None:
    assert re.match(r"etcd_|process_|os_", family.name)
    assert not family.is_extensive
