"""Three etcdpy beside three etcd, through the same trouble: every face shows the same, each time.

What a test asserts of the answers themselves is there so that both cannot be wrong together.
"""

import hashlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.conformance.cluster_side_by_side import (
    ANSWER_S,
    CLIENT_FACES,
    FRESH_INDEX,
    PEER_FACES,
    Ask,
    Side,
    Sides,
    running_clusters,
    show,
    wait_for_index,
    wait_until_long_connected,
)
from tests.harness.client import Connection
from tests.harness.link_proxy import Cut
from tests.harness.process import Kind, wait_until
from tests.http.rawsocket import request

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

MEMBERS = "/v2/members"
KEY = "/v2/keys/x"
VALUE = {"value": "1"}
STATS = "/v2/stats/leader"
NEVER_MS = 9223372036854776000  # the least latency of a member that was never heard of
ELSEWHERE = ["http://127.0.0.1:1"]
#: What etcd says when it was removed.
FAREWELL = (
    "the member has been permanently removed from the cluster",
    "the data-dir used by this member must be removed.",
)
TIMED_OUT = "etcdserver: request timed out"
LEADER_FAILED = f"{TIMED_OUT}, possibly due to previous leader failure"
#: While nobody leads two are begun each tenth of a second: elections on a loaded machine take some.
WRITES_MAX = 200
POLL_S = 0.1
CONNECTION_LOST = f"{TIMED_OUT}, possibly due to connection lost"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Clusters that nobody harms."""
    with running_clusters(tmp_path_factory.mktemp("healthy")) as sides:
        yield sides


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    """Clusters for this test alone, just founded."""
    with running_clusters(tmp_path) as both:
        yield both


def has_no_leader(side: Side) -> bool:
    """Tell whether the member in the leader's part knows that nobody leads."""
    return side["leader"].request("GET", f"{MEMBERS}/leader").status == 503


@contextmanager
def watching(sides: Sides, part: str) -> Iterator[Callable[[], None]]:
    """Wait for the next change of the key; yield what asserts that it came, alike on both."""
    with ExitStack() as open_ones:
        watches = []
        for side in sides:
            connection = open_ones.enter_context(Connection(side[part].client_url, ANSWER_S))
            watches.append(connection.open("GET", f"{KEY}?wait=true"))
            open_ones.callback(watches[-1].close)
        assert [watch.status for watch in watches] == [200, 200]

        def arrived() -> None:
            ours, theirs = (watch.read() for watch in watches)
            assert b'"action":"set"' in ours
            assert ours == theirs

        yield arrived


def store_index(side: Side) -> list[int]:
    """Return the store's index on each member that runs."""
    return [member.request("GET", "/v2/keys/").index for member in side.running.values()]


def first_eight(data: bytes) -> str:
    """Return the id that is made of `data`."""
    return f"{int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8]):x}"


# Healthy


def test_ids_come_from_urls_and_token(healthy: Sides) -> None:
    for side in healthy:
        ids = [
            first_eight(f"{member.peer_url}etcd-cluster".encode())
            for member in side.cluster.members
        ]
        assert [member.id for member in side.cluster.members] == ids
        cluster_id = first_eight(
            b"".join(bytes.fromhex(f"{member_id:>016}") for member_id in sorted(ids, key=_number))
        )
        for member in side.cluster.members:
            for path in (MEMBERS, "/v2/keys/"):
                assert member.request("GET", path).headers["x-etcd-cluster-id"] == cluster_id


def _number(member_id: str) -> int:
    return int(member_id, 16)


def test_healthy_members_show_the_same(healthy: Sides) -> None:
    healthy.assert_faces_alike()


@pytest.mark.parametrize("part", ["leader", "a"])
@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"])
def test_other_verbs_are_answered_alike(healthy: Sides, method: str, part: str) -> None:
    def answers(side: Side) -> list[str]:
        return [
            show(side, side[part], path, is_peer, request(method.encode(), path.encode()))
            for is_peer, paths in ((False, CLIENT_FACES), (True, PEER_FACES))
            for path in paths
        ]

    ours, theirs = healthy.both(answers)
    assert ours == theirs


@pytest.mark.parametrize("part", ["leader", "a"])
def test_rates_are_shown_while_there_are_some(healthy: Sides, part: str) -> None:
    def has_rates(side: Side) -> bool:
        return "PkgRate" in side[part].request("GET", "/v2/stats/self").body.decode()

    def rests(side: Side) -> bool:
        return not has_rates(side)

    for side in healthy:
        wait_until(partial(rests, side), ANSWER_S, "rest")
        for number in range(3):
            side[part].request("PUT", KEY, {"value": str(number)})
        assert has_rates(side)


# Lost and back


