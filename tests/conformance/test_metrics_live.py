"""/metrics, /debug/vars and /config/local/log of etcdpy beside those of the real etcd.

A cluster of three of each, with the same traffic: a metric that both have has one type, one help,
the same labels and the same buckets; what etcdpy has under etcd's names, etcd has.
Source: spec/observability.md sections 4 to 6.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from etcdpy.metrics.etcd import ETCD
from tests.conformance.side_by_side import Pair, running_pair
from tests.harness.cluster import Cluster
from tests.harness.process import Kind, Member, wait_until
from tests.http.rawsocket import request

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

DEADLINE_S = 30.0
#: Families of etcd's that a member shows only when something rare has happened.
RARE = {
    "etcd_network_snapshot_send_success",
    "etcd_network_snapshot_send_failures",
    "etcd_network_snapshot_receive_success",
    "etcd_network_snapshot_receive_failures",
    "etcd_network_peer_sent_failures_total",
    "etcd_network_disconnected_peers_total",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """The families of a leader of each kind, by name."""

    ours: Mapping[str, Metric]
    theirs: Mapping[str, Metric]


def families_of(member: Member) -> dict[str, Metric]:
    answer = member.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert types == sorted(types)
    return dict(zip(types, text_string_to_metric_families(text), strict=True))


def exercise(member: Member) -> None:
    """Have every kind of request counted once."""
    key = "/v2/keys/metrics"
    for method, path, form in (
        ("PUT", key, {"value": "1"}),
        ("PUT", f"{key}?prevValue=1", {"value": "2"}),
        ("PUT", f"{key}?prevExist=true", {"value": "2"}),
        ("POST", "/v2/keys/queue", {"value": "1"}),
        ("GET", key, None),
        ("GET", f"{key}?quorum=true", None),
        ("GET", "/v2/keys/?recursive=true", None),
        ("HEAD", key, None),
        ("GET", "/v2/keys/nope", None),
        ("DELETE", f"{key}?prevValue=2", None),
        ("PUT", key, {"value": "1"}),
        ("DELETE", key, None),
        ("GET", "/health", None),
    ):
        member.request(method, path, form)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    found = {}
    for kind in (Kind.ETCDPY, Kind.ETCD):
        with Cluster(kind, tmp_path_factory.mktemp(kind.name), 3) as cluster:
            cluster.start()
            leader = cluster.leader()
            exercise(leader)
            seen: dict[str, Metric] = {}

            def has_round_trips(leader: Member = leader, seen: dict[str, Metric] = seen) -> bool:
                seen.update(families_of(leader))
                return "etcd_network_peer_round_trip_time_seconds" in seen

            wait_until(has_round_trips, DEADLINE_S, "round trips are shown")
            found[kind] = seen
    return Sides(found[Kind.ETCDPY], found[Kind.ETCD])


def both(sides: Sides) -> list[str]:
    return sorted(set(sides.ours) & set(sides.theirs))


def test_what_has_etcds_name_is_etcds(sides: Sides) -> None:
    named = {name for name in sides.ours if not name.startswith("etcdpy_")}
    assert named - RARE <= set(sides.theirs)
    assert {family.name for family in ETCD} - RARE <= set(both(sides))


def test_types_and_helps_are_the_same(sides: Sides) -> None:
    for name in both(sides):
        ours, theirs = sides.ours[name], sides.theirs[name]
        assert (name, ours.type, ours.documentation) == (name, theirs.type, theirs.documentation)


def test_labels_and_buckets_are_the_same(sides: Sides) -> None:
    for name in both(sides):
        assert shape_of(sides.ours[name]) == shape_of(sides.theirs[name]), name


def shape_of(family: Metric) -> set[tuple[str, tuple[str, ...], str]]:
    """Return names, labels and bounds of a family's series."""
    return {
        (sample.name, tuple(sorted(sample.labels)), sample.labels.get("le", ""))
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "name",
    ["etcd_http_received_total", "etcd_http_failed_total", "etcd_server_is_leader"],
)
def test_the_same_traffic_is_counted_alike(sides: Sides, name: str) -> None:
    values = [
        sorted((str(sample.labels), sample.value) for sample in side[name].samples)
        for side in (sides.ours, sides.theirs)
    ]
    assert values[0] == values[1]


