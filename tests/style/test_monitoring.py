"""Dashboard, alerts and the page on monitoring name metrics and labels that exist, and all of them.

An expression is not evaluated here, but every name in it that could be a metric is looked up, and
every label that it uses is one that the metric has, or that Prometheus adds.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from etcdpy.metrics.exposition import Family, Kind
from etcdpy.metrics.families import FAMILIES
from tests.style.files import ROOT

PAGE = ROOT / "docs" / "monitoring.md"
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "docs" / "monitoring" / "dashboard.json"

#: What Prometheus knows of a target by itself.
_TARGET_METRICS = {"up"}
_TARGET_LABELS = {"job", "instance", "le"}
_METRIC = re.compile(r"\b(?:etcd|etcdpy|process|os|go|grpc)_[a-z0-9_]+|\bup\b")
_MATCHED = re.compile(r"\{([^{}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def name_of(sample: str) -> str:
    """Return the family that a series belongs to."""
    for suffix in ("_bucket", "_sum", "_count"):
        family = FAMILIES.get(sample.removesuffix(suffix))
        if family is not None and family.kind is Kind.HISTOGRAM:
            return family.name
    return sample


def labels_of(expression: str) -> set[str]:
    """Return the labels that the metrics of an expression have, with those of their target."""
    found = set(_TARGET_LABELS)
    for sample in _METRIC.findall(expression):
        family = FAMILIES.get(name_of(sample))
        found |= set(family.labels) if family is not None else set()
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets() -> Iterator[tuple[str, str]]:
    """Yield the expressions of the dashboard, each with its legend."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]


EXPRESSIONS = [*(rule["expr"] for rule in alerts()), *(expr for expr, _ in targets())]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_that_exist(expression: str) -> None:
    names = _METRIC.findall(expression)
    assert names
    unknown = {name for name in names if name_of(name) not in FAMILIES}
    assert unknown <= _TARGET_METRICS
    bare = {name for name in names if name in FAMILIES}
    assert not {name for name in bare if FAMILIES[name].kind is Kind.HISTOGRAM}
    assert not {name for name in names if name_of(name) in FAMILIES and is_for_few(name)}


def is_for_few(sample: str) -> bool:
    """Tell whether a member has to be started with a flag to show a series."""
    return FAMILIES[name_of(sample)].is_extensive


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_uses_labels_that_its_metrics_have(expression: str) -> None:
    used = {label for part in _MATCHED.findall(expression) for label in _LABEL.findall(part)}
    used |= {label.strip() for part in _GROUPED.findall(expression) for label in part.split(",")}
    assert used <= labels_of(expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_counter_is_looked_at_as_a_rate(expression: str) -> None:
    for sample in _METRIC.findall(expression):
        family = FAMILIES.get(name_of(sample))
        if family is not None and family.kind is not Kind.GAUGE:
            assert re.search(rf"(?:rate|increase)\(\s*{sample}\b", expression), sample


@pytest.mark.parametrize(("expression", "legend"), list(targets()))
def test_a_legend_shows_labels_that_are_there(expression: str, legend: str) -> None:
    assert set(_SHOWN.findall(legend)) <= labels_of(expression)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_is_explained(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(_SHOWN.findall(rule["annotations"]["summary"])) <= labels_of(rule["expr"])
    assert f"| {rule['alert']} |" in PAGE.read_text()


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def row_of(family: Family) -> str:
    """Return the row of the page's table for one metric."""
    labels = ", ".join(f"`{label}`" for label in family.labels)
    kind = f"{family.kind} *" if family.is_extensive else str(family.kind)
    return f"| `{family.name}` | {kind} | {labels} | {family.help} |"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_every_metric_has_its_row_on_the_page(family: Family) -> None:
    assert row_of(family) in PAGE.read_text().splitlines()


def test_the_page_has_rows_for_no_other_metric() -> None:
    rows = re.findall(r"^\| `((?:etcd|etcdpy|process|os)_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(FAMILIES)


def test_every_metric_of_ours_that_all_see_is_on_the_dashboard_or_named_as_a_detail() -> None:
    shown = {name_of(name) for expression in EXPRESSIONS for name in _METRIC.findall(expression)}
    details = {
        "etcdpy_raft_log_last_term",
        "etcdpy_raft_snapshot_index",
        "etcdpy_raft_forwards_refused_total",
        "etcdpy_raft_changes_refused_total",
        "etcdpy_raft_reads_dropped_total",
        "etcdpy_raft_messages_misdirected_total",
        "etcdpy_raft_strangers_refused_total",
        "etcdpy_raft_proposals_held_bytes",
        "etcdpy_expiring_keys",
        "etcdpy_store_index",
        "etcdpy_peer_streams_opened_total",
        "etcdpy_peer_streams_accepted_total",
        "etcdpy_peer_dials_failed_total",
    }
    own = {f.name for f in FAMILIES.values() if f.name.startswith("etcdpy_") and not f.is_extensive}
    assert own - shown == details