def test_followers_are_lost_and_come_back(sides: Sides) -> None:
    first = sides.ask("b", "PUT", KEY, VALUE)
    assert first.startswith(f"201 application/json index={FRESH_INDEX + 1} ")
    sides.each(lambda side: side["a"].kill())
    sides.assert_faces_alike()
    sides.ask("b", "PUT", KEY, VALUE)
    sides.ask_all(Ask("leader", "GET", f"{KEY}?quorum=true"), Ask("b", "GET", f"{KEY}?quorum=true"))
    sides.each(lambda side: side["b"].kill())
    for side in sides:
        wait_until(partial(has_no_leader, side), ANSWER_S, "no leader")
    sides.assert_faces_alike()
    with watching(sides, "leader") as arrived:
        # What is refused here is not done later either: the indexes below say so.
        _assert_refused_without_a_quorum(sides)
        sides.each(lambda side: side.cluster.restart([side["a"]]))
        sides.ask("a", "PUT", KEY, {"value": "back"})
        arrived()
    sides.assert_faces_alike()
    sides.each(lambda side: side.cluster.restart([side["b"]]))
    # Three writes, and two members that have published themselves anew.
    _assert_index(sides, FRESH_INDEX + 5)
    sides.assert_faces_alike()
    sides.ask_all(*(Ask(part, "GET", "/v2/keys/") for part in ("leader", "a", "b")))


def _assert_index(sides: Sides, index: int) -> None:
    for side in sides:
        for member in side.running.values():
            wait_for_index(member, index)
    assert sides.each(store_index) == ([index] * len(sides.ours.running),) * 2


def _assert_refused_without_a_quorum(sides: Sides) -> None:
    """What needs nobody else is answered, what needs a quorum is refused when its time is up."""
    answers = sides.ask_all(
        Ask("leader", "GET", KEY),
        Ask("leader", "HEAD", "/v2/keys/none"),
        Ask("leader", "GET", f"{KEY}?quorum=true"),
        Ask("leader", "PUT", KEY, {"value": "never"}),
        Ask("leader", "POST", "/v2/keys/q", VALUE),
        Ask("leader", "DELETE", KEY),
        Ask("leader", "PUT", f"{MEMBERS}/@b", peers=["@b", *ELSEWHERE]),
        Ask("leader", "DELETE", f"{MEMBERS}/@b"),
        Ask("leader", "POST", MEMBERS, peers=ELSEWHERE),
        Ask("leader", "DELETE", f"{MEMBERS}/@leader"),
    )
    assert [answer[:3] for answer in answers] == ["200", "404", *["500"] * 8]
    assert all(f'"cause":"{TIMED_OUT}"' in answer for answer in answers[2:6])


def test_a_leader_is_lost_and_comes_back(sides: Sides) -> None:
    with watching(sides, "a") as arrived:
        sides.each(lambda side: side["leader"].kill())
        sides.each(lambda side: side.recast_leader("old"))
        sides.ask("leader", "PUT", KEY, VALUE)
        arrived()
    sides.assert_faces_alike()
    sides.each(lambda side: side.cluster.restart())
    _assert_index(sides, FRESH_INDEX + 2)
    sides.assert_faces_alike()


def test_a_connection_that_was_lost_is_told_alike(tmp_path: Path) -> None:
    """The leader is heard by a follower that it does not hear."""
    with running_clusters(tmp_path, links=True) as sides:
        for side in sides:
            assert side.cluster.links is not None
            side.cluster.links.cut([(side["a"].name, side["leader"].name)], Cut.RESET)
        answers = sides.ask_all(
            Ask("a", "PUT", KEY, VALUE),
            Ask("a", "DELETE", "/v2/keys/none"),
            Ask("a", "GET", f"{KEY}?quorum=true"),
        )
        assert all(f'"cause":"{CONNECTION_LOST}"' in answer for answer in answers)


def test_what_was_lost_with_a_leader_is_told_alike(sides: Sides) -> None:
    """Some of it is told by the next leader, who knows when it became one."""
    sides.each(lambda side: side["leader"].send_signal(signal.SIGSTOP))
    for answers in sides.both(_write_until_another_leads):
        causes = {a.split('"cause":"')[1].split('"')[0] for a in answers if a.startswith("500 ")}
        assert LEADER_FAILED in causes
        assert causes <= {LEADER_FAILED, TIMED_OUT}


def _write_until_another_leads(side: Side) -> list[str]:
    with ThreadPoolExecutor(WRITES_MAX) as pool:
        writes: list[Future[str]] = []
        while len(writes) < WRITES_MAX and _leader_id(side) in (side["leader"].id, None):
            writes += [pool.submit(side.ask, part, "PUT", KEY, VALUE) for part in ("a", "b")]
            time.sleep(POLL_S)
        return [write.result() for write in writes]


def _leader_id(side: Side) -> str | None:
    answer = side["a"].request("GET", f"{MEMBERS}/leader")
    return str(answer.json()["id"]) if answer.status == 200 else None


# Members change