def test_the_same_requests_are_timed(sides: Sides) -> None:
    name = "etcd_http_successful_duration_seconds"
    counts = [
        {
            sample.labels["method"]: sample.value
            for sample in side[name].samples
            if sample.name == f"{name}_count"
        }
        for side in (sides.ours, sides.theirs)
    ]
    assert counts[0] == counts[1]


@pytest.fixture(scope="module", params=[Kind.ETCDPY, Kind.ETCD], ids=lambda kind: kind.name)
def member(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Member]:
    with Member(request.param, tmp_path_factory.mktemp("member")) as one:
        yield one.start()


def test_variables_tell_the_same_of_raft(member: Member) -> None:
    answer = member.request("GET", "/debug/vars")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    values = json.loads(answer.body)
    assert list(values) == ["cmdline", "file_descriptor_limit", "memstats", "raft.status"]
    assert answer.body.startswith(b'{\n"cmdline": ["')
    assert answer.body.endswith(b"}\n}\n")
    status = values["raft.status"]
    me = status["id"]
    assert list(status) == [
        "id",
        "term",
        "vote",
        "commit",
        "lead",
        "raftState",
        "applied",
        "progress",
        "leadtransferee",
    ]
    assert (status["term"], status["vote"], status["lead"]) == (2, me, me)
    assert (status["raftState"], status["leadtransferee"]) == ("StateLeader", "0")
    assert status["progress"][me]["state"] == "StateReplicate"
    assert status["commit"] == status["applied"] == status["progress"][me]["match"]
    memory = values["memstats"]
    assert {"Alloc", "Sys", "NumGC", "PauseTotalNs"} <= set(memory)
    assert (memory["NumGC"] == 0) == (memory["PauseTotalNs"] == 0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair")) as two:
        yield two


OTHER_METHODS = ("HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO")


@pytest.mark.parametrize("method", OTHER_METHODS)
@pytest.mark.parametrize(
    "path", ["/debug/vars", "/debug/vars/", "/debug", "/debug/pprof/", "/config/local", "/metrics/"]
)
def test_what_is_not_there_is_refused_alike(pair: Pair, method: str, path: str) -> None:
    ours, theirs = pair.ask(request(method.encode(), path.encode()))
    assert ours == theirs


@pytest.mark.parametrize("method", ["GET", *OTHER_METHODS])
def test_metrics_have_the_same_head(pair: Pair, method: str) -> None:
    ours, theirs = pair.ask(request(method.encode(), b"/metrics"))
    assert ours.partition("\r\n\r\n")[0] == theirs.partition("\r\n\r\n")[0]
    assert bool(ours.partition("\r\n\r\n")[2]) == bool(theirs.partition("\r\n\r\n")[2])


LEVELS = (
    b'{"Level":"DEBUG"}',
    b'{"level":"d"}',
    b'{"LEVEL":"Warning"}',
    b'{"Level":"3"} and more',
    b'{"Level":"foo"}',
    b'{"Level":"WARN"}',
    b'{"Level":"<\xff\xc3\xbc>"}',
    b'{"Level":"c","level":"nope"}',
    b'{"Level":"nope","level":null}',
    b'{"Level":null}',
    b'{"Level":5}',
    b'{"Level":["INFO"]}',
    b"{}",
    b"null",
    b"[]",
    b"x",
    b'"INFO"',
    b"",
    b'{"Level":"INFO"',
    b'{"Level":"INFO"}',
)


@pytest.mark.parametrize("body", LEVELS, ids=repr)
def test_levels_are_taken_and_refused_alike(pair: Pair, body: bytes) -> None:
    ours, theirs = pair.ask(request(b"PUT", b"/config/local/log?x=1", body=body))
    assert ours == theirs


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_a_level_is_only_put(pair: Pair, method: str) -> None:
    ours, theirs = pair.ask(request(method.encode(), b"/config/local/log"))
    assert ours == theirs


def test_a_compressed_answer_says_so_alike(pair: Pair) -> None:
    data = request(b"HEAD", b"/metrics", b"Accept-Encoding: deflate, gzip;q=1.0\r\n")
    ours, theirs = pair.ask(data)
    assert ours == theirs
    assert "Content-Encoding: gzip" in ours
