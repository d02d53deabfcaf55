"""What a member tells of its own life: spec/observability.md section 3."""

from typing import Any

from etcdpy.telemetry.stats import ServerStats

STARTED_NS = 1_800_000_000 * 10**9
SECOND_NS = 10**9
ME, OTHER, THIRD = 0xA, 0xB, 0xC


def stats() -> ServerStats:
    return ServerStats("m1", ME, STARTED_NS)


def shown(of: ServerStats, after_s: float) -> Any:
    return of.render_self(STARTED_NS + int(after_s * SECOND_NS), {})


def test_before_any_leader_the_start_is_when_none_was_seen() -> None:
    assert shown(stats(), 1.5) == {
        "name": "m1",
        "id": "a",
        "state": "StateFollower",
        "startTime": "2027-01-15T08:00:00Z",
        "leaderInfo": {"leader": "", "uptime": "1.5s", "startTime": "2027-01-15T08:00:00Z"},
    }


def test_the_fields_come_in_the_apis_order() -> None:
    appends = {"recvAppendRequestCnt": 3, "sendAppendRequestCnt": 0}
    assert list(stats().render_self(STARTED_NS, appends)) == [
        *("name", "id", "state", "startTime", "leaderInfo"),
        *("recvAppendRequestCnt", "sendAppendRequestCnt"),
    ]


def test_a_leader_is_known_since_it_was_first_seen() -> None:
    told = stats()
    told.led_by(OTHER, STARTED_NS + SECOND_NS)
    told.led_by(OTHER, STARTED_NS + 5 * SECOND_NS)
    leader = {"leader": "b", "uptime": "9s", "startTime": "2027-01-15T08:00:01Z"}
    assert shown(told, 10)["leaderInfo"] == leader
    told.led_by(THIRD, STARTED_NS + 10 * SECOND_NS)
    leader = {"leader": "c", "uptime": "1s", "startTime": "2027-01-15T08:00:10Z"}
    assert shown(told, 11)["leaderInfo"] == leader


def test_the_state_follows_who_leads() -> None:
    told = stats()
    states = []
    for leader_id in (ME, OTHER, ME):
        told.led_by(leader_id, STARTED_NS)
        states.append(shown(told, 1)["state"])
    assert states == ["StateLeader", "StateFollower", "StateLeader"]


def test_the_leaders_view_names_it_and_its_followers() -> None:
    followers = {"b": {"counts": {"fail": 0}}}
    assert stats().render_leader(followers) == {"leader": "a", "followers": followers}