def test_a_member_is_added_moves_joins_and_is_removed(sides: Sides) -> None:
    early = sides.ask("leader", "POST", MEMBERS, peers=ELSEWHERE)
    assert early.startswith("500 ")  # not all have been connected for five seconds
    sides.both(lambda side: side.cast.update(new=side.cluster.add()))
    _assert_index(sides, FRESH_INDEX + 1)
    for side in sides:
        assert f'"minimum":{NEVER_MS}' in side["leader"].request("GET", STATS).body.decode()
    sides.assert_faces_alike()
    for peers in (ELSEWHERE, ["@a"]):  # a known URL too: the strict check comes first
        assert sides.ask("leader", "POST", MEMBERS, peers=peers).startswith("500 ")
    _assert_updates_alike(sides)
    _assert_index(sides, FRESH_INDEX + 4)
    sides.each(lambda side: side["new"].launch())
    sides.each(lambda side: side["new"].wait_ready())
    _assert_index(sides, FRESH_INDEX + 5)
    sides.assert_faces_alike()
    _remove(sides, "new", through="a")
    _assert_index(sides, FRESH_INDEX + 7)
    sides.assert_faces_alike()
    _assert_removed_for_good(sides)
    for side in sides:
        del side.cast["new"]
    _remove(sides, "leader", through="leader")
    sides.each(lambda side: side.recast_leader("removed"))
    _assert_index(sides, FRESH_INDEX + 9)
    sides.assert_faces_alike()


def _assert_updates_alike(sides: Sides) -> None:
    for status, target, peers in (
        (204, "@new", ["@new"]),
        (204, "@new", ["@new", *ELSEWHERE]),
        (409, "@new", ["@b"]),
        (409, "@a", ["@a", "@b"]),
        (404, "abc", ELSEWHERE),
        (204, "@new", ["@new"]),
    ):
        answer = sides.ask("a", "PUT", f"{MEMBERS}/{target}", peers=peers)
        assert answer.startswith(f"{status} ")
        sides.assert_faces_alike()


def _remove(sides: Sides, part: str, through: str) -> None:
    """Remove a member, whose process then ends well and says why."""
    sides.both(lambda side: side.cluster.remove(side[part], through=[side[through]]))
    sides.each(lambda side: assert_farewell(side, part))


def assert_farewell(side: Side, part: str) -> None:
    """Assert that a member that was removed ends well, and says why."""
    assert side[part].wait_exit() == 0
    assert [line for line in FAREWELL if line not in side[part].log_text()] == []


def _assert_removed_for_good(sides: Sides) -> None:
    assert sides.ask("b", "DELETE", f"{MEMBERS}/@new").startswith("410 ")
    assert sides.ask("b", "PUT", f"{MEMBERS}/@new", peers=ELSEWHERE).startswith("500 ")
    assert sides.ask("b", "DELETE", f"{MEMBERS}/abc").startswith("404 ")
    sides.each(lambda side: side["new"].launch())
    sides.each(lambda side: assert_farewell(side, "new"))


def test_the_strict_check_judges_alike(sides: Sides) -> None:
    """With one of three dead only the dead one can be removed; then either of the others."""
    sides.both(wait_until_long_connected)
    sides.each(lambda side: side["b"].kill())
    assert sides.ask("leader", "POST", MEMBERS, peers=ELSEWHERE).startswith("500 ")
    for through, part in (("leader", "leader"), ("leader", "a"), ("a", "leader"), ("a", "a")):
        answer = sides.ask(through, "DELETE", f"{MEMBERS}/@{part}")
        assert answer.startswith("500 ")
    assert sides.ask("a", "DELETE", f"{MEMBERS}/@b").startswith("204 ")
    sides.assert_faces_alike()
    sides.each(lambda side: side["b"].launch())
    sides.each(lambda side: assert_farewell(side, "b"))
    assert sides.ask("leader", "DELETE", f"{MEMBERS}/@a").startswith("204 ")
    sides.each(lambda side: assert_farewell(side, "a"))
    sides.assert_faces_alike()
    assert sides.ask("leader", "DELETE", f"{MEMBERS}/@leader").startswith("500 ")


def test_without_the_strict_check_members_are_added_at_once(tmp_path: Path) -> None:
    with running_clusters(tmp_path, "--strict-reconfig-check=false") as sides:
        for number in (1, 2):
            # Ids come from the second too, and both must be asked in the same one.
            wait_until(lambda: time.time() % 1 < 0.1, 5.0, "the begin of a second")
            answer = sides.ask(
                "a", "POST", MEMBERS, peers=[f"http://127.0.0.1:{number}", f"http://[::1]:{number}"]
            )
            assert re.match(r'201 application/json index=None {"id":"[0-9a-f]+","name":""', answer)
        assert sides.ask("b", "POST", MEMBERS, peers=["@a"]).startswith("409 ")
        _assert_index(sides, FRESH_INDEX + 2)
        sides.assert_faces_alike()
